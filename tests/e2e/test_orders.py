"""What a selection rule orders, in training: told to all alike it is another job, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launching import Finished

RULE = Path(__file__).parents[1] / "ordering.py"
JOB = ("quickstart", "rounds=4", "selection.participants=4", "evaluation.every=4")
CLOCKS = {
    "declared": (),
    "measured": ("clock.costs=measured",),
    "buffered": ("clock={mode: buffered, concurrency: 7}",),
    "buffered, measured": ("clock={mode: buffered, concurrency: 7, costs: measured}",),
}


def told(engine: str) -> Callable[[str], tuple[str, ...]]:
    """Seven local steps, and half of what is 0.8 of the numbers."""
    return lambda clock: (
        *JOB,
        f"training.engine={engine}",
        *CLOCKS[clock],
        f"selection.name={RULE}:Ordering",
        "selection.steps=7",
        "selection.sent=0.5",
        "exchange.up=[error_feedback, {name: random_k, share: 0.8}]",
    )


def own(engine: str) -> Callable[[str], tuple[str, ...]]:
    return lambda clock: (
        *JOB,
        f"training.engine={engine}",
        *CLOCKS[clock],
        "training.epochs=null",
        "training.local_steps=7",
        "exchange.up=[error_feedback, {name: random_k, share: 0.4}]",
    )


def assert_alike(runs: list[Finished]) -> None:
    assert [run.status for run in runs] == [0] * len(runs), "".join(run.stderr for run in runs)
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert len({run.table("rounds").tobytes() for run in runs}) == 1
    plain, *ordered = (run.table("participants") for run in runs)
    for rows in ordered:
        assert set(rows["sent"].tolist()) == {0.5}
        for name in plain.dtype.names or ():
            assert rows[name].tobytes() == plain[name].tobytes(), name


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.runs((1,), own("loop"))
@pytest.mark.runs((1, 3), told("loop"))
def test_orders_alike_for_all_are_the_keys_of_the_job(runs: list[Finished], clock: str) -> None:
    assert_alike(runs)


@pytest.mark.parametrize("clock", ["declared"])
@pytest.mark.runs((1,), own("stacked"))
@pytest.mark.runs((1, 3), told("stacked"))
def test_so_they_are_in_stacks(runs: list[Finished], clock: str) -> None:
    assert_alike(runs)
