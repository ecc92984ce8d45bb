"""Who is in a picture, against who should be: encoders give vectors, finders give boxes, a scorer compares."""

from .encoders import Encoder, FaceEncoder, load_encoder
from .finders import FaceFinder, Finder
from .scores import Cast, FigureScore, PictureScore, Scorer

__all__ = ["Cast", "Encoder", "FaceEncoder", "FaceFinder", "FigureScore", "Finder", "PictureScore", "Scorer",
           "load_encoder"]
