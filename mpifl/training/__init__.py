"""One client's local work, and the test of a model. Knows nothing of ranks."""
