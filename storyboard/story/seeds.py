"""The seed of a panel, from the seed of the board and the panel's id.

The position of a panel plays no part, so inserting, removing or reordering panels changes no other panel's picture.
"""

import hashlib


def panel_seed(board_seed: int, panel_id: str) -> int:
    """Derive the seed of one panel; 0 .. 2**53-1, the same on every machine and in every version.

    53 bits, because ComfyUI's browser side keeps numbers as JavaScript doubles: a seed read from a picture's record can
    be pasted into a seed widget without being rounded.
    """
    digest = hashlib.sha256(f"kontinuity panel seed 1\0{board_seed}\0{panel_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11
