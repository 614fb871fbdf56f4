"""What each rank reports about itself at the start of a run, and how rank 0 compares the reports.

Equal bits on any number of ranks are promised for ranks that compute alike: with equal processors,
libraries and settings. Ranks that do not are named once and recorded in environment.json; with
``runtime.require_same_processors`` they are refused. Models that ranks built differently are always
refused: rank 0's trained weights are broadcast, but the rest of a module is not.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpifl import __version__
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment

SETTINGS = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
"""Environment variables that change the arithmetic of the libraries."""

TORCH_LIBRARIES = {"MKL": r"Math Kernel Library Version (\S+)", "oneDNN": r"MKL-DNN (\S+)"}

Report = dict[str, Any]
"""The report of a rank.

``host``; ``computes_with``: name -> text, in a run that trains nothing only of versions;
``model``: kind -> hash of what no broadcast carries; ``job``: hash of the run directory's job.yaml
as this rank sees it, None when it does not see it.
"""


def rank_report(experiment: TimingExperiment, job_file: Path) -> Report:
    """Return this rank's report; ``job_file`` is the job.yaml of the run directory."""
    trains = isinstance(experiment, Experiment)
    return {
        "host": socket.gethostname(),
        "computes_with": _versions() | (_trains_with(experiment.job) if trains else {}),
        "model": experiment.fingerprint if isinstance(experiment, Experiment) else {},
        "job": _file_hash(job_file),
    }


def check_reports(
    reports: Sequence[Report], experiment: TimingExperiment, recovers: bool
) -> list[str]:
    """Return warnings about the ranks, none when there is nothing to warn of.

    ``reports`` are in the order of the ranks; ``recovers`` says that another rank may take rank 0's
    place. Raises InputError for ranks with different models, for ranks that do not see the run
    directory when clients keep state there, and with ``runtime.require_same_processors`` for ranks
    that do not compute alike.
    """
    _check_models(reports)
    lines = _run_directory_lines(reports, experiment, recovers)

    differences = _differences(reports)
    if differences and experiment.job.runtime.require_same_processors:
        raise InputError(
            f"runtime.require_same_processors: ranks do not compute alike: {differences}"
        )
    if differences:
        lines.append(
            f"ranks do not compute alike: {differences}; equal bits are promised for equal ranks"
            " only (runtime.require_same_processors: true makes this an error)"
        )
    return lines


def check_resumed(reports: Sequence[Report], environment: Path, required: bool) -> list[str]:
    """Return a warning when a run is resumed with other processors, libraries or settings.

    ``environment`` is the run's environment.json. If it is missing, or has no such information,
    there is no warning. With ``required`` raise InputError instead.
    """
    try:
        earlier = json.loads(environment.read_text(encoding="utf-8"))["ranks"]
        before = {
            json.dumps(group["computes_with"], sort_keys=True): group["computes_with"]
            for group in earlier
        }
    except (OSError, ValueError, KeyError, TypeError):
        return []
    now = {
        json.dumps(report["computes_with"], sort_keys=True): report["computes_with"]
        for report in reports
    }
    if now.keys() <= before.keys():
        return []

    changed = next(values for key, values in now.items() if key not in before)
    changes = _changes(changed, next(iter(before.values())), "when the run began")
    if required:
        raise InputError(
            "runtime.require_same_processors: the run began on ranks that compute differently:"
            f" {changes}"
        )
    return [
        f"the run began on ranks that compute differently: {changes}; it may end with other bits"
        " than an uninterrupted run"
    ]


