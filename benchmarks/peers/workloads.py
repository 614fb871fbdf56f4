"""What is to be done, the same for every framework. Drivers read this in environments without mpifl."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A federated job: plain averaging weighted by samples, a fresh SGD optimizer with every participant, no momentum.

    ``shape`` is one sample's, of float32 features, or of token ids where ``vocabulary`` is not 0: the next token is learned.
    ``sigma`` spreads the sizes of clients as a log-normal around the same mean; 0: all are equal. ``epochs`` 0: clients return
    at once.
    ``rounds`` are measured after ``warmup`` others. ``published`` is what a paper or README says of it, as text.
    """

    name: str
    about: str
    model: str
    shape: tuple[int, ...]
    classes: int
    clients: int
    samples_per_client: int
    participants: int
    batch_size: int
    lr: float
    rounds: int
    warmup: int = 3
    epochs: int = 1
    sigma: float = 0.0
    vocabulary: int = 0
    evaluated: int = 2000
    published: str = ""


SMALL = {
    "shape": (784,),
    "classes": 10,
    "clients": 1000,
    "samples_per_client": 60,
    "participants": 100,
    "batch_size": 20,
    "lr": 0.05,
}

_ALL = (
    Workload("small-lr", "LR 784-10 (7,850 parameters)", "logreg", rounds=60, **SMALL),
    Workload("small-mlp", "MLP 784-200-200-10 (199,210)", "mlp", rounds=30, **SMALL),
    Workload(
        "small-cnn",
        "CNN 5x5x32, 5x5x64, fc 512 (582,026)",
        "femnist_cnn",
        rounds=8,
        **SMALL | {"shape": (28, 28)},
    ),
    Workload(
        "pfl-cifar",
        "the speed benchmark of pfl-research (arXiv 2404.06430), without its evaluation; CNN of 1,626,442 parameters",
        "cifar_cnn",
        shape=(3, 32, 32),
        classes=10,
        clients=1000,
        samples_per_client=50,
        participants=50,
        batch_size=10,
        lr=0.1,
        rounds=8,
        published="1,500 rounds in full",
    ),
    Workload(
        "empty",
        "clients that return at once: what a round costs besides training",
        "logreg",
        shape=(10,),
        classes=10,
        clients=30_000,
        samples_per_client=1,
        participants=1000,
        batch_size=1,
        lr=0.05,
        rounds=5,
        warmup=2,
        epochs=0,
    ),
    Workload(
        "flute-lr",
        "LR on MNIST of FLUTE's table",
        "logreg",
        shape=(784,),
        classes=10,
        clients=1000,
        samples_per_client=69,
        participants=10,
        batch_size=10,
        lr=0.03,
        rounds=97,
        sigma=0.8,
        published="100 rounds: FedML 0.7.303 (MPI) 3:09, FLUTE (NCCL) 1:35 on GPUs",
    ),
    Workload(
        "flute-lstm",
        "LSTM on Shakespeare of FLUTE's table: 80 characters of 90, embedding 8, two layers of 256 (822,578 parameters)",
        "lstm",
        shape=(80,),
        classes=90,
        clients=715,
        samples_per_client=23,
        participants=10,
        batch_size=4,
        lr=0.8,
        rounds=10,
        sigma=0.5,
        vocabulary=90,
        evaluated=200,
        published="1,200 rounds: FedML 0.7.303 (MPI) 6:46:21, FLUTE (NCCL) 21:50 on GPUs",
    ),
)
WORKLOADS = {workload.name: workload for workload in _ALL}
