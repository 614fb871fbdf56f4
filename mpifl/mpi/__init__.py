"""Ranks: who is who, Bcast and exact Reduce, the shared queue. The only package that imports mpi4py."""

import os

# Before MPI starts: Open MPI prints an error for its UCX windows wherever UCX finds no network; on one node they have no use.
if int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)) == int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)):
    os.environ.setdefault("OMPI_MCA_osc", "^ucx")
