"""What runs the transformer; the loop around it is `sampling.denoise`."""
