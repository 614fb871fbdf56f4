"""The comparison of protocols: its numbers by hand, and that each of them is a job."""

from __future__ import annotations

from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.topologies.__main__ import MODEL_BYTES, main
from benchmarks.topologies.compare import table, target
from benchmarks.topologies.workloads import CLIENTS, PROTOCOLS, STAR, WORKLOADS
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment


def run(accuracy: list[float], seconds: float, models: int) -> dict[str, Any]:
    """A run with a test every round, in which each client sends so many models a round."""
    rounds = len(accuracy)
    return {
        "round": list(range(1, rounds + 1)),
        "virtual_seconds": [seconds * (number + 1) for number in range(rounds)],
        "accuracy": accuracy,
        "bytes_up": models * rounds * CLIENTS * 1000,
    }


RESULT = {
    "model_bytes": 1000,
    "runs": {
        STAR: [run([0.5, 0.8], 60, 1), run([0.8, 0.7], 60, 1)],
        "gossip, ring": [run([0.5, 0.76], 30, 2), run([0.1, 0.2], 30, 2)],
    },
}


def test_the_table_has_models_seconds_and_minutes() -> None:
    assert target(RESULT) == pytest.approx(0.76)
    rows = [line.split(" | ") for line in table(RESULT).splitlines()[2:]]
    assert rows[0] == [f"| {STAR}", "1.00", "60.0", "80.0 ± 0.0", "1.5 ± 0.5 |"]
    assert rows[1][1:3] == ["2.00", "30.0"]
    assert rows[1][4] == "1 of 2 runs do not reach it |"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_a_job(name: str) -> None:
    experiment, _ = check_job("quickstart", [*WORKLOADS["digits"].overrides, *PROTOCOLS[name]])
    assert isinstance(experiment, Experiment)
    assert 4 * experiment.layout.size == MODEL_BYTES["digits"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["femnist"], "WORKLOAD: 'femnist' is not known; allowed: digits"),
        (["digits", "--only", "rotating;ring"], "--only: 'ring' is not known; allowed: star"),
    ],
)
def test_an_unknown_name_is_one_line(arguments: list[str], error: str) -> None:
    app = Typer()
    app.command()(main)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert error in done.output
