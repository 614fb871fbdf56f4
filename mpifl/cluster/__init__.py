"""What mpifl knows of the machines it runs on: Slurm, signals, `mpifl doctor`, and whether ranks are alike.

Imports: rounds and below. MPI itself is in ``mpifl/mpi``.
"""
