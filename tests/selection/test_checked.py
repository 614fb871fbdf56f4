"""What a selection rule returns is checked where it enters the plan, whoever wrote the rule."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.clock.timeline import ClockState
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.errors import TrainingError
from mpifl.job import parse_job
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.rounds.plan.plan import Plan, make_plan
from mpifl.selection.checked import checked
from mpifl.traces.trace import Trace
from tests.budget import examples
from tests.launching import python

WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None)
RULE = """
import numpy as np
from mpifl.selection.selection import Selection

class Mine(Selection):
    answer: str

    def choose(self, c):
        return eval(self.answer, {"np": np, "wanted": c.wanted, "draw": c.draw, "now": c.now})
"""
CLOCKS: dict[str, dict[str, Any]] = {
    "sync": {"mode": "sync", "overcommitment": 1.3},
    "all": {"mode": "all"},
    "deadline": {"mode": "deadline", "seconds": 1000},
    "semisync": {"mode": "semisync", "concurrency": 13, "window_seconds": 1000},
    "buffered": {"mode": "buffered", "concurrency": 13},
    "async": {"mode": "async", "concurrency": 13},
}


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """30 clients, of whom the 10 of the first pattern are online from 0 to 50 s of 100 s, the others always."""
    return make_population(
        make_dataset([3, 4]), make_trace([[(0, 50)], [(0, 100)], [(0, 100)]]), clients=30
    )


@pytest.fixture(scope="module")
def early(population: Population) -> list[int]:
    """Clients that go offline at 50 s."""
    return [
        client
        for client in range(30)
        if permuted(client, population.phones.size, population.phones.key) % 3 == 0
    ]


@pytest.fixture
def plan_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, population: Population
) -> Callable[..., Plan]:
    """plan_of(answer, clock, now): the plan of a round whose clients a plug-in gives as the expression ``answer``."""
    (tmp_path / "mine.py").write_text(RULE)
    monkeypatch.chdir(tmp_path)

    def make(answer: str, clock: dict[str, Any] = CLOCKS["sync"], now: float = 0.0) -> Plan:
        updates = 1 if clock["mode"] == "async" else 10
        selection = {"name": "./mine.py:Mine", "participants": updates, "answer": answer}
        job = parse_job({"rounds": 1, "model": "logreg", "selection": selection, "clock": clock})
        return make_plan(job, population, WORK, 1, ClockState(now=now))

    return make


def test_what_is_allowed_passes_as_it_is(plan_of: Callable[..., Plan]) -> None:
    for answer in (
        "np.arange(13)",
        "np.arange(4)[::-1]",
        "[5, 2, 9]",
        "np.arange(13, dtype=np.uint8)",
    ):
        assert (
            plan_of(answer).timeline.participants["client"].tolist()
            == np.asarray(eval(answer)).tolist()
        )


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_one_client_13_times_is_refused_by_every_clock(
    plan_of: Callable[..., Plan], tmp_path: Path, clock: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError) as caught:
        plan_of("np.full(wanted, 7)", clock)
    assert str(caught.value) == (
        f"selection.name: '{tmp_path}/mine.py:Mine' chose client 7 at virtual second 0; it named that client before"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("np.array([3, -1])", "client -1 at virtual second 0; the population has clients 0 to 29"),
        ("np.array([3, 30])", "client 30 at virtual second 0; the population has clients 0 to 29"),
        ("np.array([3, 10**18])", "client 1000000000000000000 at"),
        ("np.arange(wanted + 1)", "14 clients at virtual second 0; it was asked for 13 at most"),
        (
            "np.arange(3.0)",
            "float64 of shape (3,) at virtual second 0; expected an array (n,) of client numbers (int64)",
        ),
        ("np.arange(12).reshape(3, 4)", "int64 of shape (3, 4) at"),
        ("np.zeros(30, bool)", "bool of shape (30,) at"),
        ("['3']", "<U1 of shape (1,) at"),
        ("[[1], [2, 3]]", "list at virtual second 0; expected an array"),
        ("{3, 4}", "{3, 4} at"),
        ("None", "None at"),
        ("7", "7 at"),
    ],
)
def test_what_is_wrong_is_named(plan_of: Callable[..., Plan], answer: str, said: str) -> None:
    with pytest.raises(TrainingError) as caught:
        plan_of(answer)
    assert f"mine.py:Mine' chose {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_who_is_offline_is_named_with_the_moment(
    plan_of: Callable[..., Plan], early: list[int]
) -> None:
    client = early[0]
    assert plan_of(f"[{client}]", now=49.5).timeline.participants["client"].tolist() == [client]
    with pytest.raises(
        TrainingError,
        match=rf"chose client {client} at virtual second 150\.5; that client is offline then",
    ):
        plan_of(f"[{client}]", now=150.5)


@examples(300, derandomize=True)
@given(
    chosen=st.lists(st.integers(-2, 31), max_size=12),
    wanted=st.integers(0, 12),
    now=st.sampled_from([0.0, 49.9, 50.0, 99.0, 120.0]),
)
def test_it_passes_exactly_what_plain_python_passes(
    population: Population, early: list[int], chosen: list[int], wanted: int, now: float
) -> None:
    fine = (
        len(chosen) <= wanted
        and len(set(chosen)) == len(chosen)
        and all(0 <= client < 30 for client in chosen)
    )
    fine = fine and (now % 100 < 50 or not set(chosen) & set(early))
    if fine:
        assert (
            checked("rule", np.array(chosen, np.int64), population, now, wanted).tolist() == chosen
        )
    else:
        with pytest.raises(TrainingError):
            checked("rule", np.array(chosen, np.int64), population, now, wanted)


def test_a_run_ends_with_status_1_and_names_round_and_rule(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RULE)
    late = "np.arange(wanted) if draw < 3 else np.full(wanted, 7)"
    selection = f"selection={{name: ./mine.py:Mine, participants: 10, answer: '{late}'}}"
    line = [
        *python(),
        "-m",
        "mpifl.run",
        "quickstart",
        "rounds=5",
        "clock.availability=always",
        selection,
    ]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "round 3: selection.name:" in done.stderr
    assert "mine.py:Mine' chose client 7 at virtual second" in done.stderr
