"""How long rounds took, and what each waited for in the end."""

from __future__ import annotations

import numpy as np

from mpifl.report.chart import Axis, Bars, Chart, Look, NoData, Panel
from mpifl.report.charts.timeline import PHASE_LOOKS, phase_spans
from mpifl.report.material import Material, Source, setting
from mpifl.report.units import SECONDS, fitting

MOST_BARS = 120
BOUNDS = {
    **PHASE_LOOKS,
    "nobody online": Look("vermilion"),
    "the deadline": Look("purple"),
    "not recorded": Look("blue"),
}
"""What a round can have waited for, and its look. The phases are those of who completed last."""

CLOSE = 1e-6
"""The share of a round's seconds below which a difference is rounding."""


def chart(material: Material) -> Chart:
    """Return the chart: a panel for each run."""
    sources = [source for source in material.all if len(source.rounds)]
    if not sources:
        raise NoData("no round has ended")
    several = len(material.all) > 1
    groups = [[sources.index(run) for run in own if run in sources] for own in material.sources]
    return Chart(
        name="durations",
        title="Round durations",
        text="Virtual time from the end of the round before to the end of the round, by what"
        " bounded it: the longest phase of the participant who completed last, a time in which"
        f" nobody was online, or the round's deadline.{_binned(sources)}",
        panels=tuple(_panel(source, source.label if several else "") for source in sources),
        choice="run",
        on_paper=tuple(places[0] for places in groups if places),
    )


def _binned(sources: list[Source]) -> str:
    most = max(_bin(len(source.rounds)) for source in sources)
    return f" Bars are means over up to {most:,} rounds." if most > 1 else ""


def _bin(rounds: int) -> int:
    """Return how many rounds a bar stands for."""
    return -(-rounds // MOST_BARS)


def _panel(source: Source, label: str) -> Panel:
    rounds = source.rounds
    seconds = durations(rounds)
    bound = bounds(source)
    size = _bin(len(rounds))
    place = np.arange(len(rounds)) // size
    in_bin = np.bincount(place)
    middle = np.bincount(place, rounds["round"]) / in_bin

    unit = fitting(SECONDS, float(seconds.max()))
    bars = []
    for name, style in BOUNDS.items():
        own = np.bincount(place, np.where(bound == name, seconds, 0.0)) / in_bin / unit.size
        there = own > 0
        if there.any():
            width = (0.9 if size == 1 else 1.0) * size
            bars.append(Bars(name=name, look=style, x=middle[there], y=own[there], width=width))
    return Panel(label, Axis("round", whole=True), Axis(f"virtual time, {unit.name}"), tuple(bars))


def durations(rounds: np.ndarray) -> np.ndarray:
    """Return of each round the virtual seconds since the end of the one before, (rounds,)."""
    return np.diff(rounds["end_seconds"], prepend=0.0)


def bounds(source: Source) -> np.ndarray:
    """Return of each round what bounded it, a name of BOUNDS, (rounds,) of str."""
    rounds = source.rounds
    seconds = durations(rounds)
    last = source.participants.last[rounds["round"]]
    found = np.full(len(rounds), "not recorded", object)

    if source.recorded == 1 and last.dtype.names and "stop_seconds" in last.dtype.names:
        phases = phase_spans(last, 0.0)
        names = np.array(list(phases), object)
        found = names[np.argmax([length for _, length in phases.values()], axis=0)]
        server = float(setting(source, "clock.latency.server_seconds") or 0.0)
        later = rounds["end_seconds"] - server - last["stop_seconds"] > CLOSE * seconds
        found[later | (last["round"] == 0)] = "the deadline"
    found[rounds["waited_seconds"] > seconds / 2] = "nobody online"
    return found
