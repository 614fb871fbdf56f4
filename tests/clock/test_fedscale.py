"""``clock: {preset: fedscale}`` against FedScale's rule in plain Python, on the real phones and the real availability.

What is meant to differ from FedScale's own code, and is ours on both sides here: ceil(1.3 N) clients are asked, not int(1.3 N);
who is online is looked up exactly, in half-open slots, and not by FedScale's cursor, which falls behind; the model is 4 bytes a
weight on the air, not the size of its pickle; a round that nobody finishes, where FedScale fails with an IndexError, ends when
the first of its clients would have finished.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpifl.clock.timeline import Outcome, Timeline
from mpifl.kernels.permutation import permuted
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.timing_only import run_timing
from mpifl.state.checkpoint import Checkpoints
from mpifl.stopwatch import UNWATCHED
from mpifl.traces.trace import Trace, write_trace
from tests.asking import ask

ROUNDS = 1000
BATCH, STEPS, WEIGHTS = 20, 100, 5_000_000


@dataclass
class Plain:
    """FedScale's traces as it has them, and its round."""

    capacity: list[dict[str, Any]]
    behave: list[dict[str, Any]]

    def active(self, phone: int, second: float) -> bool:
        behave = self.behave[phone % len(self.behave)]
        now = second % behave["finish_time"]
        return any(
            begin <= now < end
            for begin, end in zip(behave["active"], behave["inactive"], strict=True)
        )

    def duration(self, phone: int) -> float:
        capacity = self.capacity[phone % len(self.capacity)]
        kibit = WEIGHTS * 4 * 8 / 1024
        return (
            3 * BATCH * STEPS * capacity["computation"] / 1000
            + (kibit + kibit) / capacity["communication"]
        )

    def round(
        self, picks: list[tuple[int, int]], clock: float, participants: int
    ) -> tuple[list[int], float]:
        """Who completes, in the order in which they finish, and the seconds of the round; picks are (client, phone)."""
        times = [(self.duration(phone), client, phone) for client, phone in picks]
        first = sorted(time for time in times if self.active(time[2], clock + time[0]))[
            :participants
        ]
        return [client for _, client, _ in first], first[-1][0] if first else min(times)[0]


@pytest.fixture
def real(shared: Path) -> Plain:
    """The first 2,000 phones and all 50 patterns, from the pickles (our own files: a plain load will do)."""
    folder = shared / "data/traces/fedscale"
    capacity = pickle.loads((folder / "client_device_capacity").read_bytes())
    behave = pickle.loads((folder / "client_behave_trace").read_bytes())
    return Plain(list(capacity.values())[:2000], list(behave.values()))


def as_trace(plain: Plain) -> Trace:
    """The same as an mpifl trace. Slots that are empty (2 of the 3,345) are left out; nothing else is malformed."""
    column = {
        key: np.array([row[key] for row in plain.capacity], float)
        for key in ("computation", "communication")
    }
    slots = [
        [slot for slot in zip(row["active"], row["inactive"], strict=True) if slot[0] < slot[1]]
        for row in plain.behave
    ]
    watts = np.ones(len(plain.capacity))
    return Trace(
        name="fedscale",
        source="FedScale",
        licence="Apache-2.0",
        compute_ms_per_sample=column["computation"],
        download_kbps=column["communication"],
        upload_kbps=column["communication"],
        compute_watts=watts,
        download_joules_per_byte=watts,
        upload_joules_per_byte=watts,
        offsets=np.cumsum([0, *map(len, slots)]),
        start=np.array([begin for pattern in slots for begin, _ in pattern], float),
        end=np.array([end for pattern in slots for _, end in pattern], float),
        period=np.array([row["finish_time"] for row in plain.behave], float),
    )


Timed = Callable[..., tuple[Any, list[Timeline]]]


