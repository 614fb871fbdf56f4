"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedadagrad": "mpifl.algorithms.fedadagrad:FedAdagrad",
    "fedadam": "mpifl.algorithms.fedadam:FedAdam",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedavgm": "mpifl.algorithms.fedavgm:FedAvgM",
    "fedexp": "mpifl.algorithms.fedexp:FedExP",
    "fednova": "mpifl.algorithms.fednova:FedNova",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "qfedavg": "mpifl.algorithms.qfedavg:QFedAvg",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
