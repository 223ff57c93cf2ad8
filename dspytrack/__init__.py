"""Tracked DSPy optimization runs. Importing this package imports neither dspy nor mlflow."""

__version__ = "0.1.0"
