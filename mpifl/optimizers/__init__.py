"""Client optimizers, one per file, by the definitions of torch.optim.

They work on lists of tensors, so that a step of one client and a step of a group are the same code.
Imports: job. To add one: a file, its test, a line here.
"""

REGISTRY = {
    "sgd": "mpifl.optimizers.sgd:Sgd",
    "adam": "mpifl.optimizers.adam:Adam",
    "adamw": "mpifl.optimizers.adamw:AdamW",
    "adagrad": "mpifl.optimizers.adagrad:Adagrad",
    "rmsprop": "mpifl.optimizers.rmsprop:RmsProp",
}
