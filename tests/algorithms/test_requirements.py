"""What an algorithm needs of the rest of a job is told in a line with what is allowed."""

from __future__ import annotations

import re

import pytest

from mpifl.errors import InputError
from mpifl.rounds.build_experiment import check_job


def test_an_algorithm_that_needs_one_model_a_round_says_which_clocks_have_that() -> None:
    said = "clock.mode: 'buffered' is not allowed with algorithm.name mimelite, which needs rounds"
    job = ["algorithm=mimelite", "clock={mode: buffered, concurrency: 9}"]
    with pytest.raises(InputError, match=re.escape(said) + ".*; allowed: sync, all, deadline$"):
        check_job("quickstart", job)
