"""How rounds a second grow with ranks: measured, and predicted for more of them. ``python -m benchmarks.scaling --help``."""
