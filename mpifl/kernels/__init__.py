"""Numba: how kernels are compiled and cached, and the kernels that several parts share.

compile.py is the decorator and the cache; permutation.py deals devices to clients.
Imports: errors, io, seeds. Kernels of the clock are in ``mpifl/clock/kernels``.
"""
