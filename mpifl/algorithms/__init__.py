"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
