"""DSPy's optimizers behind one protocol, and the candidates they score."""
