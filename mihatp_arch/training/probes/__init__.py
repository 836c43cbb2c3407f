"""Measurements of a training, in its log, that change nothing of it."""
