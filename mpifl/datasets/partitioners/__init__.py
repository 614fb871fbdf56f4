"""How samples become clients: one partitioner a file, all ``(samples, generator) -> client of each sample``."""

REGISTRY = {
    "natural": "mpifl.datasets.partitioners.natural:Natural",
    "iid": "mpifl.datasets.partitioners.iid:Iid",
    "dirichlet": "mpifl.datasets.partitioners.dirichlet:Dirichlet",
    "shards": "mpifl.datasets.partitioners.shards:Shards",
    "classes": "mpifl.datasets.partitioners.classes:Classes",
    "mixed": "mpifl.datasets.partitioners.mixed:Mixed",
    "pachinko": "mpifl.datasets.partitioners.pachinko:Pachinko",
    "power_law": "mpifl.datasets.partitioners.power_law:PowerLaw",
    "quantity_skew": "mpifl.datasets.partitioners.quantity_skew:QuantitySkew",
    "vertical": "mpifl.datasets.partitioners.vertical:Vertical",
}
WITHOUT_CLASSES = ("natural", "iid", "power_law", "quantity_skew")
"""Those that also deal samples which have no classes: of a regression, or of a language."""
