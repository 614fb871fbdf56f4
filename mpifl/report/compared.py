"""Which runs are compared: runs of several folders, and groups that differ only in the seed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.flat import flat
from mpifl.job.plug_in import COPIES
from mpifl.record.load import Run, load_run
from mpifl.record.run_folders import is_run, runs_in

NO_RESULT = ("name", "seed", "record", "checkpoint", "runtime")
"""Keys and sections of a job that runs of one group may differ in.

All but the seed leave the result as it is.
"""


FILES = {
    "data.name": "data",
    "population.trace": "trace",
    "population.devices": "devices",
    "model.initial": "initial",
    "model.config": "model",
    "model.lora.initial": "model",
    "protocol.graph.path": "graph",
    "app": "app",
}
"""Keys of a job that name files, and the names of their hashes in environment.json.

One hash is of all that a model reads."""


COPY = re.compile(rf"^{COPIES}/[^/]+/(?=[^/]+\.py:\w+$)")
"""The beginning of a plug-in's name in the job.yaml of a run: where its copy is."""


@dataclass(frozen=True)
class Group:
    """Runs of one experiment.

    Attributes:
        label: The keys in which the group differs from the others with their values, such as
            "algorithm=fedprox, training.lr=0.1"; the job's name where there is one group.
        keys: Those keys and values; empty where there is one group.
        runs: By seed, then by folder.
    """

    label: str
    keys: Mapping[str, Any]
    runs: tuple[Run, ...]


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Return the runs of run directories, and of folders that hold run directories.

    A folder's runs come in the order of their names; a run that is named twice comes once. Raises
    InputError for a path that holds no run.
    """
    folders: dict[str, Path] = {}
    for path in map(Path, paths):
        found = [path] if is_run(path) else runs_in(path)
        if not found:
            raise InputError(
                f"{path}: neither a run directory (it has no job.yaml) nor a folder of those"
            )
        for folder in found:
            folders.setdefault(os.path.realpath(folder), folder)
    return [load_run(folder) for folder in folders.values()]


def differences(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys of flat jobs that not all have, or not with the same value, in order."""
    keys = dict.fromkeys(key for job in jobs for key in job)
    return [key for key in keys if len({_text(job, key) for job in jobs}) > 1]


def groups(runs: Sequence[Run]) -> list[Group]:
    """Return the runs in groups that differ only in NO_RESULT, in the order of the first of each.

    Data sets and traces are compared by content, plug-ins by their source: a plug-in that was
    changed makes another group, with its hash as the key ``plug_ins.KEY``.
    """
    found: dict[str, list[Run]] = {}
    identities: dict[str, dict[str, Any]] = {}
    for run in runs:
        identity = _identity(run)
        text = json.dumps(identity, sort_keys=True, default=str)
        identities[text] = identity
        found.setdefault(text, []).append(run)

    labels = _labels(list(identities.values()))
    shown = [_with_names(keys, own[0]) for keys, own in zip(labels, found.values(), strict=True)]
    if len({_label(keys) for keys in shown}) < len(shown):
        shown = labels  # files of one name with other contents
    return [
        Group(
            label=_label(keys) or str(own[0].job["name"]),
            keys=keys,
            runs=tuple(sorted(own, key=lambda run: (run.job["seed"], str(run.folder)))),
        )
        for keys, own in zip(shown, found.values(), strict=True)
    ]


def _identity(run: Run) -> dict[str, Any]:
    """Return what makes a run's result but for the seed, by dotted key.

    Files are there by the hash of their content, as soon as the run has noted it.
    """
    values = flat({key: value for key, value in run.job.items() if key not in NO_RESULT})
    if not is_file(run.folder / "environment.json"):
        return values
    hashes = run.environment["content_sha256"]
    named = {key: name for key, name in FILES.items() if values.get(key) is not None}
    contents = {key: hashes[name] for key, name in named.items() if hashes.get(name)}
    sources = {f"plug_ins.{key}": own["sha256"] for key, own in run.environment["plug_ins"].items()}
    return values | contents | sources


def _labels(identities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each identity the keys that tell it from the others, with their values.

    A key that comes with another, as ``algorithm.mu`` with ``algorithm.name``, is left out where
    it has one value wherever it is, or one for each name, unless groups would be told apart by
    nothing else.
    """
    keys = differences(identities)
    telling = [
        key
        for key in keys
        if len({_text(one, key) for one in identities if key in one}) > 1
        and not _follows(key, identities)
    ]
    short = [{key: one[key] for key in telling if key in one} for one in identities]
    if len({_label(label) for label in short}) == len(identities):
        return short
    return [{key: one.get(key) for key in keys} for one in identities]


def _follows(key: str, identities: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the name of a key's section says its value: it is the default of another part."""
    section = key.rpartition(".")[0]
    for name in (f"{section}.name", f"{section}.mode"):
        names = {_text(one, name) for one in identities}
        pairs = {(_text(one, name), _text(one, key)) for one in identities}
        if key != name and len(names) > 1 and len(pairs) == len(names):
            return True
    return False


def _with_names(keys: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Return the keys with the names of files in place of the hashes of their contents."""
    names = flat(run.job)
    return {key: names.get(key) if key in FILES else value for key, value in keys.items()}


def _label(keys: Mapping[str, Any]) -> str:
    """Return keys and values as the command line takes them: ``algorithm=fedprox`` for a name."""
    return ", ".join(
        f"{key.removesuffix('.name').removesuffix('.mode')}={value_text(value)}"
        for key, value in keys.items()
    )


def value_text(value: Any) -> str:
    """Return a value of a job as the command line takes it, hashes shortened.

    Of a list of parts, such as attacks, each is its name with the options that it has a value for.
    Of a plug-in the folder of its copy in the run directory is left out.
    """
    if isinstance(value, str):
        return value[:12] if len(value) == 64 else COPY.sub("", value)
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        return " + ".join(map(_part_text, value))
    return json.dumps(value, default=str)


def _part_text(part: Mapping[str, Any]) -> str:
    options = {key: option for key, option in part.items() if key != "name" and option is not None}
    inside = ", ".join(f"{key}={value_text(option)}" for key, option in options.items())
    return f"{part.get('name', '')}({inside})" if inside else str(part.get("name", ""))


def _text(job: Mapping[str, Any], key: str) -> str:
    return json.dumps(job[key], sort_keys=True, default=str) if key in job else ""
