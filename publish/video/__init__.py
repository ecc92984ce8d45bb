"""The hand-off to video models: what each takes, and keyframes fitted to it."""