def rank_groups(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return the groups of ranks that compute alike, as environment.json has them.

    Each has ``ranks`` (such as "0-3, 7"), ``hosts`` (host -> ranks) and ``computes_with``.
    """
    groups: dict[str, dict[str, Any]] = {}
    for rank, report in enumerate(reports):
        key = json.dumps(report["computes_with"], sort_keys=True)
        group = groups.setdefault(
            key, {"ranks": [], "hosts": {}, "computes_with": report["computes_with"]}
        )
        group["ranks"].append(rank)
        group["hosts"][report["host"]] = group["hosts"].get(report["host"], 0) + 1
    return [group | {"ranks": _ranges(group["ranks"])} for group in groups.values()]


def processor() -> str:
    """Return the name of this host's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _versions() -> dict[str, str]:
    """Return the versions of what computes plans and the clock, by name."""
    return {
        "mpifl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": _version("numba"),
    }


def _trains_with(job: Job) -> dict[str, str]:
    """Return what else may change the bits of training on this rank, by name."""
    import torch  # here, because runs that only time rounds do not need it

    build = torch.__config__.show()
    libraries = {
        name: match[1]
        for name, pattern in TORCH_LIBRARIES.items()
        if (match := re.search(pattern, build))
    }
    facts = {
        "processor": processor(),
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        **libraries,
        **_libraries_of_parts(job),
        "threads": str(torch.get_num_threads()),
        **{name: os.environ[name] for name in SETTINGS if name in os.environ},
    }
    if job.training.device == "cuda" and torch.cuda.is_available():
        facts["GPU"] = torch.cuda.get_device_name()
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        facts["CUDA"] = f"{torch.version.cuda}, cuDNN {cudnn}"
    return facts


def _libraries_of_parts(job: Job) -> dict[str, str]:
    """Return the versions of the libraries that ``exchange`` and ``privacy`` need, by name."""
    stages = (*job.exchange.up, *job.exchange.down)
    names = {job.privacy.library, *(stage.library for stage in stages)}
    return {name: _version(name) for name in sorted(names - {""})}


def _version(library: str) -> str:
    """Return the version of a library; a rank without it differs from one that has it."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _check_models(reports: Sequence[Report]) -> None:
    """Raise InputError when a rank has built another model than rank 0."""
    for rank, report in enumerate(reports):
        different = [
            kind
            for kind, digest in report["model"].items()
            if digest != reports[0]["model"].get(kind)
        ]
        if different:
            raise InputError(
                f"model.name: rank {rank} (host {report['host']}) has built another model than rank"
                f" 0: it differs in {', '.join(different)}; build() may depend only on its"
                " arguments and on the seeded generators of torch, numpy and random"
            )


def _run_directory_lines(
    reports: Sequence[Report], experiment: TimingExperiment, recovers: bool
) -> list[str]:
    """Return a warning, or raise InputError, when ranks do not see rank 0's run directory."""
    blind = [rank for rank, report in enumerate(reports) if report["job"] != reports[0]["job"]]
    if not blind:
        return []

    who = _named(blind, reports)
    if isinstance(experiment, Experiment) and experiment.kept_shapes:
        raise InputError(
            f"--out: {who} does not see the run directory of rank 0, and the clients of"
            f" {experiment.job.algorithm.name} keep state there; name a folder on a file system"
            " that all ranks share"
        )
    if recovers:
        return [
            f"{who} does not see the run directory of rank 0 and could not take its place if it"
            " were lost"
        ]
    return []


def _named(ranks: Sequence[int], reports: Sequence[Report]) -> str:
    """Return ranks with their hosts, such as "rank 1-2 (host b, c)"."""
    hosts = sorted({reports[rank]["host"] for rank in ranks})
    return f"rank {_ranges(ranks)} (host {', '.join(hosts)})"


def _differences(reports: Sequence[Report]) -> str:
    """Return as text in what ranks compute differently from rank 0; empty when none does."""
    others: dict[str, list[int]] = {}
    for rank, report in enumerate(reports):
        changes = _changes(report["computes_with"], reports[0]["computes_with"], "rank 0")
        if changes:
            others.setdefault(changes, []).append(rank)
    return "; ".join(f"{_named(ranks, reports)} has {changes}" for changes, ranks in others.items())


def _changes(values: Mapping[str, str], reference: Mapping[str, str], label: str) -> str:
    """Return as text what differs in ``values``: "CPU capability DEFAULT (rank 0: AVX512)".

    ``label`` names the ``reference``: here "rank 0".
    """
    names = [name for name in {**reference, **values} if values.get(name) != reference.get(name)]
    return ", ".join(
        f"{name} {values.get(name, 'not set')} ({label}: {reference.get(name, 'not set')})"
        for name in names
    )


def _ranges(ranks: Sequence[int]) -> str:
    """Return ranks in ascending order as text: "0-3, 7"."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], rank]
        else:
            runs.append([rank])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
