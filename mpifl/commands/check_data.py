"""``mpifl check``: what a job's clients hold after its partition and split, beside other jobs'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpifl.commands.data_file import label_names
from mpifl.commands.data_text import Panel, skew_lines, skew_table
from mpifl.errors import InputError, counted
from mpifl.job import Job, read_job
from mpifl.job.section import Section
from mpifl.population.build import open_population, prepare
from mpifl.population.holdings import holdings_of
from mpifl.population.population import Population

MOST_PANELS = 12


def held_by(
    name: str,
    overrides: Sequence[str],
    against: Sequence[str],
    population: Population,
    picture: Path | None,
) -> list[str]:
    """Return in words what a job's clients hold, one line each, and draw it if asked for.

    ``against`` are overrides ``section.key=value``: each makes another job, which is shown beside
    the first. ``population`` is that of the first. Raises InputError.
    """
    if len(against) >= MOST_PANELS:
        raise InputError(
            f"--against: given {len(against)} times; allowed: at most {MOST_PANELS - 1}"
        )
    first = read_job(name, overrides)
    panels = [_panel(_as_it_is(first, against), population)]
    for change in against:
        job = read_job(name, [*overrides, change])
        data_path, _ = prepare(job)
        panels.append(_panel(change, open_population(job, data_path, None)))

    held = [panel.holdings for panel in panels]
    lines = skew_lines(held[0])
    if against:
        lines = skew_table([panel.title for panel in panels], held)
    lines = _which_clients(population, held[0].clients) + lines
    if picture is not None:
        from mpifl.commands.data_picture import draw  # loads Matplotlib

        draw(picture, _title(first, population), panels)
        lines.append(f"clients drawn to {picture}")
    return lines


def _which_clients(population: Population, shown: int) -> list[str]:
    """Return a line where a population has more clients than are ``shown``."""
    if population.clients <= shown:
        return []
    if population.dataset is None:
        return [
            f"of {counted(population.clients, 'client')} the sizes of the first {shown:,} are drawn"
        ]
    return [f"{counted(population.clients, 'client')} share the samples of {shown:,}, which are:"]


def _panel(title: str, population: Population) -> Panel:
    holdings = holdings_of(population)
    data = population.dataset
    return Panel(title, holdings, [] if data is None else label_names(data, holdings))


def _title(job: Job, population: Population) -> str:
    """Return the title of the picture: the job, and the data set if it has another name."""
    name = "" if population.dataset is None else population.dataset.name
    return job.name if name in ("", job.name) else f"{job.name}: {name}"


def _as_it_is(job: Job, against: Sequence[str]) -> str:
    """Return the job's own values of the keys that ``against`` changes: the title of its panel."""
    keys = dict.fromkeys(change.partition("=")[0] for change in against)
    values = {key: _value(job, key) for key in keys}
    known = [f"{key}={value}" for key, value in values.items() if value is not None]
    return ", ".join(known) or ("as the job is" if against else "")


def _value(job: Job, key: str) -> Any:
    """Return the value at a dotted key, of a section its name; None where there is none."""
    value: Any = job
    for part in key.split("."):
        value = getattr(value, part, None)
    return getattr(value, "name", None) if isinstance(value, Section) else value
