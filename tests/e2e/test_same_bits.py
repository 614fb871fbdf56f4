"""The promise: the same bits on any number of ranks, for whatever trains, and again from the run directory's job.yaml."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mpifl.job import load_yaml
from tests.launching import Finished, run_job

SHORT = ("rounds=6",)


def runs(folder: Path, counts: tuple[int, ...], *overrides: str) -> list[Finished]:
    done = [run_job(count, folder, "quickstart", *overrides) for count in counts]
    for run, count in zip(done, counts, strict=True):
        assert run.status == 0, run.stderr
        assert run.summary["ranks"] == count
    return done


def assert_same(done: list[Finished]) -> None:
    assert len({run.summary["model_sha256"] for run in done}) == 1
    for table in ("rounds", "participants"):
        first = done[0].table(table)
        assert all(run.table(table).tobytes() == first.tobytes() for run in done)


def test_the_quickstart_is_the_same_at_1_2_and_3_ranks_and_learns(tmp_path: Path) -> None:
    done = runs(tmp_path, (1, 2, 3))
    assert_same(done)
    assert done[0].summary["final"]["accuracy"] >= 0.9


@pytest.mark.parametrize("algorithm", ["fedprox", "fedyogi", "scaffold"])
def test_every_algorithm_is_the_same_at_1_and_3_ranks(tmp_path: Path, algorithm: str) -> None:
    assert_same(runs(tmp_path, (1, 3), *SHORT, f"algorithm={algorithm}"))


def test_momentum_weight_decay_local_steps_and_rare_tests_are_the_same_at_1_and_4_ranks(tmp_path: Path) -> None:
    training = "training={batch_size: 7, local_steps: 9, lr: 0.1, momentum: 0.9, weight_decay: 0.001}"
    done = runs(tmp_path, (1, 4), "rounds=5", training, "evaluation={every: 2, batch_size: 100}")
    assert_same(done)
    tested = np.isfinite(done[0].table("rounds")["accuracy"])
    assert tested.tolist() == [False, True, False, True, True]


def test_stacks_that_torch_maps_are_the_same_at_1_2_and_3_ranks(tmp_path: Path) -> None:
    done = runs(tmp_path, (1, 2, 3), "rounds=3", "training.engine=stacked", "training.stack=3", "training.momentum=0.9")
    assert_same(done)
    written = load_yaml((done[0].folder / "job.yaml").read_text())["training"]
    assert (written["engine"], written["stack"]) == ("stacked", 3)


@pytest.mark.parametrize("split", ["{by: samples, test: 0.3}", "{by: clients, validation: 0.2}"])
def test_clients_tested_one_by_one_are_the_same_at_1_and_3_ranks(tmp_path: Path, split: str) -> None:
    part = "validation" if "validation" in split else "test"
    scored = ("evaluation.per_client=true", "evaluation.batch_size=37", f"evaluation.part={part}", "evaluation.every=2")
    done = runs(tmp_path, (1, 3), "rounds=4", f"data.split={split}", *scored)
    assert_same(done)
    rounds, clients = done[0].table("rounds"), done[0].table("clients")
    assert clients.tobytes() == done[1].table("clients").tobytes()
    last, of_last = rounds[-1], clients[clients["round"] == 4]
    assert sorted(set(clients["round"].tolist())) == [2, 4]
    assert len(of_last) == len(set(of_last["client"].tolist())) == (20 if part == "validation" else len(of_last))
    assert last["accuracy"] == pytest.approx((of_last["accuracy"] * of_last["scored"]).sum() / of_last["scored"].sum())
    assert last["loss"] == pytest.approx((of_last["loss"] * of_last["scored"]).sum() / of_last["scored"].sum())
    worst = np.sort(of_last["accuracy"])[: -(-len(of_last) // 10)]
    assert last["worst_decile_accuracy"] == pytest.approx(worst.mean())
    assert last["client_accuracy"] == pytest.approx(of_last["accuracy"].mean())


def test_a_run_repeats_from_the_job_in_its_directory(tmp_path: Path) -> None:
    first = run_job(2, tmp_path, "quickstart", *SHORT, "seed=7", "algorithm=fedprox", "algorithm.mu=0.3")
    again = run_job(3, tmp_path, first.folder / "job.yaml")
    assert_same([first, again])
    assert (first.folder / "job.yaml").read_text() == (again.folder / "job.yaml").read_text()


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    one, two = (run_job(1, tmp_path, "quickstart", "rounds=1", f"seed={seed}") for seed in (1, 2))
    assert one.summary["model_sha256"] != two.summary["model_sha256"]


def test_the_run_directory_holds_what_it_promises_and_nothing_else(tmp_path: Path) -> None:
    done = run_job(2, tmp_path, "quickstart", *SHORT)
    names = sorted(path.name for path in done.folder.iterdir())
    assert names == ["checkpoint", "environment.json", "job.yaml", "model.safetensors", "run.h5", "summary.json"]
    wanted = (
        "name seed ranks mpi rounds virtual_seconds wall_seconds model_sha256 final participants completed dropped cut"
        " bytes_down bytes_up resumed_from ranks_lost stale failed joules joules_wasted"
        " seconds hidden_seconds executor_seconds peak_bytes"
    )
    assert set(wanted.split()) == set(done.summary)
    # Every second of the run has its phase, and every rank its memory.
    assert sum(done.summary["seconds"].values()) == pytest.approx(done.summary["wall_seconds"], abs=0.01)
    assert len(done.summary["peak_bytes"]) == 2
    tensors = load_file(done.folder / "model.safetensors")
    order = ["1.weight", "1.bias", "3.weight", "3.bias"]
    flat = np.concatenate([tensors[name].reshape(-1) for name in order])
    assert hashlib.sha256(flat.tobytes()).hexdigest() == done.summary["model_sha256"]


def test_the_tables_add_up_to_the_summary(tmp_path: Path) -> None:
    done = run_job(2, tmp_path, "quickstart", *SHORT)
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


def test_a_log_has_one_plain_line_a_round_and_five_at_the_end(tmp_path: Path) -> None:
    done = run_job(2, tmp_path, "quickstart", *SHORT)
    lines = done.stdout.strip().split("\n")
    assert len(lines) == 6 + 5
    assert lines[0].startswith("round 1/6, virtual ")
    assert [line.split()[0] for line in lines[-5:]] == ["accuracy", "virtual", "wall", lines[-2].split()[0], "results"]
    assert "\x1b" not in done.stdout


CLOCKS = [
    "clock={mode: buffered, concurrency: 20}",
    "clock={mode: semisync, concurrency: 13, window_seconds: 6}",
    "clock={mode: deadline, quantile: 0.5, overcommitment: 1.3}",
    "clock={mode: all, availability: resume}",
    "clock={preset: fedscale}",
    "clock={mode: buffered, concurrency: 20, latency: {server_down_kbps: 20000, server_up_kbps: 20000}}",
]


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_round_policy_is_the_same_at_1_2_and_3_ranks(tmp_path: Path, clock: str) -> None:
    assert_same(runs(tmp_path, (1, 2, 3), "rounds=8", clock))


def test_rounds_of_one_update_are_the_same_at_1_2_and_3_ranks(tmp_path: Path) -> None:
    clock = "clock={mode: async, concurrency: 10, staleness: {name: hinge, from_versions: 2}}"
    done = runs(tmp_path, (1, 2, 3), "rounds=40", clock, "selection.participants=1", "evaluation.every=10")
    assert_same(done)
    participants = done[0].table("participants")
    assert (participants["staleness"][participants["outcome"] == 0] > 0).any()
    assert np.isfinite(done[0].table("rounds")["accuracy"]).sum() == 4


def test_a_run_that_only_times_has_the_clock_of_the_run_that_trains(tmp_path: Path) -> None:
    trained, timed = (run_job(2, tmp_path, "quickstart", *SHORT, *more) for more in ((), ("training.engine=none",)))
    assert timed.status == 0, timed.stderr
    assert timed.summary["model_sha256"] is None
    columns = [name for name in trained.table("participants").dtype.names if name != "loss"]
    assert timed.table("participants")[columns].tolist() == trained.table("participants")[columns].tolist()
    assert not (timed.folder / "model.safetensors").exists()


def test_millions_of_clients_without_data_or_torch_are_timed(tmp_path: Path) -> None:
    done = run_job(1, tmp_path, "reddit-timing", "rounds=3", "population.clients=100000000")
    assert done.status == 0, done.stderr
    assert done.summary["completed"] == 30_000
    assert 0 < len(done.table("participants")) < 0.02 * done.summary["participants"]
