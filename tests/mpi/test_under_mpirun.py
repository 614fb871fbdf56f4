"""tests/ranks under mpirun at several rank counts, as CTest does it, and that failures and deadlocks there come to an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launching import mpirun

ROOT = Path(__file__).parents[2]
PYTEST = [
    "pytest",
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-n",
    "0",
    "--with-mpi",
    "--timeout-method",
    "thread",
]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_the_rank_tests_pass_at(ranks: int) -> None:
    done = mpirun(ranks, [*PYTEST, "--timeout", "240", "tests/ranks"], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" passed") == ranks  # one report a rank
    assert " skipped" not in done.stdout


def test_one_failing_rank_ends_all_of_them() -> None:
    done = mpirun(3, [*PYTEST, "--timeout", "240", "tests/ranks/one_rank_fails.py"], ROOT)
    assert done.returncode == 1
    assert "rank 1 fails on purpose" in done.stdout
    assert "Timeout" not in done.stdout + done.stderr  # not by the time limit


def test_a_deadlock_ends_by_its_time_limit() -> None:
    done = mpirun(2, [*PYTEST, "--timeout", "3", "tests/ranks/one_rank_waits.py"], ROOT)
    assert done.returncode != 0
    assert "Timeout" in done.stdout + done.stderr
