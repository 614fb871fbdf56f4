"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "apfl": "mpifl.algorithms.apfl:Apfl",
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedadagrad": "mpifl.algorithms.fedadagrad:FedAdagrad",
    "fedadam": "mpifl.algorithms.fedadam:FedAdam",
    "fedala": "mpifl.algorithms.fedala:FedAla",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedavgm": "mpifl.algorithms.fedavgm:FedAvgM",
    "fedbn": "mpifl.algorithms.fedbn:FedBN",
    "fedexp": "mpifl.algorithms.fedexp:FedExP",
    "fednova": "mpifl.algorithms.fednova:FedNova",
    "fedproto": "mpifl.algorithms.fedproto:FedProto",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedrod": "mpifl.algorithms.fedrod:FedRod",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "perfedavg": "mpifl.algorithms.perfedavg:PerFedAvg",
    "pfedme": "mpifl.algorithms.pfedme:PFedMe",
    "qfedavg": "mpifl.algorithms.qfedavg:QFedAvg",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
