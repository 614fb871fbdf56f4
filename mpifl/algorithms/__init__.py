"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedbn": "mpifl.algorithms.fedbn:FedBN",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "perfedavg": "mpifl.algorithms.perfedavg:PerFedAvg",
    "pfedme": "mpifl.algorithms.pfedme:PFedMe",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
