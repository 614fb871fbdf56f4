"""Data sets that people have on disk, into ours: one format a file, all ``(source) -> Dataset``."""

REGISTRY = {
    "qmnist": "mpifl.population.importers.qmnist:read_qmnist",
}
