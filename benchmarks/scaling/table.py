"""Measured points and the model side by side: rows for the terminal, and for the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.scaling.network import Layout, Network
from benchmarks.scaling.rounds import Terms, Work, predict
from mpifl.errors import InputError

KINDS = ("strong", "weak")
SCALINGS = 5


@dataclass(frozen=True)
class Row:
    """A number of ranks: its participants, what the model says, and what was measured in seconds a round, if it was.

    ``crowded``: on fewer cores than ranks.
    """

    ranks: int
    participants: int
    terms: Terms
    efficiency: float
    measured: float | None = None
    crowded: bool = False


@dataclass(frozen=True)
class Case:
    """What is predicted: a round of the job on a network, ranks filling nodes of ``ranks_per_node``."""

    work: Work
    network: Network
    ranks_per_node: int
    best: bool = False

    def terms(self, layout: Layout, participants: int) -> Terms:
        """The model's seconds of a round."""
        return predict(self.work.of(participants), layout, self.network, self.best)


def work_of(points: Sequence[dict[str, Any]], network: Network) -> Work:
    """The work that the points share: a strong point's with a core for every rank, on the fewest ranks, where there is one.

    What rank 0 does is a line through all of them. The seconds of the tasks hold the first round, in which torch warms up: they
    are scaled until the model has that point's measured seconds a round. So that point is no test of it, all others are.

    Raises InputError for jobs that differ and for asynchronous ones, whose batches are not rounds.
    """
    if len({point["name"] for point in points}) > 1 or not all(
        point["synchronous"] for point in points
    ):
        raise InputError("POINTS: they are to be of one job with a synchronous clock; name others")
    base = min(
        points, key=lambda p: (p["ranks"] == 1, p["crowded"], p["scaling"] != "strong", p["ranks"])
    )
    work = Work(**base["work"])
    root, plan = _line(points, "root_seconds"), _line(points, "plan_seconds")
    work = replace(work, root_seconds=root[0], root_seconds_a_participant=root[1])
    work = replace(work, plan_seconds=plan[0], plan_seconds_a_participant=plan[1])
    if base["ranks"] == 1:
        return work
    for _ in range(SCALINGS):
        terms = predict(work, Layout(base["ranks"], base["ranks_per_node"]), network)
        trained = terms.train + terms.tail
        work = work.scaled(max(trained + base["seconds_a_round"] - terms.total, 0.0) / trained)
    return work


def _line(points: Sequence[dict[str, Any]], name: str) -> tuple[float, float]:
    """Seconds that do not depend on the participants, and those for each; where all points have the same, their median."""
    participants = np.array([point["participants"] for point in points], float)
    seconds = np.array([point["work"][name] for point in points])
    if len(set(participants)) == 1 or not seconds.all():
        return float(np.median(seconds)), 0.0
    steps = np.stack([np.ones(len(points)), participants], 1) / seconds[:, None]
    constant, each = nnls(steps, np.ones(len(points)))[0]
    return float(constant), float(each)


def rows(
    case: Case, points: Sequence[dict[str, Any]], kind: str, ranks: Sequence[int]
) -> list[Row]:
    """The measured points of a kind, each on its own nodes, then the predicted ones; none where none were measured.

    Efficiency: of strong scaling executor-seconds of the model's round on two ranks over these; of weak scaling seconds.
    """
    own = sorted(
        (point for point in points if point["scaling"] == kind and point["ranks"] > 1),
        key=lambda p: int(p["ranks"]),
    )
    if not own:
        return []
    per_executor = own[-1]["participants"] / (own[-1]["ranks"] - 1)

    def participants(count: int) -> int:
        return (
            int(own[0]["participants"])
            if kind == "strong"
            else max(1, round(per_executor * (count - 1)))
        )

    first = case.terms(Layout(2, 2), participants(2)).total

    def row(
        layout: Layout, wanted: int, measured: float | None = None, crowded: bool = False
    ) -> Row:
        terms = case.terms(layout, wanted)
        executors = layout.ranks - 1 if kind == "strong" else 1
        return Row(
            layout.ranks,
            wanted,
            terms,
            first / (executors * (measured or terms.total)),
            measured,
            crowded,
        )

    found = [
        row(
            Layout(p["ranks"], p["ranks_per_node"]),
            p["participants"],
            p["seconds_a_round"],
            bool(p["crowded"]),
        )
        for p in own
    ]
    return found + [row(Layout(count, case.ranks_per_node), participants(count)) for count in ranks]


def texts(found: Sequence[Row]) -> list[list[str]]:
    """As a table for people, its heading first; times in ms."""
    heading = [
        "ranks",
        "participants",
        "ms a round",
        "measured",
        "model/measured",
        "efficiency",
        "most of it",
        "crowded",
    ]
    lines = [heading]
    for row in found:
        model, took = row.terms.total, row.measured
        measured = ["", ""] if took is None else [f"{took * 1e3:,.1f}", f"{model / took:.2f}"]
        most = f"{row.terms.dominant} {getattr(row.terms, row.terms.dominant) / model:.0%}"
        cells = [
            f"{row.participants:,}",
            f"{model * 1e3:,.1f}",
            *measured,
            f"{row.efficiency:.0%}",
            most,
        ]
        lines.append([f"{row.ranks:,}", *cells, "yes" if row.crowded else ""])
    return lines
