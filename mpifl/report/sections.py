"""The parts of the page that are text: the runs, their jobs, and what they ran on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from rich.filesize import decimal

from mpifl.errors import InputError
from mpifl.job.flat import flat
from mpifl.record.wording import clock_text, energy_text
from mpifl.report.chart import NoData
from mpifl.report.compared import differences, value_text
from mpifl.report.html import Child, element, table
from mpifl.report.material import Material, Source
from mpifl.report.target import best, column, lower_in, main_metric

ABSENT = "-"


def runs_table(material: Material) -> Element:
    """Return a table with a row for each run."""
    header = (
        "run",
        "state",
        "seed",
        "score: last (best)",
        "virtual time",
        "traffic",
        "energy (wasted)",
        "completed of asked",
        "wall time",
        "folder",
    )
    return table(header, [_run_row(source) for source in material.all], "Runs", "hidden")


def _run_row(source: Source) -> list[Child]:
    rounds = source.rounds
    summary = source.run.summary if source.run.complete else {}
    wall = clock_text(summary["wall_seconds"]) if summary else ABSENT
    known = [source.label, source.state, str(source.run.job["seed"])]
    folder = element("code", str(source.run.folder))
    if not len(rounds):
        return [*known, *[ABSENT] * 5, wall, folder]
    return [
        *known,
        _score(source),
        clock_text(float(rounds["end_seconds"][-1])),
        decimal(int(rounds["bytes_down"].sum() + rounds["bytes_up"].sum())),
        f"{energy_text(rounds['joules'].sum())} ({energy_text(rounds['joules_wasted'].sum())})",
        f"{rounds['completed'].sum():,} of {rounds['asked'].sum():,}",
        wall,
        folder,
    ]


def _score(source: Source) -> str:
    metric = main_metric(source.rounds)
    if metric is None:
        return ABSENT
    values = column(source.rounds, metric)
    last = values[values == values][-1]  # not NaN
    top = best(source.rounds, metric, lower_in(metric, [source.run]))
    return f"{metric} {last:.4f} ({top:.4f})"


def job_section(material: Material) -> list[Element]:
    """Return the jobs: where they differ, and each as YAML with these lines marked."""
    jobs = {source.label: flat(source.run.job) for source in material.all}
    differ = differences(list(jobs.values()))
    found = []
    if differ:
        rows: list[list[Child]] = [
            [element("code", key), *(_value(job, key) for job in jobs.values())] for key in differ
        ]
        found.append(table(("key", *jobs), rows, "Keys in which the jobs differ"))
    for source in material.all:
        lines = _yaml_lines(source.run.job, set(differ))
        block = element("pre", element("code", *lines), tabindex="0")
        found.append(_folded(f"job.yaml: {source.label}", block, len(jobs) == 1))
    return found


def _value(job: Mapping[str, Any], key: str) -> str:
    return value_text(job[key]) if key in job else ABSENT


def _yaml_lines(
    job: Mapping[str, Any], marked: set[str], key: str = "", depth: int = 0
) -> list[Child]:
    """Return a job as lines of YAML, a key a line; those of ``marked`` keys are highlighted."""
    lines: list[Child] = []
    for name, value in job.items():
        own = f"{key}.{name}" if key else name
        if isinstance(value, Mapping) and value:
            lines.append(f"{'  ' * depth}{name}:\n")
            lines += _yaml_lines(value, marked, own, depth + 1)
            continue
        text = f"{'  ' * depth}{name}: {value_text(value)}"
        lines += [element("mark", text), "\n"] if own in marked else [f"{text}\n"]
    return lines


def environment_section(material: Material) -> list[Element]:
    """Return what each run ran on: versions, commit, hosts, hashes."""
    facts = {source.label: _facts(source) for source in material.all}
    keys = dict.fromkeys(key for own in facts.values() for key in own)
    rows = [[key, *(own.get(key, ABSENT) for own in facts.values())] for key in keys]
    return [table(("", *facts), rows, "Environment", "hidden")] if rows else []


def _facts(source: Source) -> dict[str, str]:
    try:
        environment = dict(source.run.environment)
    except InputError as error:
        return {"environment.json": str(error)}
    environment.pop("earlier", None)
    environment.pop("ranks", None)
    command = environment.pop("command", [])
    facts = {key: _short(value) for key, value in flat(environment).items()}
    facts["command"] = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    if source.run.complete:
        facts["model_sha256"] = str(source.run.summary["model_sha256"])
    return facts


def _short(value: Any) -> str:
    return value if isinstance(value, str) else value_text(value)


def _folded(heading: str, content: Element, is_open: bool) -> Element:
    attributes = {"open": "open"} if is_open else {}
    return element("details", element("summary", heading), content, **attributes)


def left_out(reasons: Sequence[tuple[str, NoData]]) -> list[Element]:
    """Return a list of the charts that are not there, with the reasons."""
    items = [element("li", element("b", title), f": {reason}") for title, reason in reasons]
    return [element("ul", *items)] if items else []
