"""One federated algorithm a file: what a participant computes, what is summed, what the server does with the sum."""

REGISTRY = {
    "fedavg": "mpifl.algorithms.fedavg:FedAvg",
    "fedprox": "mpifl.algorithms.fedprox:FedProx",
    "fedyogi": "mpifl.algorithms.fedyogi:FedYogi",
    "scaffold": "mpifl.algorithms.scaffold:Scaffold",
}
