"""Runs of the drivers in turn, and what comes of them: medians, their spread, and whether the work was the same."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.data import sizes
from benchmarks.peers.environments import NotInstalledError, Peer, ensure
from benchmarks.peers.processes import finished
from benchmarks.peers.work import MARK
from benchmarks.peers.workloads import Workload

ROOT = Path(__file__).parents[2]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
LOSS_TOLERANCE = 0.15  # of the floor's: each framework draws its own participants
STANDARD_ERRORS = 4  # by which samples and steps may differ where clients do


@dataclass(frozen=True)
class Plan:
    """How a measurement goes: ``rounds`` are measured after the workload's warm-up, in each of ``repeats`` runs."""

    workload: Workload
    rounds: int
    repeats: int
    processes: int
    environments: Path
    limit_seconds: float


@dataclass
class Row:
    """A framework in the table. ``medians`` (repeats,) seconds a round; ``failure`` says why there are none."""

    name: str
    peer: Peer
    options: dict[str, str] = field(default_factory=dict)
    medians: list[float] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""

    def entry(self, work: str) -> dict[str, Any]:
        """What is written down of it."""
        if self.failure:
            return {"name": self.name, "failure": self.failure}
        every = np.concatenate([run["measured"] for run in self.done])
        loss = median(run["loss"] for run in self.done)
        loss = loss if math.isfinite(loss) else None  # JSON has no NaN
        figures = {
            "seconds": median(every),
            "least": min(self.medians),
            "most": max(self.medians),
            "medians": self.medians,
        }
        counts = {name: self.done[-1][name] for name in ("participants", "samples", "steps")}
        return {"name": self.name, "version": self.done[-1]["version"], **figures, **counts, "loss": loss, "work": work,
                "note": self.done[-1]["note"], "split": self.done[-1].get("split", {})}  # fmt: skip


def rows_of(
    peers: Sequence[Peer], workload: Workload, engines: Sequence[str], device: str = "cpu"
) -> list[Row]:
    """The rows of a table: mpifl has one for each engine, and in a workload without training one through its executors."""
    rows, where = [], {"device": device}
    for peer in peers:
        rows.append(Row(peer.name, peer, where))
        if peer.name == "ours":
            rows += [Row(f"ours, {engine}", peer, where | {"engine": engine}) for engine in engines]
            rows += (
                [Row("ours, executors", peer, where | {"executors": "1"})]
                if not workload.epochs
                else []
            )
    return rows


def measure(plan: Plan, rows: Sequence[Row], data: Path) -> list[dict[str, Any]]:
    """Every row's entry. One run of each framework after the other, and that as often as the plan repeats."""
    for row in rows:
        try:
            ensure(row.peer, plan.environments)
        except NotInstalledError as error:
            row.failure = f"does not install: {error}"
    for repeat in range(plan.repeats):
        for row in rows:
            if not row.failure:
                print(
                    f"{plan.workload.name}, repeat {repeat + 1}/{plan.repeats}: {row.name}",
                    file=sys.stderr,
                    flush=True,
                )
                _one(plan, row, data, repeat)
    losses = [run["loss"] for row in rows if row.name == "floor" for run in row.done]
    return [row.entry(_worst(plan, row, median(losses) if losses else None)) for row in rows]


def _worst(plan: Plan, row: Row, floor_loss: float | None) -> str:
    """The first run's work that was not the same. The loss is the median of the runs', as the floor's is."""
    rounds = plan.workload.warmup + plan.rounds
    loss = {"loss": median(run["loss"] for run in row.done)} if row.done else {}
    said = [work_of(plan.workload, rounds, run | loss, floor_loss) for run in row.done]
    return next((text for text in said if not text.startswith("same")), said[-1] if said else "")


def work_of(workload: Workload, rounds: int, run: dict[str, Any], floor_loss: float | None) -> str:
    """``same``, or in what a run was other work: the participants, samples and steps of all rounds, and the final loss."""
    held, asked = sizes(workload), rounds * workload.participants
    wrong = (
        []
        if run["participants"] == asked
        else [f"{run['participants']:,} participants, not {asked:,}"]
    )
    for name, of_client in (("samples", held), ("steps", np.ceil(held / workload.batch_size))):
        expected = asked * workload.epochs * of_client.mean()
        spread = math.sqrt(asked) * workload.epochs * of_client.std()  # 0 where clients are equal
        if abs(run[name] - expected) > STANDARD_ERRORS * spread:
            wrong.append(f"{run[name]:,} {name}, not {expected:,.0f}")
    if workload.epochs and not math.isfinite(run["loss"]):
        wrong.append(f"loss {run['loss']}")
    elif workload.epochs and floor_loss and abs(run["loss"] / floor_loss - 1) > LOSS_TOLERANCE:
        wrong.append(f"loss {run['loss']:.3f}, the floor's {floor_loss:.3f}")
    if wrong:
        return f"other work: {'; '.join(wrong)}"
    return (
        "same" if floor_loss or not workload.epochs else "same (no floor to compare the loss with)"
    )


def _one(plan: Plan, row: Row, data: Path, repeat: int) -> None:
    """One run of one framework, into its row."""
    rounds = plan.workload.warmup + plan.rounds
    order = {
        "workload": asdict(plan.workload),
        "folder": str(data),
        "rounds": rounds,
        "processes": plan.processes,
        "seed": repeat + 1,
        "options": row.options,
    }
    hidden = (
        {} if row.options.get("device") == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    )  # some take a GPU wherever there is one
    with tempfile.TemporaryDirectory(prefix="peer-") as place:
        path = Path(place) / "order.json"
        path.write_text(json.dumps(order))
        status, said = finished(
            row.peer.line(plan.environments, plan.processes, path),
            ROOT,
            os.environ | ONE_THREAD | hidden | {"PYTHONPATH": str(ROOT)},
            plan.limit_seconds,
        )
    reports = [line[len(MARK) :] for line in said.splitlines() if line.startswith(MARK)]
    if status or not reports:
        last = [line.strip() for line in said.splitlines() if line.strip()][-12:]
        print("\n".join(last), file=sys.stderr)
        wrong = (
            [line for line in last if re.search(r"(Error|Exception)\b.*:", line)]
            or last
            or ["it said nothing"]
        )
        row.failure = (
            f"does not run: {wrong[-1][:160]}"
            if status is not None
            else f"not done after {plan.limit_seconds:g} s"
        )
        return
    run = json.loads(reports[-1])
    run["measured"] = run["seconds"][-plan.rounds :]
    row.done.append(run)
    row.medians.append(median(run["measured"]))
