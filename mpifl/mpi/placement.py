"""Which GPU is a rank's own: from its rank on the node and from what the node's allocation has. Nothing here calls MPI.

Whoever started the ranks says which rank of the node each is, in variables of its own, before MPI itself is started: in time
for CUDA, which reads CUDA_VISIBLE_DEVICES when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"

# Rank on the node, and how many there are: Open MPI, MPICH and Intel MPI (Hydra), MVAPICH, srun. Slurm's come last, and only
# of a step: under mpirun in a batch script SLURM_LOCALID is 0 on every rank.
LOCAL = (
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),
)


def local_rank(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The rank on its node and the ranks there; None where nobody says."""
    for rank, size in LOCAL:
        # Slurm writes 4(x2) for four tasks on each of two nodes.
        found = environment.get(rank, ""), environment.get(size, "").split("(")[0].split(",")[0]
        if all(text.isdigit() for text in found) and int(found[0]) < int(found[1]):
            return int(found[0]), int(found[1])
    return None


def own_gpu(environment: Mapping[str, str]) -> str | None:
    """The one of the node's GPUs that a rank uses, as CUDA_VISIBLE_DEVICES names it; None where there are none to share out.

    Neighbouring ranks share a GPU, since mpirun binds them to neighbouring cores, which are near the same one.
    """
    gpus = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    if VISIBLE not in environment and environment.get("SLURM_GPUS_ON_NODE", "").isdigit():
        gpus = [str(number) for number in range(int(environment["SLURM_GPUS_ON_NODE"]))]
    if local_rank(environment) is None or not gpus:
        return None
    return gpus[own_share(environment, len(gpus))]


def own_share(environment: Mapping[str, str], count: int) -> int:
    """Which of ``count`` equal things of the node a rank uses; the first where nobody says which rank of the node it is."""
    rank, size = local_rank(environment) or (0, 1)
    return rank * count // size
