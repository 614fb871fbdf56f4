"""How the updates of a round become one: the exact sum, on the host and on a GPU.

Sums are 64-bit fixed point, so their bits depend neither on the order of the updates nor on the
ranks. Imports: errors, io, kernels. Everything that sums across clients imports from here. To add a
rule: a file of its own here.
"""
