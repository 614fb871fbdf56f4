"""Partitioners: deal the samples of a data set to clients, one partitioner a file.

partitioner.py is the base class; dealing.py holds what several partitioners share.
"""

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
"""Those that need no classes, and so also deal the samples of a regression or a language."""
