"""Federated algorithms, one per file: the client's program, what is summed, the server's step."""

REGISTRY = {
    "ditto": "mpifl.algorithms.ditto:Ditto",
    "fedasync": "mpifl.algorithms.fedasync:FedAsync",
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedbabu": "mpifl.algorithms.fedbabu:FedBabu",
    "feddyn": "mpifl.algorithms.feddyn:FedDyn",
    "fedlc": "mpifl.algorithms.fedlc:FedLC",
    "fedper": "mpifl.algorithms.fedper:FedPer",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedrep": "mpifl.algorithms.fedrep:FedRep",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "ifca": "mpifl.algorithms.ifca:Ifca",
    "lgfedavg": "mpifl.algorithms.lgfedavg:LgFedAvg",
    "local": "mpifl.algorithms.local:Local",
    "mime": "mpifl.algorithms.mime:Mime",
    "mimelite": "mpifl.algorithms.mimelite:MimeLite",
    "moon": "mpifl.algorithms.moon:Moon",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
