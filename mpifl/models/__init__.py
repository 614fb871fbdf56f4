"""One torch model a file."""

REGISTRY = {
    "logreg": "mpifl.models.logreg:Logreg",
    "mlp": "mpifl.models.mlp:Mlp",
    "sized": "mpifl.models.sized:Sized",
    "femnist_cnn": "mpifl.models.femnist_cnn:FemnistCnn",
}
