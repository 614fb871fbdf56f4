"""The torch models that a job can name, one per file."""

REGISTRY = {
    "logreg": "mpifl.models.logreg:Logreg",
    "mlp": "mpifl.models.mlp:Mlp",
    "sized": "mpifl.models.sized:Sized",
    "cnn1d": "mpifl.models.cnn1d:Cnn1d",
    "lstm": "mpifl.models.lstm:Lstm",
    "femnist_cnn": "mpifl.models.femnist_cnn:FemnistCnn",
    "cifar_cnn": "mpifl.models.cifar_cnn:CifarCnn",
}
