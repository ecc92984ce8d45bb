"""Faster or smaller ways to run the same transformer: one file each, with its plain twin, installed by `stack.py`."""
