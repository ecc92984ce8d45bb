"""How the demo model is made: PCA codec -> VAE (``vae``), transformer (``transformer``), then ``assemble`` writes the
weights folder.

Run as ``python -m kontinuity.demo_model.training.<stage>``; one process per core, one thread each. State lives
outside the repository.
"""
