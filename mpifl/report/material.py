"""What charts are made of: the tables of each run, read once, and what they say of its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.record.load import Run
from mpifl.record.tables import CLIENT, row_type
from mpifl.report.chart import Look, NoData, Panel, look
from mpifl.report.checked import check_run
from mpifl.report.clients import Clients, open_clients
from mpifl.report.compared import Group, groups
from mpifl.report.curves import evenly_spaced
from mpifl.report.participants import Participants, read_participants
from mpifl.report.target import Target, check_measured, first_main_metric

MOST_ROUNDS = 400
MOST_IN_ROUND = 300
MOST_ROWS = 20_000
"""What the report holds of single participations: rounds, participants of each, and all together.

The rows are shared by all runs."""


@dataclass(frozen=True, eq=False)
class Source:
    """A run in the report.

    Attributes:
        run: The run.
        label: Its name in the report; no two have the same.
        most_rows: How many rows of /participants the report may hold of it.
    """

    run: Run
    label: str
    most_rows: int = MOST_ROWS

    @cached_property
    def rounds(self) -> np.ndarray:
        """/rounds."""
        return self.run.rounds

    @cached_property
    def participants(self) -> Participants:
        """What is kept of /participants."""
        number = int(self.rounds["round"][-1]) if len(self.rounds) else 0
        return read_participants(self.run.blocks("participants"), number, self.strides)

    @cached_property
    def strides(self) -> dict[int, int]:
        """Which rounds' participants are shown, and of each every so manieth."""
        asked = (self.rounds["asked"] + self.rounds["probed"]) * self.recorded
        in_round = np.minimum(asked, MOST_IN_ROUND)
        most = max(1.0, in_round.mean()) if len(asked) else 1.0
        count = int(np.clip(self.most_rows / most, 1, MOST_ROUNDS))
        return {
            int(self.rounds["round"][place]): int(-(-asked[place] // MOST_IN_ROUND))
            for place in evenly_spaced(len(asked), count).tolist()
            if asked[place] > 0
        }

    @cached_property
    def recorded(self) -> float:
        """The share of participants who have rows in /participants."""
        record = self.run.job["record"]
        return {"all": 1.0, "none": 0.0}.get(record["participants"], record["sample_share"])

    @cached_property
    def clients(self) -> Clients:
        """The clients' data and devices. Raises NoData when they cannot be read."""
        try:
            return open_clients(self.run)
        except InputError as error:
            raise NoData(error.lines[0]) from error

    @cached_property
    def last_clients(self) -> np.ndarray:
        """The rows of /clients of the last round in which single clients were tested."""
        tested = np.isfinite(self.rounds["client_loss"])
        last = self.rounds["round"][tested][-1:]
        blocks = [np.empty(0, row_type(CLIENT))]
        if len(last):
            blocks += [rows[rows["round"] == last] for rows in self.run.blocks("clients")]
        return np.concatenate(blocks)

    @property
    def state(self) -> str:
        """How far the run is, such as "complete"."""
        wanted = self.run.job["rounds"]
        done = len(self.rounds)
        if not self.run.complete:
            return f"under way or stopped: {done:,} of {counted(wanted, 'round')}"
        early = f" of at most {wanted:,}" if done < wanted else ""
        return f"complete, {counted(done, 'round')}{early}"


@dataclass(frozen=True, eq=False)
class Material:
    """All runs of a report, in groups that differ in the seed alone.

    Attributes:
        groups: The groups.
        sources: Of each group its runs.
        target: What the runs were to reach; None where nothing was asked.
        asked: The score that was asked for; None for the main one.
    """

    groups: tuple[Group, ...]
    sources: tuple[tuple[Source, ...], ...]
    target: Target | None = None
    asked: str | None = None

    @property
    def all(self) -> tuple[Source, ...]:
        """All runs, group by group."""
        return tuple(source for group in self.sources for source in group)

    @cached_property
    def metric(self) -> str:
        """The score that is drawn. Raises NoData where no model was tested."""
        metric = self.asked or first_main_metric(source.rounds for source in self.all)
        if metric is None:
            raise NoData("no model was tested")
        return metric

    def looks(self) -> list[tuple[str, Look, tuple[Source, ...]]]:
        """Return of each group its label, how it looks, and its runs."""
        return [
            (group.label, look(number), sources)
            for number, (group, sources) in enumerate(zip(self.groups, self.sources, strict=True))
        ]


def material(
    runs: Sequence[Run], target: Target | None = None, metric: str | None = None
) -> Material:
    """Return the material of a report on ``runs``, one or more, as ``make_report`` takes them.

    Raises InputError.
    """
    for run in runs:
        check_run(run)
    if target is not None:
        check_measured("--target", target.metric, runs)
    if metric is not None:
        check_measured("--metric", metric, runs)
    found = groups(runs)
    labels = _labels(found)
    most_rows = MOST_ROWS // len(runs)
    sources = [
        tuple(
            Source(run, labels[group_number, run_number], most_rows)
            for run_number, run in enumerate(group.runs)
        )
        for group_number, group in enumerate(found)
    ]
    return Material(tuple(found), tuple(sources), target, metric)


def _labels(found: Sequence[Group]) -> dict[tuple[int, int], str]:
    """Return a label of each run, by the numbers of its group and of its place in there."""
    labels: dict[tuple[int, int], str] = {}
    for group_number, group in enumerate(found):
        for run_number, run in enumerate(group.runs):
            words = [group.label] if len(found) > 1 or len(group.runs) == 1 else []
            if len(group.runs) > 1:
                words.append(f"seed {run.job['seed']}")
            label = ", ".join(words)
            if label in labels.values():
                label = f"{label} ({run.folder})"
            labels[group_number, run_number] = label
    return labels


def first_of_groups(
    material: Material, sources: Sequence[Source], panel: Callable[[Source, str], Panel]
) -> tuple[Panel, ...]:
    """Return the panel of the first run of each group that is one of ``sources`` and has data.

    Raises NoData, with the reason of the first, where none has.
    """
    panels: list[Panel] = []
    reasons: list[NoData] = []
    for label, _, group in material.looks():
        own = next((source for source in group if source in sources), None)
        try:
            if own is not None:
                panels.append(panel(own, label if len(material.groups) > 1 else ""))
        except NoData as reason:
            reasons.append(reason)
    if not panels:
        raise reasons[0] if reasons else NoData("no round has ended")
    return tuple(panels)


def setting(source: Source, key: str) -> Any:
    """Return a value of a run's job by dotted key; None where the job has no such key."""
    value: Any = source.run.job
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
