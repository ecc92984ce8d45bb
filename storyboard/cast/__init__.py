"""The characters of a story: their reference pictures, opened, cut out, chosen for a panel."""
