"""Bytes of a model file as named tensors: safetensors, GGUF, every packing of numbers."""
