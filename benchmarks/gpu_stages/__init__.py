"""The stages of `benchmarks/gpu.py`, each a function of a `Context` that it records what it measures in."""
