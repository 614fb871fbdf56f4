"""``clock.start``: a run that begins at another moment of the trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.clock.policies.sync import Sync
from mpifl.clock.timeline import ClockState, Timeline
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.plan.plan import make_plan
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.trace import Trace, write_trace

SLOTS: list[list[tuple[float, float]]] = [
    [(0, 30), (50, 100)],
    [(10, 40), (40, 55), (80, 95)],
    [(0, 100)],
    [(45, 70)],
    [(60, 65), (90, 100)],
]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (0, 0.0),
        (5, 5.0),
        (7.25, 7.25),
        ("2 18:30", 239_400.0),
        ("18:30", 66_600.0),
        ("0 0:05", 300),
    ],
)
def test_the_moment_is_given_in_seconds_or_as_day_and_hour(given: Any, seconds: float) -> None:
    assert Sync(start=given).start == seconds


@pytest.mark.parametrize(
    "given", ["2 24:00", "2 18:60", "Monday", "2 18", -1, "", True, float("nan")]
)
def test_other_moments_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="start"):
        Sync(start=given)


def test_an_hour_without_quotes_is_refused_in_a_job() -> None:
    with pytest.raises(InputError, match=r"18:30 is a number to base 60; for a text put it in quo"):
        check_job("quickstart", ["clock.start=18:30"])


def later(trace: Trace, seconds: int) -> Trace:
    """The trace from a whole second on, second by second. Its period is 100 s."""
    patterns = []
    for slots in SLOTS:
        online = {second for start, end in slots for second in range(int(start), int(end))}
        patterns.append([(s, s + 1) for s in range(100) if (s + seconds) % 100 in online])
    curve = trace.bandwidth
    points = [int(np.searchsorted(curve.start, (s + seconds) % 20, "right")) - 1 for s in range(20)]
    return replace(
        trace,
        offsets=np.cumsum([0, *(len(slots) for slots in patterns)]),
        start=np.array([start for slots in patterns for start, _ in slots], float),
        end=np.array([end for slots in patterns for _, end in slots], float),
        bandwidth=Bandwidth(
            np.array([0, 20]),
            np.arange(20.0),
            curve.download_kbps[points],
            curve.upload_kbps[points],
            np.array([20.0]),
        ),
    )


def rounds(folder: Path, trace: Trace, clock: str, *overrides: str) -> list[Timeline]:
    """The first 12 rounds on a trace, nothing trained. All times are exact in floats."""
    path = folder / "trace.h5"
    path.unlink(missing_ok=True)
    write_trace(path, trace)
    keys = (
        f"population.trace={path}",
        "population.clients=40",
        "selection.participants=4",
        "data.name=sizes",
        "data.samples_per_client={quantiles: {0: 5, 100: 20}}",
        "model={name: sized, parameters: 31250}",
        "training.engine=none",
        f"clock={clock}",
    )
    experiment = check_job("quickstart", [*keys, *overrides])[0]
    state = ClockState()
    made = []
    for number in range(1, 13):
        plan = make_plan(experiment.job, experiment.population, experiment.workload, number, state)
        state = plan.after
        made.append(plan.timeline)
    return made


@pytest.mark.parametrize(
    "clock",
    ["{mode: sync}", "{mode: all, availability: resume}", "{mode: buffered, concurrency: 9}"],
)
def test_a_run_from_a_moment_on_is_a_run_on_the_trace_from_then_on(
    tmp_path: Path, make_trace: Any, clock: str
) -> None:
    curve = Bandwidth(
        np.array([0, 3]),
        np.array([0.0, 6.0, 11.0]),
        np.array([512.0, 0.0, 128.0]),
        np.array([256.0, 64.0, 0.0]),
        np.array([20.0]),
    )
    trace = replace(make_trace(SLOTS, compute_ms_per_sample=[125.0] * 5), bandwidth=curve)
    for seconds in (100, 137, 48_263):
        begun = rounds(tmp_path, trace, clock, f"clock.start={seconds}")
        expected = rounds(tmp_path, later(trace, seconds), clock)
        for ours, theirs in zip(begun, expected, strict=True):
            assert ours.participants.tolist() == theirs.participants.tolist()
            moments = [(t.start_seconds, t.end_seconds, t.waited_seconds) for t in (ours, theirs)]
            assert moments[0] == moments[1]
    assert begun[0].start_seconds == begun[0].waited_seconds
