"""How every rank starts: what rank 0 sends of the job, and the experiment made from it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from mpifl.datasets.dataset import FORMAT, SCHEMA_VERSION
from mpifl.errors import InputError
from mpifl.io.verified import bytes_sha256, check_same, what_was_verified
from mpifl.job import Job, dump_job, load_yaml, parse_job
from mpifl.job.plug_in import check_hashes
from mpifl.rounds.experiment.build_experiment import load_experiment
from mpifl.rounds.experiment.experiment import TimingExperiment

Announcement = dict[str, Any]
"""As JSON has it: the resolved ``job`` (YAML), the path of its ``data`` and what was verified of
that file, the ``folder`` of the run, and the hashes of its ``plug_ins`` and of the file of its
``initial`` weights (None where it has none)."""


def announcement(job: Job, data: Path | None, folder: Path) -> Announcement:
    """Return on rank 0 what the others need in order to take part."""
    return {
        "job": dump_job(job),
        "data": str(data) if data else None,
        "data_verified": what_was_verified(data) if data else None,
        "folder": str(folder),
        "initial": _weights_sha256(job),
        "plug_ins": {key: plug_in.sha256 for key, plug_in in job.plug_ins.items()},
    }


def announced(message: Announcement) -> tuple[TimingExperiment, Path]:
    """Return on another rank the experiment and the run directory.

    Raises InputError when this rank sees another data set, other first weights, or another source
    of a plug-in, than rank 0.
    """
    job = parse_job(load_yaml(message["job"]))
    check_hashes(job.plug_ins, message["plug_ins"])

    data = Path(message["data"]) if message["data"] else None
    if data is not None and message["data_verified"] is not None:
        stamp, digest = message["data_verified"]
        check_same(data, stamp, digest, FORMAT, SCHEMA_VERSION)
    digest = _weights_sha256(job)
    if digest != message["initial"]:
        raise InputError(
            f"model.initial: {job.model.initial} has sha256 {str(digest)[:12]} on"
            f" {socket.gethostname()} and {message['initial'][:12]} on rank 0; every host has to"
            " have the same"
        )

    return load_experiment(job, data, None), Path(message["folder"])


def _weights_sha256(job: Job) -> str | None:
    """Return the hash of the file from whose weights the run starts, None where there is none."""
    return None if job.model.initial is None else bytes_sha256(Path(job.model.initial))
