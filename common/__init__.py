"""What every part of Kontinuity needs: the error a user can cause, pictures and their checks, files written whole."""

from .boxes import WHOLE, Box
from .errors import InputError, did_you_mean
from .files import complete_file, complete_path
from .picture_files import MAX_PIXELS, open_beside, open_picture, to_bytes, to_image, to_picture
from .pictures import Picture, check_picture, check_shape, check_values, scaled

__all__ = [
    "MAX_PIXELS", "WHOLE", "Box", "InputError", "Picture", "check_picture", "check_shape", "check_values",
    "complete_file", "complete_path", "did_you_mean", "open_beside", "open_picture", "scaled", "to_bytes", "to_image",
    "to_picture",
]
