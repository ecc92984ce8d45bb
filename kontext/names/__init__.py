"""What files call the tensors and layers of FLUX.1, in terms of the libraries' names (diffusers, transformers)."""
