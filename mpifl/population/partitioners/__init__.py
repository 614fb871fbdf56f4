"""How samples become clients: one partitioner a file, all ``(labels, generator) -> client of each sample``."""

REGISTRY = {
    "natural": "mpifl.population.partitioners.natural:Natural",
    "iid": "mpifl.population.partitioners.iid:Iid",
    "dirichlet": "mpifl.population.partitioners.dirichlet:Dirichlet",
}
