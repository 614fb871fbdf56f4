"""The columns of run.h5 that only some jobs have."""

from __future__ import annotations

import pytest

from mpifl.job import read_job
from mpifl.record.job_tables import tables_of
from mpifl.record.scores import own_scores
from mpifl.record.tables import row_type

EVERYTHING = (
    "clock.battery.capacity_joules=30000",
    "attacks=[{name: model_replacement, share: 0.2, target: 1}]",
    "privacy={name: gaussian, noise_multiplier: 1.0}",
    "runtime.on_divergence=record",
    "contribution=leave_one_out",
    "secure_aggregation=secagg",
)
"""What gives a job columns of its own; together no job may have them."""


@pytest.mark.parametrize("given", EVERYTHING)
def test_only_an_attack_gives_a_run_a_score_beside_those_of_its_objective(given: str) -> None:
    plain = row_type(tables_of(read_job("quickstart"))["rounds"])
    columns = row_type(tables_of(read_job("quickstart", [given]))["rounds"])
    assert len(columns.names or ()) > len(plain.names or ())
    assert own_scores(plain) == []
    assert own_scores(columns) == (["attack_success"] if "attacks" in given else [])


def test_the_measures_of_an_objective_are_its_scores() -> None:
    job = read_job("quickstart", ["objective=multi_label"])
    assert own_scores(row_type(tables_of(job)["rounds"])) == [*job.objective.measures]
