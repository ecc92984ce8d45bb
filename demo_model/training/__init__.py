"""How the demo model is made: PCA codec -> VAE (``vae``), transformer (``transformer``), identity ``encoder`` and
``finder``; then ``assemble`` and ``assemble_identity`` write the folders of weights.

Run as ``python -m kontinuity.demo_model.training``, all of it, or ``python -m kontinuity.demo_model.training.<stage>``;
one process per core, one thread each. State lives outside the repository.
"""
