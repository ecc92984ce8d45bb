"""Small ICC profiles, made by the specification (ICC.1:2001-04): none are on every computer."""

import struct

D50 = (0.9642, 1.0, 0.8249)


def matrix_profile(red, green, blue, gamma: float) -> bytes:
    """An RGB profile: the primaries in XYZ, adapted to D50, and one curve."""
    return _profile(b"RGB ", b"XYZ ", {
        b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue),
        b"rTRC": _curve(gamma), b"gTRC": _curve(gamma), b"bTRC": _curve(gamma)})


def grey_profile(gamma: float) -> bytes:
    """A profile for grey, with a curve."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(lab_of) -> bytes:
    """A CMYK profile by a table: `lab_of(c, m, y, k)` for the 16 corners, L 0..100, a and b -128..127."""
    corners = [(n >> 3 & 1, n >> 2 & 1, n >> 1 & 1, n & 1) for n in range(16)]
    cells = b"".join(bytes((round(light * 2.55), round(a + 128), round(b + 128)))
                     for light, a, b in (lab_of(*corner) for corner in corners))
    straight = bytes(range(256))
    unit = b"".join(_fixed(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return _profile(b"CMYK", b"Lab ", {
        b"A2B0": b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + straight * 4 + cells + straight * 3}, b"prtr")


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    words = b"made for a test\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(words)) + words + bytes(78), b"wtpt": _xyz(D50),
            b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    place, table, body = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", place + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = (struct.pack(">I", place + len(body)) + bytes(4) + struct.pack(">I", 0x0240_0000) + kind + space
              + connection + bytes(12) + b"acsp" + bytes(28) + b"".join(_fixed(value) for value in D50) + bytes(48))
    return header + struct.pack(">I", len(tags)) + table + body


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(value) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


P3 = matrix_profile((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407), 2.2)
ADOBE_RGB = matrix_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457),
                           563 / 256)
