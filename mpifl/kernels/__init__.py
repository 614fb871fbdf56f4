"""Numba: how kernels are compiled and cached, and the kernels that several parts share.

compile.py has the decorator and the cache; permutation.py assigns devices to clients and orders
clients at random. Imports: errors, io, seeds. Kernels of the clock
are in ``mpifl/clock/kernels``.
"""
