"""The characters of a story: their reference pictures, cut out of them, seen from several sides."""
