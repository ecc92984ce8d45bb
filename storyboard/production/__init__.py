"""Making it: run.py is the use case; render, choose among candidates, keep pictures and records, resume a run."""
