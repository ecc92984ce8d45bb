"""The story file: its fields and models, reading and writing it, faults with their lines, other formats, seeds."""
