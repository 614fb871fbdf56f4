"""Every rank has a GPU, none has more ranks than it must, and neighbours share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.mpi.placement import VISIBLE, local_rank, own_gpu

OPEN_MPI = {"OMPI_COMM_WORLD_LOCAL_RANK": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}
HYDRA = {"MPI_LOCALRANKID": "2", "MPI_LOCALNRANKS": "4"}
STEP = {"SLURM_LOCALID": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
BATCH = {"SLURM_LOCALID": "0", "SLURM_TASKS_PER_NODE": "4(x2)"}


@pytest.mark.parametrize("says", [OPEN_MPI, HYDRA, STEP, OPEN_MPI | BATCH, HYDRA | BATCH])
def test_whoever_started_the_ranks_is_asked(says: dict[str, str]) -> None:
    assert local_rank(says) == (2, 4)
    assert own_gpu(says | {VISIBLE: "4,5"}) == "5"
    assert own_gpu(says | {"SLURM_GPUS_ON_NODE": "2"}) == "1"
    assert own_gpu(says) is None


@pytest.mark.parametrize(
    "says", [{}, BATCH, OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_RANK": "x"}, {"MPI_LOCALRANKID": "2"}]
)
def test_where_nobody_says_nothing_is_shared_out(says: dict[str, str]) -> None:
    assert local_rank(says) is None
    assert own_gpu(says | {VISIBLE: "0,1"}) is None


@given(st.integers(1, 64), st.integers(1, 16))
def test_gpus_are_shared_evenly_by_neighbours(ranks: int, gpus: int) -> None:
    names = [f"GPU-{number:02}" for number in range(gpus)]
    found = [
        own_gpu(
            {"MPI_LOCALRANKID": str(rank), "MPI_LOCALNRANKS": str(ranks), VISIBLE: ",".join(names)}
        )
        for rank in range(ranks)
    ]
    assert found == sorted(found, key=str)
    counts = Counter(found)
    assert len(counts) == min(ranks, gpus)
    assert max(counts.values()) - min(counts.values()) <= 1
