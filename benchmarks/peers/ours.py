"""mpifl on a workload: a job and a data set as a user writes them, run with mpirun on one rank more than there are processes.

Options ``engine`` and ``device``: those of the job's training. Option ``executors``: in a workload without training, one sample
and one step a client instead of rounds that are only timed, so that they go through the executors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

import mpifl
from benchmarks.peers.rank import TIME
from benchmarks.peers.work import Counts, Order, read_order, report
from benchmarks.peers.workloads import Workload
from mpifl.datasets.dataset import Dataset, Part, write_dataset
from mpifl.mpi.launch import command

OPTIONS = {"lstm": {}, "mlp": {"hidden": [200, 200]}}


def main() -> None:
    """Follow the order and report."""
    order = read_order(sys.argv[1])
    workload = order.workload
    if "executors" in order.options:
        order = replace(order, workload=(workload := replace(workload, epochs=1)))
    with tempfile.TemporaryDirectory(prefix="mpifl-peers-") as text:
        folder = Path(text)
        if workload.epochs:
            write_store(folder / "data.h5", order)
        (folder / "job.yaml").write_text(
            yaml.safe_dump(job(order, folder / "data.h5"), sort_keys=False)
        )
        line = command(
            order.processes + 1,
            [str(folder / "job.yaml"), "--out", str(folder / "run")],
            os.environ,
        )
        line[line.index("mpifl.run")] = "benchmarks.peers.rank"
        running = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
        if running.returncode:
            sys.exit(running.returncode)
        summary = json.loads((folder / "run" / "summary.json").read_text())
        counts = counted(folder / "run" / "run.h5", workload)
        ends = [
            float(said.removeprefix(TIME))
            for said in running.stdout.splitlines()
            if said.startswith(TIME)
        ]
        # A round is shown with the end of the next one, the last when its model has been tested.
        seconds = np.diff(ends[:-1] if workload.epochs else ends)
        note = "" if "executors" not in order.options else "with one sample and one step a client"
        loss = summary["final"].get("loss", float("nan"))
        report(
            mpifl.__version__,
            seconds.tolist(),
            counts,
            loss,
            note,
            split=summary.get("seconds", {}),
        )


def job(order: Order, data: Path) -> dict[str, Any]:
    """The job: rounds of exactly so many participants, all of whom complete; one test at the end."""
    workload = order.workload
    trains = workload.epochs > 0
    engine = {key: order.options[key] for key in ("engine", "device") if key in order.options}
    training = {
        "batch_size": workload.batch_size,
        "lr": workload.lr,
        **engine,
        **({"epochs": workload.epochs} if trains else {}),
    }
    once = {
        "scale": "log",
        "quantiles": {0: workload.samples_per_client, 100: workload.samples_per_client},
    }
    return {
        "name": workload.name,
        "seed": order.seed,
        "rounds": order.rounds,
        "data": {"name": str(data)} if trains else {"name": "sizes", "samples_per_client": once},
        "population": {} if trains else {"clients": workload.clients},
        "model": {"name": workload.model, **OPTIONS.get(workload.model, {})}
        if trains
        else {"name": "sized", "parameters": 110},
        "training": training if trains else training | {"engine": "none"},
        "selection": {"name": "uniform", "participants": workload.participants},
        "clock": {"mode": "all", "availability": "always"},
        "algorithm": {"name": "fedavg"},
        "evaluation": {"every": order.rounds},
        "record": {"participants": "all" if workload.sigma else "none"},
        "checkpoint": {"every": order.rounds},
    }


def write_store(path: Path, order: Order) -> None:
    """The workload's data as mpifl's: clients side by side, the samples that models are judged on as the test part."""
    workload = order.workload
    x, y, offsets, test_x, test_y = (
        np.load(order.folder / f"{name}.npy", mmap_mode="r")
        for name in ("x", "y", "offsets", "test_x", "test_y")
    )
    text = bool(workload.vocabulary)
    clients = np.arange(workload.clients).astype("S")
    train = Part(x, None if text else y, offsets, clients)
    test = Part(test_x, None if text else test_y, np.array([0, len(test_x)]), clients[:1])
    task = {"task": "language", "vocabulary": workload.vocabulary} if text else {}
    said = {
        "name": workload.name,
        "outputs": workload.classes,
        "source": "drawn",
        "licence": "none",
        **task,
    }
    write_dataset(path, Dataset(**said, train=train, test=test))


def counted(run: Path, workload: Workload) -> Counts:
    """What the run's record says was done. It has the steps of each participant where those are recorded."""
    with h5py.File(run) as file:
        rounds, participants = file["rounds"][:], file["participants"][:]
    completed, samples = int(rounds["completed"].sum()), int(rounds["samples"].sum())
    if not workload.epochs:
        return Counts(completed, 0, 0)
    if workload.sigma:
        return Counts(completed, samples, int(participants["steps"].sum()))
    # Where all clients are alike, so many samples are so many steps.
    steps_a_client = -(-workload.samples_per_client // workload.batch_size)
    return Counts(completed, samples, samples // workload.samples_per_client * steps_a_client)


if __name__ == "__main__":
    main()
