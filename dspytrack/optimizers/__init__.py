"""DSPy's optimizers, one file each behind one base class, and the candidates that they score."""
