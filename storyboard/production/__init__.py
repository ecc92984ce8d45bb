"""Making it: render, choose among candidates, keep the pictures with their records, go on where a run ended."""
