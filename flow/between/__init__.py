"""A picture between two: chosen and put together from motion, or made by a learnt model."""
