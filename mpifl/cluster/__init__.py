"""The machines of a run: Slurm, signals, `mpifl doctor`, and whether ranks compute alike.

It imports from rounds and below. MPI itself is in ``mpifl/mpi``.
"""
