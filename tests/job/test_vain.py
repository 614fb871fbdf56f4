"""Keys that do nothing without another one are refused: a run that ignores one looks like one that heeds it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mpifl.attacks.edge_case import EdgeCase
from mpifl.attacks.lazy import Lazy
from mpifl.clock.background import Background
from mpifl.clock.latency import Latency
from mpifl.clock.radio import Radio
from mpifl.clock.retry import Retry
from mpifl.clock.staleness import Staleness
from mpifl.errors import InputError
from mpifl.job import dump_job, load_yaml, parse_job
from mpifl.job.section import Section
from mpifl.optimizers.sgd import Sgd
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.selection.oort import Oort
from mpifl.selection.pyramidfl import PyramidFL
from mpifl.selection.tifl import TiFL

HALF = (0.5,) * 24
RARE = {"target": 1, "share": 0.5}


@pytest.mark.parametrize(
    ("section", "keys", "said"),
    [
        (Retry, {"wait_seconds": 3}, "wait_seconds does nothing without broken_share"),
        (Retry, {"wait_seconds": 3, "resume": False}, "and resume do nothing without broken"),
        (Background, {"busy_speed": 0.3}, "busy_speed does nothing without busy_share"),
        (Background, {"traffic_speed": 0.3}, "traffic_speed does nothing without traffic_share"),
        (Background, {"by_hour": HALF}, "by_hour does nothing without busy_share"),
        (Radio, {"tail_watts": 1}, "tail_watts does nothing without tail_seconds"),
        (Radio, {"tail_seconds": 1}, "tail_seconds does nothing without tail_watts"),
        (Latency, {"throttled_speed": 0.5}, "throttled_speed does nothing without throttled_after"),
        (Staleness, {"slope": 3}, "slope 3 does nothing with polynomial; it is of hinge"),
        (Staleness, {"name": "constant", "exponent": 1}, "exponent 1 does nothing with constant"),
        (Staleness, {"name": "hinge", "exponent": 1}, "exponent 1 does nothing with hinge"),
        (Sgd, {"dampening": 0.5}, "dampening does nothing without momentum"),
        (EdgeCase, {**RARE, "samples": "a.h5", "rarest": 0.2}, "rarest is of a source"),
        (EdgeCase, {**RARE, "source": 7, "content": "ab"}, "content is of the file samples"),
        (TiFL, {"adaptive": False, "interval": 7}, "interval 7 does nothing with adaptive false"),
        (PyramidFL, {"most_blocked": 0.5}, "most_blocked does nothing without most_participations"),
        (Lazy, {"share": 0.5, "knows": "attackers"}, "Input should be 'all'"),
    ],
)
def test_a_key_that_would_do_nothing_is_refused(
    section: type[Section], keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        section(**keys)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        (Retry, {"wait_seconds": 3, "broken_share": 0}),  # as a sweep of broken_share has it
        (Retry, {"wait_seconds": 1.0}),
        (Background, {"busy_share": 0, "busy_speed": 0.3, "by_hour": HALF}),
        (Background, {"traffic_share": 0.5, "by_hour": HALF}),
        (Radio, {"tail_seconds": 0, "tail_watts": 1}),
        (Radio, {"base_watts": 1}),
        (Latency, {"throttled_after": None, "throttled_speed": 0.5}),
        (Staleness, {"name": "hinge", "slope": 3, "from_versions": 1, "exponent": 0.5}),
        (Sgd, {"momentum": 0, "dampening": 0.5}),
        (EdgeCase, {**RARE, "source": 7, "rarest": 0.2}),
        (TiFL, {"interval": 7}),
        (TiFL, {"adaptive": False, "interval": 20}),  # as job.yaml has it
        (Oort, {"most_blocked": 0.5}),
        (Oort, {"most_participations": None, "most_blocked": 0.5}),  # as a sweep has it
        (PyramidFL, {"most_participations": 3, "most_blocked": 0.5}),
    ],
)
def test_one_whose_other_key_is_given_is_not(section: type[Section], keys: dict[str, Any]) -> None:
    section(**keys)


def test_a_job_written_out_with_all_of_its_keys_can_be_read_again() -> None:
    raw = {
        "rounds": 1,
        "model": "logreg",
        "selection": {"name": "uniform", "participants": 1},
        "clock": {"mode": "async", "concurrency": 1, "staleness": {"name": "hinge", "slope": 3}},
    }
    job = parse_job(raw)
    assert parse_job(load_yaml(dump_job(job))) == job


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            ["privacy={name: gaussian, noise_multiplier: 1, count_noise: 3}", "exchange.up=clip"],
            "privacy.count_noise: 3 is not allowed without adaptive_clip",
        ),
        (
            ["model=none", "algorithm={name: histogram, column: 3}"],
            "algorithm.column: 3 is not allowed with value label, which has no columns",
        ),
        (
            ["model=none", "algorithm={name: histogram, value: samples, domain: 9, column: 3}"],
            "algorithm.column: 3 is not allowed with value samples",
        ),
    ],
)
def test_what_the_rest_of_a_job_makes_vain_is_refused(keys: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_job("quickstart", keys)
