"""Which GPU a rank uses: from its rank on the node and the GPUs of the allocation. Calls no MPI.

The launcher tells each rank its number on the node in environment variables, before MPI is started.
That is in time for CUDA, which reads CUDA_VISIBLE_DEVICES when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"

LOCAL = (
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),
)
"""Variables for the rank on the node and the number of ranks there: of Open MPI, of MPICH and Intel
MPI (Hydra), of MVAPICH, of srun. Slurm's come last, and only those of a step: under mpirun in a
batch script SLURM_LOCALID is 0 on every rank."""


def local_rank(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the rank on its node and the number of ranks there; None where no variable tells."""
    for rank_variable, size_variable in LOCAL:
        rank = environment.get(rank_variable, "")
        # Slurm writes 4(x2) for four tasks on each of two nodes.
        size = environment.get(size_variable, "").split("(")[0].split(",")[0]
        if rank.isdigit() and size.isdigit() and int(rank) < int(size):
            return int(rank), int(size)
    return None


def own_gpu(environment: Mapping[str, str]) -> str | None:
    """Return the GPU of the node that a rank uses, as CUDA_VISIBLE_DEVICES names it.

    None where there are no GPUs, or the rank on the node is not known. Neighbouring ranks share a
    GPU, since mpirun binds them to neighbouring cores, which are near the same one.
    """
    gpus = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    if VISIBLE not in environment and environment.get("SLURM_GPUS_ON_NODE", "").isdigit():
        gpus = [str(number) for number in range(int(environment["SLURM_GPUS_ON_NODE"]))]

    if local_rank(environment) is None or not gpus:
        return None
    return gpus[own_share(environment, len(gpus))]


def own_share(environment: Mapping[str, str], count: int) -> int:
    """Return which of ``count`` equal things of the node a rank uses, counted from 0.

    The first where the rank on the node is not known.
    """
    rank, size = local_rank(environment) or (0, 1)
    return rank * count // size
