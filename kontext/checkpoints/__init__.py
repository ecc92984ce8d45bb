"""Which file is this, is it Kontext, and how does it become a model."""
