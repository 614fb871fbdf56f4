"""MPI, started with the settings that a run needs. It starts when this module is imported."""

from __future__ import annotations

import os
import signal

__all__ = ["MPI", "RECOVERS"]

RECOVERS = "OMPI_MCA_mpi_ft_enable"
"""The environment variable that ``mpirun --with-ft ulfm`` sets to 1."""

START_SECONDS = 600

# With ULFM mpirun does not end the other ranks when one dies before MPI has started, and they would
# wait for it for ever.
if os.environ.get(RECOVERS) == "1":
    signal.alarm(START_SECONDS)

# Between two ranks Open MPI's Ireduce sends pieces of 8 KiB, and each would wait for one of our
# sleeps: as one piece it takes 0.2 ms for 2 MiB and not 136. 2 is its binomial tree.
if os.environ.get("OMPI_COMM_WORLD_SIZE") == "2":
    os.environ.setdefault("OMPI_MCA_coll_libnbc_ireduce_algorithm", "2")

from mpi4py import MPI  # noqa: E402

signal.alarm(0)
