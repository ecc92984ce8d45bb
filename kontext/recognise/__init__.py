"""Which file is this: what a file or folder holds, and whether that is FLUX.1 Kontext."""
