"""Client optimizers, one per file, by the definitions of torch.optim.

They work on lists of tensors, so that a step of one client and a step of a group are the same code.
Imports: job. To add one: a file, its test, a line here.
"""

REGISTRY = {
    "sgd": "mpifl.optimizers.sgd:Sgd",
}
