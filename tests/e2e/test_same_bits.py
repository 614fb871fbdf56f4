"""The promise: the same bits on any number of ranks, for whatever trains, and again from the run directory's job.yaml."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mpifl.job import load_yaml
from tests.every_algorithm import ALGORITHMS, with_algorithm
from tests.known import known
from tests.launching import Finished, resume_runs, run_job

SHORT = ("quickstart", "rounds=6")


def assert_same(done: list[Finished], *ranks: int) -> None:
    assert [run.status for run in done] == [0] * len(done), "".join(run.stderr for run in done)
    assert tuple(run.summary["ranks"] for run in done) == ranks
    assert len({run.summary["model_sha256"] for run in done}) == 1
    for table in ("rounds", "participants"):
        first = done[0].table(table)
        assert all(run.table(table).tobytes() == first.tobytes() for run in done)


@pytest.mark.runs((1, 2, 3), ["quickstart"])
def test_the_quickstart_is_the_same_at_1_2_and_3_ranks_and_learns(runs: list[Finished]) -> None:
    assert_same(runs, 1, 2, 3)
    assert runs[0].summary["final"]["accuracy"] >= 0.9


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.runs((1, 2, 3), with_algorithm)
def test_every_algorithm_is_the_same_at_1_2_and_3_ranks(
    runs: list[Finished], algorithm: str
) -> None:
    assert_same(runs, 1, 2, 3)
    assert np.isfinite(runs[0].summary["final"]["loss"])

    clients = [run.table("clients") for run in runs]
    assert len(clients[0]) >= 2 * 20
    assert all(rows.tobytes() == clients[0].tobytes() for rows in clients)


@pytest.mark.runs((2,), *(with_algorithm(name) for name in ALGORITHMS))
def test_every_algorithm_goes_on_from_a_checkpoint_on_another_number_of_ranks(
    runs: list[Finished], tmp_path: Path
) -> None:
    """As if killed after round 4 of 6; tests/e2e/test_lost_ranks.py kills ranks."""
    copies = [Finished(0, "", "", tmp_path / name / "run") for name in ALGORITHMS]
    for run, copy in zip(runs, copies, strict=True):
        shutil.copytree(run.folder, copy.folder)

    for run, resumed in zip(runs, resume_runs(3, copies), strict=True):
        assert_same([run, resumed], 2, 3)
        assert resumed.table("clients").tobytes() == run.table("clients").tobytes()
        assert 0 < resumed.summary["resumed_from"] < run.summary["rounds"]


@pytest.mark.runs((1, 3), [*SHORT, "algorithm=scaffold"])
def test_scaffolds_other_option_is_the_same_at_1_and_3_ranks(runs: list[Finished]) -> None:
    assert_same(runs, 1, 3)


TRAINING = "training={batch_size: 7, local_steps: 9, lr: 0.1, optimizer: {momentum: 0.9, weight_decay: 0.001}}"


@pytest.mark.runs(
    (1, 4), ["quickstart", "rounds=5", TRAINING, "evaluation={every: 2, batch_size: 100}"]
)
def test_momentum_weight_decay_local_steps_and_rare_tests_are_the_same_at_1_and_4_ranks(
    runs: list[Finished],
) -> None:
    assert_same(runs, 1, 4)
    tested = np.isfinite(runs[0].table("rounds")["accuracy"])
    assert tested.tolist() == [False, True, False, True, True]


KEPT = (
    *SHORT,
    "training.lr=0.01",
    "training.optimizer={name: adamw, keep: true}",
    "checkpoint={every: 2, keep: 4}",
)


@pytest.mark.runs((1, 3), KEPT, [*SHORT, "training.lr=0.01", "training.optimizer=adamw"])
def test_kept_optimizers_are_the_same_at_1_and_3_ranks_and_after_a_resume(
    runs: list[Finished], tmp_path: Path
) -> None:
    kept, anew = runs[:2], runs[2:]
    assert_same(kept, 1, 3)
    assert anew[0].summary["model_sha256"] != kept[0].summary["model_sha256"]
    copy = Finished(0, "", "", tmp_path / "run")
    shutil.copytree(kept[0].folder, copy.folder)
    (resumed,) = resume_runs(3, [copy])
    assert_same([kept[0], resumed], 1, 3)
    assert resumed.summary["resumed_from"] == 4


STACKED = ["training.engine=stacked", "training.stack=3", "training.optimizer.momentum=0.9"]


@pytest.mark.runs((1, 2, 3), ["quickstart", "rounds=3", *STACKED])
def test_stacks_that_torch_maps_are_the_same_at_1_2_and_3_ranks(runs: list[Finished]) -> None:
    assert_same(runs, 1, 2, 3)
    written = load_yaml((runs[0].folder / "job.yaml").read_text())["training"]
    assert (written["engine"], written["stack"]) == ("stacked", 3)


def scored_by_client(split: str) -> list[str]:
    part = "validation" if "validation" in split else "test"
    scored = [
        "evaluation.per_client=true",
        "evaluation.batch_size=37",
        f"evaluation.part={part}",
        "evaluation.every=2",
    ]
    return ["quickstart", "rounds=4", f"data.split={split}", *scored]


@pytest.mark.parametrize("split", ["{by: samples, test: 0.3}", "{by: clients, validation: 0.2}"])
@pytest.mark.runs((1, 3), scored_by_client)
def test_clients_tested_one_by_one_are_the_same_at_1_and_3_ranks(
    runs: list[Finished], split: str
) -> None:
    assert_same(runs, 1, 3)
    rounds, clients = runs[0].table("rounds"), runs[0].table("clients")
    assert clients.tobytes() == runs[1].table("clients").tobytes()
    last, of_last = rounds[-1], clients[clients["round"] == 4]
    assert sorted(set(clients["round"].tolist())) == [2, 4]
    assert (
        len(of_last)
        == len(set(of_last["client"].tolist()))
        == (20 if "validation" in split else len(of_last))
    )
    assert last["accuracy"] == pytest.approx(
        (of_last["accuracy"] * of_last["scored"]).sum() / of_last["scored"].sum()
    )
    assert last["loss"] == pytest.approx(
        (of_last["loss"] * of_last["scored"]).sum() / of_last["scored"].sum()
    )
    worst = np.sort(of_last["accuracy"])[: -(-len(of_last) // 10)]
    assert last["worst_decile_accuracy"] == pytest.approx(worst.mean())
    assert last["client_accuracy"] == pytest.approx(of_last["accuracy"].mean())


@pytest.mark.runs((2,), [*SHORT, "seed=7", "algorithm=fedprox", "algorithm.mu=0.3"])
def test_a_run_repeats_from_the_job_in_its_directory(runs: list[Finished], tmp_path: Path) -> None:
    """In processes of its own, so that a job under an mpirun with others has the bits of one alone."""
    (first,) = runs
    again = run_job(3, tmp_path, first.folder / "job.yaml")
    assert_same([first, again], 2, 3)
    assert (first.folder / "job.yaml").read_text() == (again.folder / "job.yaml").read_text()


@pytest.mark.runs((1,), ["quickstart", "rounds=1", "seed=1"], ["quickstart", "rounds=1", "seed=2"])
def test_another_seed_gives_another_model(runs: list[Finished]) -> None:
    one, two = runs
    assert one.summary["model_sha256"] != two.summary["model_sha256"]


@pytest.mark.runs((2,), SHORT)
def test_the_run_directory_holds_what_it_promises_and_nothing_else(runs: list[Finished]) -> None:
    (done,) = runs
    names = sorted(path.name for path in done.folder.iterdir())
    assert names == [
        "checkpoint",
        "environment.json",
        "job.yaml",
        "log.txt",
        "model.safetensors",
        "run.h5",
        "status.json",
        "summary.json",
    ]
    wanted = (
        "name seed ranks mpi rounds virtual_seconds wall_seconds model_sha256 final participants completed dropped cut"
        " bytes_down bytes_up plain_bytes_down plain_bytes_up resumed_from ranks_lost stale failed abandoned joules joules_wasted"
        " stopped_by too_few seconds hidden_seconds executor_seconds peak_bytes"
    )
    assert set(wanted.split()) == set(done.summary)
    # Every second of the run has its phase, and every rank its memory.
    assert sum(done.summary["seconds"].values()) == pytest.approx(
        done.summary["wall_seconds"], abs=0.01
    )
    assert len(done.summary["peak_bytes"]) == 2
    tensors = load_file(done.folder / "model.safetensors")
    order = ["1.weight", "1.bias", "3.weight", "3.bias"]
    flat = np.concatenate([tensors[name].reshape(-1) for name in order])
    assert hashlib.sha256(flat.tobytes()).hexdigest() == done.summary["model_sha256"]


@pytest.mark.runs((2,), SHORT)
def test_the_tables_add_up_to_the_summary(runs: list[Finished]) -> None:
    (done,) = runs
    rounds, participants, summary = done.table("rounds"), done.table("participants"), done.summary
    assert len(rounds) == summary["rounds"] == 6
    assert len(participants) == summary["participants"] == rounds["asked"].sum()
    for outcome, name in enumerate(("completed", "dropped", "cut")):
        assert (participants["outcome"] == outcome).sum() == rounds[name].sum() == summary[name]
    for name in ("bytes_down", "bytes_up"):
        assert participants[name].sum() == rounds[name].sum() == summary[name]
    assert rounds["end_seconds"][-1] == summary["virtual_seconds"]
    assert (rounds["start_seconds"][1:] >= rounds["end_seconds"][:-1]).all()
    assert np.isfinite(participants["loss"]).tolist() == (participants["outcome"] == 0).tolist()


@pytest.mark.runs((2,), SHORT)
def test_a_log_has_one_plain_line_a_round_and_five_at_the_end(runs: list[Finished]) -> None:
    (done,) = runs
    folded = done.stdout.strip().split("\n")
    lines = [line for line in folded if not line.startswith("  ")]
    assert len(lines) == 6 + 5
    assert all(len(line) <= 80 for line in folded[6:])
    assert lines[0].startswith("round 1/6, virtual ")
    assert [line.split()[0] for line in lines[-5:]] == [
        "accuracy",
        "virtual",
        "wall",
        lines[-2].split()[0],
        "results",
    ]
    assert "\x1b" not in done.stdout


CLOCKS = [
    "clock={mode: buffered, concurrency: 20}",
    "clock={mode: semisync, concurrency: 13, window_seconds: 6}",
    "clock={mode: compass, concurrency: 20, least_steps: 5, most_steps: 30}",
    "clock={mode: deadline, quantile: 0.5, overcommitment: 1.3}",
    "clock={mode: all, availability: resume}",
    "clock={preset: fedscale}",
    "clock={mode: buffered, concurrency: 20, latency: {server_down_kbps: 20000, server_up_kbps: 20000}}",
]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.runs((1, 2, 3), lambda clock: ["quickstart", "rounds=8", clock])
def test_every_round_policy_is_the_same_at_1_2_and_3_ranks(
    runs: list[Finished], clock: str
) -> None:
    assert_same(runs, 1, 2, 3)


ASYNC = "clock={mode: async, concurrency: 10, staleness: {name: hinge, from_versions: 2}}"


@pytest.mark.runs(
    (1, 2, 3), ["quickstart", "rounds=40", ASYNC, "selection.participants=1", "evaluation.every=10"]
)
def test_rounds_of_one_update_are_the_same_at_1_2_and_3_ranks(runs: list[Finished]) -> None:
    assert_same(runs, 1, 2, 3)
    participants = runs[0].table("participants")
    assert (participants["staleness"][participants["outcome"] == 0] > 0).any()
    assert np.isfinite(runs[0].table("rounds")["accuracy"]).sum() == 4


@pytest.mark.runs((2,), SHORT, [*SHORT, "training.engine=none"])
def test_a_run_that_only_times_has_the_clock_of_the_run_that_trains(runs: list[Finished]) -> None:
    trained, timed = runs
    assert timed.status == 0, timed.stderr
    assert timed.summary["model_sha256"] is None
    columns = [name for name in known(trained.table("participants").dtype.names) if name != "loss"]
    assert (
        timed.table("participants")[columns].tolist()
        == trained.table("participants")[columns].tolist()
    )
    assert not (timed.folder / "model.safetensors").exists()


@pytest.mark.runs((1,), ["reddit-timing", "rounds=3", "population.clients=100000000"])
def test_millions_of_clients_without_data_or_torch_are_timed(runs: list[Finished]) -> None:
    (done,) = runs
    assert done.status == 0, done.stderr
    assert done.summary["completed"] == 30_000
    assert 0 < len(done.table("participants")) < 0.02 * done.summary["participants"]
