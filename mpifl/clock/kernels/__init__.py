"""The Numba kernels of the clock: availability, transfers, latency, a shared server link.

Plain functions over arrays. Their machine code is cached (``mpifl/kernels/compile.py`` lists every
file). Imports: kernels, population. To add a kernel: its file here, and its name in that list.
"""
