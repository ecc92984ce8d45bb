"""Faster or smaller ways to run the same transformer, each with its plain twin."""
