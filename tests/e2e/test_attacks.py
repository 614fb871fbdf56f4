"""Clients that attack: the same bits on any number of ranks, and what rules make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.attacks import REGISTRY
from mpifl.clock.timeline import Outcome
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.known import known
from tests.launching import Finished, resume_runs, run_job, run_jobs
from tests.normed import HERE

JOB = (
    "quickstart",
    "rounds=6",
    "evaluation.every=2",
    "data.partition={name: iid, clients: 30}",
)


def under(attack: dict[str, object], *more: str) -> tuple[str, ...]:
    who = {} if "clients" in attack or "device_class" in attack else {"share": 0.2}
    return (*JOB, f"attacks={json.dumps([{**who, **attack}])}", *more)


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


FLIP = {"name": "sign_flip", "strength": 10}


@pytest.mark.runs((1, 2, 3), under(FLIP))
@pytest.mark.runs((1, 2, 3), under(FLIP, "aggregation=median"))
def test_a_fifth_that_flips_signs_ruins_the_mean_and_not_the_median(runs: list[Finished]) -> None:
    assert_same(runs[:3])
    assert_same(runs[3:])
    mean, median = (run.table("rounds")["accuracy"][-1] for run in (runs[0], runs[3]))
    assert mean < median - 0.2


@pytest.mark.runs((1,), under({**FLIP, "first_round": 100}), JOB)
def test_attackers_that_have_not_begun_change_nothing(runs: list[Finished]) -> None:
    attacked, honest = (run.summary["model_sha256"] for run in runs)
    assert attacked == honest


EACH: dict[str, dict[str, Any]] = {
    "label_flip": {"source": 3, "target": 8},
    "poisoning": {"transform": {"name": "noise", "deviation": 3}},
    "model_replacement": {"target": 2, "factor": 4},
    "edge_case": {"source": 7, "target": 1, "rarest": 0.3, "factor": 2},
    **{name: {} for name in ("scaling", "gaussian", "zero", "same_value", "free_rider")},
    "lazy": {"noise": 0.001},
    "alie": {"knows": "all", "z": 1.5},
    "min_max": {"knows": "all"},
    "min_sum": {"direction": "unit", "knows": "all"},
}


def alone(name: str) -> tuple[str, ...]:
    return under({"name": name, **EACH[name]}, "rounds=3")


@pytest.mark.parametrize("name", EACH)
@pytest.mark.runs((1, 3), alone)
def test_every_attack_is_the_same_on_any_number_of_ranks(runs: list[Finished], name: str) -> None:
    assert_same(runs)
    assert runs[0].table("rounds")["attackers"].sum() > 0


def test_every_attack_is_among_these() -> None:
    assert {*EACH, "sign_flip"} == set(REGISTRY)


WAYS = {
    "averaged buffers, and others' state": (
        f"model={{name: {HERE}:Normed, hidden: [32]}}",
        "algorithm=scaffold",
    ),
    "asynchronous rounds": ("clock={mode: buffered, concurrency: 20}",),
    "measured costs, and buckets": (
        "clock.costs=measured",
        "aggregation={name: median, bucket: 2}",
    ),
    "several sums, and a gradient that is asked for": (
        "algorithm=fedsgd",
        "training.lr=0.5",
    ),
    "a reference": ("aggregation=centered_clipping",),
}
SEVERAL = [
    {"name": "label_flip", "share": 0.2},
    {"name": "min_max", "clients": [0, 1, 2, 3, 4, 5]},
    {"name": "gaussian", "device_class": "slow", "first_round": 3, "noise": 0.01, "added": True},
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.runs(
    (1, 2, 3), lambda way: (*JOB, "rounds=4", f"attacks={json.dumps(SEVERAL)}", *WAYS[way])
)
def test_several_attacks_at_once_are_the_same_with(runs: list[Finished], way: str) -> None:
    assert_same(runs)


# The record


@pytest.mark.runs((1,), JOB)
@pytest.mark.runs((1,), under(FLIP))
@pytest.mark.runs((1,), under(FLIP, "aggregation={name: multi_krum, kept: 0.7}"))
def test_the_record_says_who_attacked_and_whose_updates_a_rule_left_out(
    runs: list[Finished],
) -> None:
    honest, mean, krum = runs
    assert "attackers" not in known(honest.table("rounds").dtype.names)
    assert "attacks" not in known(honest.table("participants").dtype.names)
    assert mean.table("rounds")["rejected"].sum() == 0

    rounds = krum.table("rounds")
    rows = krum.table("participants")
    assert len(np.unique(rows["client"][rows["attacks"] > 0])) <= 6  # a fifth of 30
    for row in rounds:
        own = rows[rows["round"] == row["round"]]
        done = own["outcome"] == 0
        out = own["rejected"] > 0
        assert row["attackers"] == (done & (own["attacks"] > 0)).sum()
        assert row["rejected"] == out.sum() == 3
        assert not (out & ~done).any()
        assert row["rejected_attackers"] == (out & (own["attacks"] > 0)).sum()
    assert rounds["rejected_attackers"].sum() == rounds["attackers"].sum()


BACKDOOR = {"name": "model_replacement", "factor": 8}


@pytest.mark.runs((1, 3), under(BACKDOOR))
@pytest.mark.runs((1, 3), under(BACKDOOR, "aggregation=median"))
def test_a_backdoor_opens_in_the_mean_and_not_in_the_median(runs: list[Finished]) -> None:
    assert_same(runs[:2])
    assert_same(runs[2:])
    mean, median = (runs[place].summary["final"] for place in (0, 2))
    assert mean["attack_success"] > 0.9 > 0.1 > median["attack_success"]
    assert mean["accuracy"] > 0.6
    assert np.isnan(runs[0].table("rounds")["attack_success"][0])  # not tested after round 1


# Divergence

FAR = {"name": "same_value", "value": 4e6}
FARTHER = {"name": "gaussian", "noise": 3e38}


@pytest.mark.runs((1, 3), under(FAR, "runtime.on_divergence=record"))
@pytest.mark.runs((1, 3), under(FARTHER, "runtime.on_divergence=record"))
def test_a_model_that_diverges_is_a_result_where_the_job_says_so(runs: list[Finished]) -> None:
    assert_same(runs[:2])
    assert_same(runs[2:])
    rounds = runs[0].table("rounds")
    assert rounds["diverged"].max() == 1
    assert (rounds["loss"][rounds["diverged"] > 0] > 1000).all()
    assert len(rounds) == 6
    assert json.loads(json.dumps(runs[0].summary, allow_nan=False))

    left_out = runs[2].table("rounds")  # what cannot be summed is no update
    assert left_out["failed"].sum() > 0
    assert left_out["diverged"].max() == 0
    assert runs[2].summary["final"]["accuracy"] > 0.4


def test_a_run_that_diverges_ends_otherwise(tmp_path: Path) -> None:
    ended = run_job(1, tmp_path, *under(FARTHER))
    assert ended.status == 1
    assert "update is not usable" in ended.stderr


COLLUDING = {
    "alie": "attacks=[{name: alie, z: 1e30, share: 0.4}]",
    "lazy": "attacks=[{name: lazy, noise: 1e30, share: 0.4}]",
}


def test_colluders_whose_updates_cannot_be_summed_end_the_run_in_a_line(tmp_path: Path) -> None:
    for attack, rule in (("alie", "krum"), ("lazy", "mean")):
        ended = run_job(1, tmp_path, *JOB, COLLUDING[attack], f"aggregation={rule}")
        assert ended.status == 1
        assert "Traceback" not in ended.stderr
        assert f"attacks: '{attack}' makes updates with values that are not finite" in ended.stderr


@pytest.mark.runs(
    (1, 3),
    *(
        [*JOB, line, "aggregation=krum", "runtime.on_divergence=record"]
        for line in COLLUDING.values()
    ),
)
def test_or_it_goes_on_with_the_largest_values(runs: list[Finished]) -> None:
    assert_same(runs[:2])
    assert_same(runs[2:])


# Kill and resume

STATES = {
    "histories of clients": ("aggregation=foolsgold", "attacks=[{name: sign_flip, share: 0.2}]"),
    "the last result": ("aggregation=centered_clipping", "attacks=[{name: alie, share: 0.3}]"),
    "the server's samples": (
        "aggregation={name: fltrust, root_samples: 30}",
        "data.split={by: samples, validation: 0.1, test: 0.2}",
        "attacks=[{name: model_replacement, share: 0.2}]",
        "runtime.on_divergence=record",
    ),
    "noise on the model": ("aggregation=crfl", "attacks=[{name: free_rider, share: 0.2}]"),
}
SAVED = ("checkpoint.every=2", "checkpoint.keep=4")


def saved(state: str) -> tuple[str, ...]:
    return (*JOB, *STATES[state], *SAVED)


@pytest.fixture(scope="module")
def taken_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Finished, Finished]]:
    """A run on one rank, and a copy that goes on at three from its last checkpoint but one."""
    jobs = [(tmp_path_factory.mktemp("state"), saved(state)) for state in STATES]
    whole = run_jobs(1, jobs)
    copies = run_jobs(1, [(tmp_path_factory.mktemp("copy"), job) for _, job in jobs])
    again = resume_runs(3, copies)
    return dict(zip(STATES, zip(whole, again, strict=True), strict=True))


@pytest.mark.parametrize("state", STATES)
def test_a_run_under_attack_goes_on_with(
    taken_up: dict[str, tuple[Finished, Finished]], state: str
) -> None:
    whole, again = taken_up[state]
    assert again.summary["resumed_from"] == 4
    assert_same([whole, again])


# Wrong jobs

REFUSED = {
    "attacks: 33 are not allowed; allowed: up to 32": [{"name": "zero", "share": 0.5}] * 33,
    "attacks.0.share: 0.01 is not allowed: of 30 clients that is nobody": [
        {"name": "zero", "share": 0.01}
    ],
    "attacks.1.clients: 30 is not allowed; allowed: 0 to 29": [
        {"name": "zero", "share": 0.5},
        {"name": "zero", "clients": [30]},
    ],
    "attacks.0.clients: 'nobody' is no client of digits": [{"name": "zero", "clients": ["nobody"]}],
    "attacks.1.target: 10 is not allowed with attack model_replacement; allowed: 0 to 9": [
        {"name": "zero", "share": 0.5},
        {"name": "model_replacement", "share": 0.5, "target": 10},
    ],
    "attacks.0.size: 9 is not allowed with attack model_replacement": [
        {"name": "model_replacement", "share": 0.5, "size": 9}
    ],
    "attacks.1.samples: ": [
        {"name": "zero", "share": 0.5},
        {"name": "edge_case", "share": 0.5, "target": 1, "samples": "nowhere.h5"},
    ],
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_wrong_attack_is_refused_in_a_line(said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job(JOB[0], [*JOB[1:], f"attacks={json.dumps(REFUSED[said])}"])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("algorithm", ["fedlc", "fedrod"])
def test_flipped_labels_are_classes_that_the_attacker_has(tmp_path: Path, algorithm: str) -> None:
    """A class without a sample has no probability: its loss would be infinite."""
    flip = "attacks={name: label_flip, share: 0.5}"
    skewed = "data.partition.alpha=0.1"
    done = run_job(1, tmp_path, "quickstart", "rounds=2", skewed, flip, f"algorithm={algorithm}")
    assert done.status == 0, done.stderr
    participants = done.table("participants")
    completed = participants["outcome"] == Outcome.COMPLETED
    assert participants["attacks"][completed].any()
    assert np.isfinite(participants["loss"][completed]).all()


def test_rules_that_do_not_go_with_a_job_are_refused_in_a_line() -> None:
    for said, *changes in (
        ("aggregation.name: 'foolsgold' is not allowed with attackers that collude",
         "aggregation=foolsgold", "attacks=[{name: alie, share: 0.2}]"),
        ("aggregation.root_samples: 30 is not allowed: the validation part of digits has 0",
         "aggregation={name: fltrust, root_samples: 30}"),
        ("aggregation.root_clients: 30 is not allowed; allowed: 0 to 29",
         "aggregation={name: fltrust, root_clients: [30]}"),
        ("aggregation.name: 'fltrust' is not allowed with algorithm.name fedproto",
         "aggregation={name: fltrust, root_clients: [3]}", "algorithm=fedproto"),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            check_job(JOB[0], [*JOB[1:], *changes])
        assert said in str(caught.value)
