"""What moves as one: a figure in front, the background behind it."""
