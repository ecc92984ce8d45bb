"""Linear layers over packed weights (fp8, int8, 4 bit, GGUF), and the unpacking, each beside its plain twin."""
