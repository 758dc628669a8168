"""packtrain: LLaMA from raw public text to a trained, evaluated model."""

__version__ = "0.1.0"
