"""Estimators: DIS and RAFT, the pyramid that needs neither, the coarse pass before them."""
