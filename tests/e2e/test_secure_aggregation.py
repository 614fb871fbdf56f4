"""Secure aggregation: the model of the plain run to the bit, on any number of ranks, whoever leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.secure_aggregation import REGISTRY
from mpifl.secure_aggregation.step import Phase
from tests.launching import Finished, resume_runs, run_jobs
from tests.normed import HERE

JOB = (
    "quickstart",
    "rounds=4",
    "evaluation.every=2",
    "data.partition={name: iid, clients: 30}",
)
PROTOCOLS: dict[str, dict[str, Any]] = {
    "secagg": {"threshold": 0.6},
    "secagg_plus": {"neighbours": 10, "threshold": 0.51},
    "lightsecagg": {"threshold": 0.6, "privacy": 0.4},
    "turbo_aggregate": {"group_size": 6},
}


def secured(name: str, *more: str, **options: object) -> tuple[str, ...]:
    section = {"name": name, **PROTOCOLS[name], **options}
    return (*JOB, f"secure_aggregation={json.dumps(section)}", *more)


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


def in_the_clear(name: str) -> tuple[str, ...]:
    return secured(name, masks="charged")


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.runs((1,), in_the_clear)
@pytest.mark.runs((1, 2, 3), secured)
def test_the_unmasked_sum_has_the_bits_of_the_plain_one_whoever_leaves(
    runs: list[Finished], name: str
) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    # Over-commitment: some have shared their secrets, and the round ends without their updates.
    assert (rounds["left"] > 0).all()
    assert not rounds["void"].any()
    assert (rounds["secure_seconds"] > 0).all()


WITH_ALL = ("clock={mode: all, availability: always}", "rounds=3")


def with_all(name: str) -> tuple[str, ...]:
    return secured(name, *WITH_ALL)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.runs((1,), (*JOB, *WITH_ALL))
@pytest.mark.runs((3,), with_all)
def test_the_model_is_that_of_a_run_without_where_nobody_leaves(
    runs: list[Finished], name: str
) -> None:
    plain, secure = runs
    assert secure.summary["model_sha256"] == plain.summary["model_sha256"]
    rounds = secure.table("rounds")
    assert (rounds["left"] == 0).all()
    assert (rounds["answered"] == 10).all()
    assert secure.summary["bytes_up"] > plain.summary["bytes_up"]
    assert secure.summary["virtual_seconds"] > plain.summary["virtual_seconds"]


TOO_FEW = ("clock.overcommitment=2.5",)


def too_few(name: str) -> tuple[str, ...]:
    return secured(name, *TOO_FEW)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.runs((1, 3), too_few)
def test_a_round_with_too_few_left_is_void_and_the_model_stays(
    runs: list[Finished], name: str
) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    assert rounds["void"].all()
    assert (rounds["completed"] == 0).all()
    assert (rounds["abandoned"] == 10).all()
    assert runs[0].summary["void_rounds"] == 4
    assert "too few for the job's secure_aggregation; the model stays as it is" in runs[0].stdout
    accuracies = rounds["accuracy"][np.isfinite(rounds["accuracy"])]
    assert len(set(accuracies.tolist())) == 1


WAYS = {
    "averaged buffers, and state of clients": (
        f"model={{name: {HERE}:Normed, hidden: [32]}}",
        "algorithm=scaffold",
    ),
    "measured costs": ("clock.costs=measured",),
    "several sums": ("algorithm={name: ifca, clusters: 2}",),
    "a clip, attackers and a coded download": (
        "exchange={up: [{name: clip, norm: 1.0}], down: [float16]}",
        "attacks=[{name: sign_flip, share: 0.2}]",
    ),
    "noise of the server": (
        "exchange.up=[{name: clip, norm: 0.5}]",
        "privacy={name: gaussian, noise_multiplier: 0.5}",
    ),
    "a deadline": ("clock={mode: deadline, quantile: 0.8, overcommitment: 1.2}",),
    "a server with little bandwidth": ("clock.latency.server_up_kbps=2000",),
}


def by_way(way: str, **options: object) -> tuple[str, ...]:
    return secured("secagg", *WAYS[way], "rounds=3", **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.runs((1,), lambda way: by_way(way, masks="charged"))
@pytest.mark.runs((3,), by_way)
def test_masks_cancel_with(runs: list[Finished], way: str) -> None:
    assert_same(runs)
    assert not runs[0].table("rounds")["void"].all()


@pytest.mark.runs((1,), (*in_the_clear("secagg"), "rounds=3"))
def test_the_record_says_what_secure_aggregation_took(runs: list[Finished]) -> None:
    rounds, people = (runs[0].table(table) for table in ("rounds", "participants"))
    for name in ("secure_bytes_down", "secure_bytes_up"):
        assert runs[0].summary[name] == rounds[name].sum() == people[name].sum() > 0
    for row in rounds:
        own = people[people["round"] == row["round"]]
        phases = own["phase"]
        assert row["shared"] == np.count_nonzero(phases >= Phase.SHARED)
        assert row["answered"] == np.count_nonzero(phases == Phase.ANSWERED)
        assert row["left"] == np.count_nonzero(phases == Phase.SHARED)
    assert "secure aggregation: " in runs[0].stdout


def test_a_run_goes_on_from_a_checkpoint_on_other_ranks(tmp_path: Path) -> None:
    more = ("checkpoint.every=1", "checkpoint.keep=4", "evaluation.every=3")
    asked = [(tmp_path, secured(name, *more)) for name in PROTOCOLS]
    whole = run_jobs(1, asked)
    again = resume_runs(3, run_jobs(1, asked))
    for one, other in zip(whole, again, strict=True):
        assert other.summary["resumed_from"] == 3
        assert_same([one, other])


def test_every_protocol_is_among_these() -> None:
    assert {*PROTOCOLS, "none"} == set(REGISTRY)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("aggregation=median",), "aggregation.name: 'median' is not allowed"),
        (("clock={mode: buffered, concurrency: 20}",), "clock.mode: 'buffered' is not allowed"),
        (("selection={name: power_of_choice, participants: 10}",), "selection.name: "),
        (("exchange.up=[float16]",), "exchange.up: stages that change the bytes"),
        (("attacks=[{name: alie, share: 0.2}]",), "attacks: attackers that collude are not"),
        (("selection.participants=1", "clock.overcommitment=3"), "selection.participants: 1 is"),
        (("selection.participants=1", "clock={mode: all}"), "selection.participants: 1 is"),
        (("runtime.on_client_error=drop",), "runtime.on_client_error: 'drop' is not allowed"),
        (("runtime.on_divergence=record",), "runtime.on_divergence: 'record' is not allowed"),
        (("protocol=gossip", "selection.participants=null"), "protocol.name: 'gossip' is not"),
        (("secure_aggregation={name: lightsecagg, privacy: 0.8}",), "privacy has to be below"),
    ],
)
def test_what_does_not_go_with_it_is_refused_with_a_line(keys: tuple[str, ...], line: str) -> None:
    with pytest.raises(InputError, match=line.replace("(", "\\(")):
        check_job(JOB[0], [*JOB[1:], "secure_aggregation=secagg", *keys])
