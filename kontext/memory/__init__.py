"""Where weights are: what fits on the card, what visits it, what is kept."""
