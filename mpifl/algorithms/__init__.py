"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "feddyn": "mpifl.algorithms.feddyn:FedDyn",
    "fedlc": "mpifl.algorithms.fedlc:FedLC",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "mime": "mpifl.algorithms.mime:Mime",
    "mimelite": "mpifl.algorithms.mimelite:MimeLite",
    "moon": "mpifl.algorithms.moon:Moon",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
