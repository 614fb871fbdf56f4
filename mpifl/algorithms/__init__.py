"""Federated algorithms, one per file: the client's work, what is summed, and the server's step."""

REGISTRY = {
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
