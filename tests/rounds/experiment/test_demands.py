"""What ``mpifl check`` says that a job takes."""

from __future__ import annotations

import pytest

from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.demands import demands
from tests.models.library import library

LINEAR = (
    "model={name: logreg}",
    "data.partition={name: iid, clients: 10}",
    "selection.participants=2",
)
"""650 weights: 2.6 kB."""


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("fedavg", ["each participant: 2.6 kB down, 2.6 kB up; computes its local steps"]),
        (
            "ditto",
            [
                "each participant: 2.6 kB down, 2.6 kB up; computes 2 times its local steps",
                "each client that took part keeps 2.6 kB in the run directory: 26.0 kB if all of 10 clients do, twice as"
                " much for those that take part again before the next checkpoint",
            ],
        ),
        (
            "{name: ifca, clusters: 3}",
            [
                "each participant: 7.8 kB down, 2.6 kB up; computes its local steps, 3 passes over its samples without"
                " gradients"
            ],
        ),
        (
            "{name: scaffold, option: I}",
            [
                "each participant: 5.2 kB down, 5.2 kB up; computes its local steps, 1 pass over its samples with"
                " gradients"
            ],
        ),
    ],
    ids=["fedavg", "ditto", "ifca", "scaffold"],
)
def test_what_participants_transfer_compute_and_keep(algorithm: str, expected: list[str]) -> None:
    experiment = check_job("quickstart", [*LINEAR, f"algorithm={algorithm}"])[0]
    assert demands(experiment)[: len(expected)] == expected


def test_a_job_that_only_times_its_rounds() -> None:
    job = ["training.engine=none", "model={name: sized, parameters: 1000}", "algorithm=scaffold"]
    assert demands(check_job("quickstart", job)[0]) == [
        "each participant: 8.0 kB down, 8.0 kB up; computes its local steps"
    ]


def test_it_says_what_a_sample_of_the_clients_is_worth() -> None:
    def said(*changes: str) -> list[str]:
        job = ["evaluation.personal=true", "data.split={by: samples, test: 0.2}", *changes]
        return [line for line in demands(check_job("quickstart", job)[0]) if "tested" in line]

    assert said() == said("evaluation.personal_clients=100") == []
    assert said("evaluation.personal_clients=20") == [
        "20 of 100 clients are tested: their mean accuracy is within 0.27 of that of all with a"
        " probability of 95%; that of 89 would be within 0.05"
    ]


def test_it_says_what_a_frozen_base_takes() -> None:
    library("peft")
    job = ["model={name: logreg, lora: {rank: 1}}", "training.batch_size=5"]
    lines = demands(check_job("quickstart", job)[0])
    assert lines[0].startswith("each participant: 296 bytes down, 296 bytes up;")
    said = next(line for line in lines if line.startswith("the frozen base"))
    assert said.startswith("the frozen base: 2.6 kB, of its own on each rank; training keeps about")
    assert said.endswith(" for a batch of 5")


def test_it_lists_the_widths_of_clients_that_train_parts_of_the_model() -> None:
    job = ["model=logreg", "algorithm={name: heterofl, widths: [1, 0.5], shares: [0.3, 0.7]}"]
    parts = [line for line in demands(check_job("quickstart", job)[0]) if " of width " in line]
    assert parts == [
        "participants of width 1: 2.6 kB down, 2.6 kB up, 1 of the computing a sample; 30% of the clients",
        "participants of width 0.5: 2.6 kB down, 2.6 kB up, 1 of the computing a sample; 70% of the clients",
    ]


def test_it_says_what_is_read_of_what_participants_keep_and_what_a_generator_computes() -> None:
    job = [*LINEAR, "algorithm=fedgen", "selection.participants=5"]
    first, *lines = demands(check_job("quickstart", job)[0])
    assert [line for line in lines if "that reads" in line] == [
        "a rank that reads what the last round's participants keep has up to 5 states of 2.6 kB:"
        " 13.2 kB"
    ]
    # Multiply-adds: forward and backward 2 x 640; twice 256 x (32 + 10 + 64), and three times 640.
    assert first.endswith("computes its local steps, 44.9 times the computing a sample")
