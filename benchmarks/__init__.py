"""Measurements, run by ``python3 dev.py bench NAME``. Each prints one JSON object as its last line; kept ones are in
``results/``."""
