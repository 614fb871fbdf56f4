"""Whom to ask: one selection rule a file."""

REGISTRY = {
    "uniform": "mpifl.selection.uniform:Uniform",
}
