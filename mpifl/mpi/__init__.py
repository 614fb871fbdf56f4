"""Ranks: who is who, collectives, the shared queue. The only package that imports mpi4py."""

import os

# Before MPI starts, and only where all ranks are on one node, so that no network has any use: Open
# MPI 5 prints an error for its UCX windows wherever UCX finds no network, and its probe of
# libfabric sleeps for a second.
if int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)) == int(
    os.environ.get("OMPI_COMM_WORLD_SIZE", 1)
):
    os.environ.setdefault("OMPI_MCA_osc", "^ucx")
    os.environ.setdefault("OMPI_MCA_btl", "^ofi")
