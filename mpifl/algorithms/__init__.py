"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "apfl": "mpifl.algorithms.apfl:Apfl",
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedala": "mpifl.algorithms.fedala:FedAla",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedbn": "mpifl.algorithms.fedbn:FedBN",
    "fedproto": "mpifl.algorithms.fedproto:FedProto",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedrod": "mpifl.algorithms.fedrod:FedRod",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "perfedavg": "mpifl.algorithms.perfedavg:PerFedAvg",
    "pfedme": "mpifl.algorithms.pfedme:PFedMe",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
