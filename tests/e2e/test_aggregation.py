"""Rules that need all updates: the same bits on any number of ranks, and the mean where they come to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.aggregation import REGISTRY
from tests.launching import Finished, run_job
from tests.normed import HERE

JOB = ("quickstart", "rounds=4", "evaluation.every=2")
OPTIONS: dict[str, dict[str, Any]] = {
    "norm_bound": {"quantile": 0.5},
    "fltrust": {"root_clients": [0, 1, 2, 3, 4]},
    "sign_vote": {"step": 0.03},
    "robust_learning_rate": {"threshold": 0.2},
}
SPREAD = sorted(set(REGISTRY) - {"mean"})


def with_rule(rule: str, *more: str) -> tuple[str, ...]:
    section = {"name": rule, **OPTIONS.get(rule, {})}
    return (*JOB, f"aggregation={json.dumps(section)}", *more)


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


@pytest.mark.parametrize("rule", SPREAD)
@pytest.mark.runs((1, 3), with_rule)
def test_every_rule_is_the_same_at_1_and_3_ranks_and_learns(
    runs: list[Finished], rule: str
) -> None:
    assert_same(runs)
    accuracy = runs[0].table("rounds")["accuracy"]
    assert accuracy[-1] > 0.2 or rule == "krum"  # one update of ten skewed clients teaches little


WAYS = {
    "several sums a round": ("algorithm={name: ifca, clusters: 3, spread: 0.2}",),
    "several arrays, with state of clients": ("algorithm=scaffold",),
    "averaged buffers": (f"model={{name: {HERE}:Normed, hidden: [32]}}",),
    "asynchronous rounds": ("clock={mode: buffered, concurrency: 20}",),
    "measured costs": ("clock.costs=measured", "training.engine=loop"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.runs((1, 2, 3), lambda way: with_rule("trimmed_mean", *WAYS[way]))
def test_a_rule_by_columns_is_the_same_with(runs: list[Finished], way: str) -> None:
    assert_same(runs)
    assert np.isfinite(runs[0].table("rounds")["loss"][-1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.runs((1,), lambda way: (*JOB, *WAYS[way]))
@pytest.mark.runs((1, 3), lambda way: (*JOB, *WAYS[way], "aggregation={name: multi_krum, kept: 1}"))
def test_krum_that_keeps_all_is_the_mean_to_the_bit_with(runs: list[Finished], way: str) -> None:
    assert_same(runs)


ALONE = ("selection.participants=1", "clock.overcommitment=1")


@pytest.mark.runs((1,), (*JOB, *ALONE))
@pytest.mark.runs((1, 3), with_rule("median", *ALONE))
@pytest.mark.runs((2,), with_rule("krum", *ALONE))
def test_a_median_of_one_update_is_it(runs: list[Finished]) -> None:
    assert_same(runs)


FAILS = """
from mpifl.algorithms.fedavg import FedAvg

class Mine(FedAvg):
    name: str = "mine"

    def client(self, c):
        upload = yield from super().client(c)
        if c.client % 3 == 0:
            upload.arrays["update"][3] = float("nan")
        return upload
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plug-in") / "mine.py"
    path.write_text(FAILS)
    return f"algorithm={path}:Mine"


def test_a_rule_without_its_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from mpifl.aggregation.aggregation import Aggregation\n"
        "class Mine(Aggregation):\n    name: str = 'mine'\n    def agregate(self, updates): ...\n"
    )
    refused = run_job(1, tmp_path, *JOB, f"aggregation={tmp_path}/mine.py:Mine")
    assert refused.status == 2
    assert refused.stderr.endswith("mine.py:Mine': it has no method aggregate; write one\n")


def test_an_update_that_is_not_finite_is_left_out_or_ends_the_run(
    failing: str, tmp_path: Path
) -> None:
    drop = "runtime.on_client_error=drop"
    left_out = [run_job(ranks, tmp_path, *with_rule("median", failing, drop)) for ranks in (1, 3)]
    assert_same(left_out)
    assert left_out[0].table("rounds")["failed"].sum() > 0

    ended = run_job(3, tmp_path, *with_rule("median", failing))
    assert ended.status == 1
    assert "update is not usable" in ended.stderr
    assert "client" in ended.stderr
