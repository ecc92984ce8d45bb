"""From files and folders to a model."""
