"""The one error, in one line."""

import pytest
from kontinuity.common import InputError

POSIX = "/models/" + "deep/" * 20 + "ae.safetensors"
WINDOWS = "C:\\Comfy\\" + "deep\\" * 20 + "ae.safetensors"


@pytest.mark.parametrize(("value", "shown"), [
    (POSIX, "..." + POSIX[-77:]), (WINDOWS, "..." + WINDOWS[-77:]),
    ("a beach " * 20, ("a beach " * 20)[:77] + "..."),
    ("/short/ae.safetensors", "/short/ae.safetensors"),
])
def test_a_long_path_keeps_its_end_and_other_values_their_beginning(value, shown):
    assert str(InputError("node", "file", value, "is bad", "mend it")) == f"node: file '{shown}': is bad; mend it"
