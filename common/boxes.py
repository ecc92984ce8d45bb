"""The one rectangle: edges in a picture. Files that write left, top, width and height are read with `Box.of_size`."""

from typing import NamedTuple


class Box(NamedTuple):
    """A part of a picture: its edges, counted from the picture's left and top.

    In whole pixels, or in parts of the picture from 0 to 1; who makes one says which. Right and bottom are outside.
    """

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of_size(cls, left: float, top: float, width: float, height: float) -> "Box":
        """The box that begins at `left`, `top`."""
        return cls(left, top, left + width, top + height)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside or on an edge."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def in_pixels(self, width: int, height: int) -> "Box":
        """Parts of a picture of this size as whole pixels inside it, at least one each way."""
        left, top = min(width - 1, round(self.left * width)), min(height - 1, round(self.top * height))
        right, bottom = round(self.right * width), round(self.bottom * height)
        return Box(left, top, max(left + 1, min(width, right)), max(top + 1, min(height, bottom)))


WHOLE = Box(0.0, 0.0, 1.0, 1.0)  # in parts of the picture
