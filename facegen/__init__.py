"""facegen: from a folder of faces to a trained, sampled and honestly judged conditional generator."""

__version__ = "0.1.0"
