"""The arrays of actors in checkpoints: one file a rank, in safetensors.

``checkpoint/actors/round-00000012-2of3.safetensors`` (within a round also the events taken, as
the checkpoint's own name) has, by name, ``state/ACTOR/NAME``,
``carried/SENDER/NUMBER/NAME`` (messages under way), ``latest/ACTOR`` and ``reported/ACTOR/HANDLER``
(models), and ``sent``: how many messages each actor has sent, (actors, 2) int64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, read_errors, to_disk, usual_mode
from mpifl.messages.host import Host
from mpifl.messages.owners import dealt_to, owner_of
from mpifl.rounds.plan.snapshot import round_of

File = tuple[str, str]
"""Name and SHA-256."""


def write_actors(folder: Path, host: Host, moment: str, rank: int, ranks: int) -> File:
    """Write the arrays of a rank's actors; return the file's name and its SHA-256.

    ``moment`` is that of the snapshot. Raises DiskFull.
    """
    name = f"{moment}-{rank}of{ranks}.safetensors"
    path = folder / name
    partial = folder / f".part-{rank}"
    with disk_full_errors(path, run=folder.parent.parent):
        folder.mkdir(exist_ok=True)
        with usual_mode(partial):
            save_file(_tensors(host), partial)
        to_disk(partial)
        digest = _sha256(partial)
        partial.replace(path)
        to_disk(folder)
    return name, digest


def read_actors(folder: Path, host: Host, files: Sequence[File], rank: int, ranks: int) -> None:
    """Read into a host the arrays of its actors, whichever ranks have written them.

    Each file is checked by one of the ranks that have actors. Raises InputError for a damaged one.
    """
    stack = host.worker.experiment.stack
    for place, (name, digest) in enumerate(files):
        path = folder / name
        with read_errors(path):
            if dealt_to(place, ranks) == rank and _sha256(path) != digest:
                raise InputError(f"{path}: damaged: its SHA-256 is not that of the checkpoint")
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118
                    _put(host, key, file, stack, rank, ranks)


def remove_before(folder: Path, round_number: int) -> None:
    """Remove the files of rounds before a round."""
    for path in folder.glob("round-*.safetensors"):
        if round_of(path.name) < round_number:
            path.unlink(missing_ok=True)


def _tensors(host: Host) -> dict[str, torch.Tensor]:
    """Return all arrays of a host by name. Each is copied: safetensors refuses shared ones."""
    sent = sorted(host.sent.items())
    tensors = {"sent": torch.tensor(sent, dtype=torch.int64).reshape(-1, 2)}
    for actor, arrays in host.state.items():
        tensors |= {f"state/{actor}/{name}": values for name, values in arrays.items()}
    for (sender, number), carried in host.carried.items():
        tensors |= {f"carried/{sender}/{number}/{name}": array for name, array in carried.items()}
    tensors |= {f"latest/{actor}": model for actor, model in host.latest.items()}
    tensors |= {f"reported/{actor}/{handler}": m for (actor, handler), m in host.reported.items()}
    return {name: values.clone() for name, values in tensors.items()}


def _put(host: Host, key: str, file: Any, stack: int, rank: int, ranks: int) -> None:
    """Put an array where it belongs, if it is of one of the host's actors."""

    def own(actor: int) -> bool:
        return owner_of(actor, stack, ranks) == rank

    kind, *rest = key.split("/")
    if kind == "sent":
        counts = file.get_tensor(key).tolist()
        host.sent.update((actor, count) for actor, count in counts if own(actor))
    elif kind == "state" and own(int(rest[0])):
        host.state.setdefault(int(rest[0]), {})["/".join(rest[1:])] = file.get_tensor(key)
    elif kind == "carried" and own(int(rest[0])):
        place = (int(rest[0]), int(rest[1]))
        arrays = dict(host.carried.get(place, {}))
        arrays["/".join(rest[2:])] = file.get_tensor(key)
        host.carried[place] = arrays
    elif kind == "latest" and own(int(rest[0])):
        host.latest[int(rest[0])] = file.get_tensor(key)
    elif kind == "reported" and own(int(rest[0])):
        host.reported[int(rest[0]), int(rest[1])] = file.get_tensor(key)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
