"""Whole clips: other rates and cadences, keyframes where motion is not enough, scores, pictures of motion."""
