"""Every selection rule at 1 rank, and killed in the middle and taken up again at 3 ranks: the same bits and the same rows."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from mpifl.selection import REGISTRY
from tests.launching import Finished, resume_runs, run_jobs

SHORT = ("quickstart", "rounds=6", "checkpoint.every=3", "evaluation.every=3")
CLOCKS = {
    "sync": "clock.mode=sync",
    "buffered": "clock={mode: buffered, concurrency: 9}",
    "all": "clock={mode: all}",
}
ALLOWED = {"power_of_choice": ["sync"], "poisson": ["all"]}
"""The clocks of rules that some refuse."""

EXTRA = {
    ("pyramidfl", "sync"): ("exchange.up={name: random_k, share: 0.9}", "training.engine=loop"),
}
"""Further keys of a case."""

OPTIONS: dict[str, dict[str, Any]] = {
    "oort": {"exploration": 0.5, "pacer_rounds": 1},
    "pyramidfl": {"exploration": 0.5, "pacer_rounds": 1},
    "pyramidfl, sync": {"most_sent": 0.9, "least_sent": 0.4},
    "pyramidfl, buffered": {"extra_steps": 0},
    "loss": {"temperature": 0.1, "uniform": 0.2, "unknown": "mean"},
    "device_class": {"shares": {"fast": 0.7, "slow": 0.3}},
    "fair": {"second_cost": 0.01},
    "available": {"accuracy": 0.8},
    "tifl": {"profiling_rounds": 2, "interval": 1, "tiers": 3, "credits": [2, 2, 2]},
    "refl": {"hold_off": 2},
    "poisson": {"participants": 1},  # some rounds have none
}
"""What makes a rule do in six rounds what it does in many by its defaults."""

CASES = [(rule, clock) for rule in REGISTRY for clock in ALLOWED.get(rule, ["sync", "buffered"])]
Pair = tuple[Finished, Finished]


@pytest.fixture(scope="module")
def pairs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Pair]:
    """Each case at 1 rank, and a copy of it taken up again at 3: all under two calls of mpirun."""
    here: list[Any] = [item for item in request.session.items if item.path == request.path]
    cases = [(item.callspec.params["rule"], item.callspec.params["clock"]) for item in here]
    folder = tmp_path_factory.mktemp("rules")
    jobs = []
    for rule, clock in cases:
        own = OPTIONS.get(rule, {}) | OPTIONS.get(f"{rule}, {clock}", {})
        section = {"name": rule, "participants": 5, **own}
        more = EXTRA.get((rule, clock), ())
        jobs.append((folder, [*SHORT, CLOCKS[clock], f"selection={json.dumps(section)}", *more]))
    one = run_jobs(1, jobs)
    assert [run.status for run in one] == [0] * len(one), "".join(run.stderr for run in one)

    copies = [
        Finished(0, "", "", tmp_path_factory.mktemp("killed") / run.folder.name) for run in one
    ]
    for run, copy in zip(one, copies, strict=True):
        shutil.copytree(run.folder, copy.folder)
    return dict(zip(cases, zip(one, resume_runs(3, copies), strict=True), strict=True))


@pytest.mark.parametrize(("rule", "clock"), CASES)
def test_a_rule_chooses_the_same_after_a_resume_on_other_ranks(
    pairs: dict[tuple[str, str], Pair], rule: str, clock: str
) -> None:
    one, resumed = pairs[rule, clock]
    assert resumed.status == 0, resumed.stderr
    assert resumed.summary["resumed_from"] == 3
    assert (one.summary["ranks"], resumed.summary["ranks"]) == (1, 3)
    assert one.summary["model_sha256"] == resumed.summary["model_sha256"]
    for table in ("rounds", "participants"):
        assert one.table(table).tobytes() == resumed.table(table).tobytes()