@pytest.fixture
def timed(tmp_path: Path) -> Timed:
    """timed(trace, participants, **clock): a run of a job of that clock section, as (experiment, timelines)."""

    def make(trace: Trace, participants: int, **clock: Any) -> tuple[Any, list[Timeline]]:
        write_trace(tmp_path / "trace.h5", trace)
        job = {
            "rounds": ROUNDS,
            "data": {
                "name": "sizes",
                "samples_per_client": {"quantiles": {0: 1, 100: 5000}},
            },  # which must not matter
            "population": {"clients": 2000, "trace": str(tmp_path / "trace.h5")},
            "model": {"name": "sized", "parameters": WEIGHTS},
            "training": {"engine": "none", "batch_size": BATCH, "local_steps": STEPS},
            "selection": {"name": "uniform", "participants": participants},
            "clock": {"preset": "fedscale", **clock},
        }
        # JSON has no keys but strings, and YAML reads them so.
        text = json.dumps(job).replace('"0"', "0").replace('"100"', "100")
        (tmp_path / "job.yaml").write_text(text)
        experiment, _ = check_job(str(tmp_path / "job.yaml"), [])
        timelines = []
        records = SimpleNamespace(rows=dict, to_disk=lambda: None)
        checkpoints = Checkpoints(tmp_path / "checkpoint", 10**6, 1, records)
        log = RunCallbacks(
            Snapshot(),
            lambda result: timelines.append(result.plan.timeline),
            checkpoints,
            lambda: False,
        )
        run_timing(experiment, log, UNWATCHED)
        return experiment, timelines

    return make


@pytest.mark.parametrize(
    ("devices", "participants", "asked", "clock"),
    [
        (2000, 10, 13, {}),
        (
            20,
            7,
            10,
            {},
        ),  # 9.1 are 10; 100 clients a phone model, so that many finish at the same moment
        (2000, 10, 10, {"overcommitment": 1.0}),  # many rounds lose somebody
        (2000, 1, 1, {"overcommitment": 1.0}),  # and some everybody
    ],
)
def test_a_thousand_rounds_are_those_of_fedscales_rule(
    real: Plain, timed: Timed, devices: int, participants: int, asked: int, clock: dict[str, Any]
) -> None:
    plain = Plain(real.capacity[:devices], real.behave)
    experiment, timelines = timed(as_trace(plain), participants, **clock)
    job, population = experiment.job, experiment.population
    now, dropped, short, empty, ties = 0.0, 0, 0, 0, 0
    assert len(timelines) == ROUNDS
    for number, timeline in enumerate(timelines, 1):
        picked = ask(job.selection, population, now, asked, job.seed, number).tolist()
        picks = [
            (client, permuted(client, population.phones.size, population.phones.key))
            for client in picked
        ]
        assert len(picks) == asked
        assert all(plain.active(phone, now) for _, phone in picks)
        completed, seconds = plain.round(picks, now, participants)

        rows = timeline.participants
        assert rows["client"].tolist() == picked
        done = rows[rows["outcome"] == Outcome.COMPLETED]
        assert set(done["client"].tolist()) == set(completed), f"round {number}"
        assert timeline.start_seconds == pytest.approx(now, rel=1e-9)
        now += seconds
        assert timeline.end_seconds == pytest.approx(now, rel=1e-9)
        lost = rows[rows["outcome"] == Outcome.DROPPED]
        over = (
            now - timeline.start_seconds >= lost["download_seconds"] + 1e-6
        )  # the download of those who dropped out
        assert (lost["bytes_down"][over] == 4 * WEIGHTS).all()
        assert (lost["joules"] > 0).all()
        dropped += timeline.count(Outcome.DROPPED)
        short += 0 < len(completed) < participants
        empty += not completed
        ties += len(np.unique(rows["stop_seconds"][rows["outcome"] == Outcome.COMPLETED])) < len(
            completed
        )
    # What the case is here for did happen.
    assert now > np.median([row["finish_time"] for row in plain.behave]) or participants == 1
    assert dropped > 10
    assert short > 100 or asked > participants or participants == 1
    assert empty > 10 or participants > 1
    assert ties > 100 or devices == 2000


def test_at_equal_times_the_lower_client_number_counts(real: Plain, timed: Timed) -> None:
    plain = Plain(real.capacity[:1], [{"active": [0], "inactive": [86400], "finish_time": 86400}])
    _, timelines = timed(as_trace(plain), 10)
    for timeline in timelines[:100]:
        rows = timeline.participants
        assert sorted(rows["client"])[:10] == sorted(
            rows["client"][rows["outcome"] == Outcome.COMPLETED]
        )
        assert rows["stop_seconds"].max() == rows["stop_seconds"].min()
