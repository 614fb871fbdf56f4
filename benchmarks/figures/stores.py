"""The real data as mpifl's own stores in HDF5, made by the commands that a user would type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mpifl.datasets.dataset import Dataset, open_dataset
from mpifl.errors import InputError
from mpifl.traces.trace import Trace, open_trace

HAR = ["har/x_f16_n128x9.npy.xz", "har/y_subject_istest.npz"]
FEDSCALE = ["traces/fedscale/client_device_capacity", "traces/fedscale/client_behave_trace"]


@dataclass(frozen=True)
class Data:
    """``root`` is the folder of the real data, ``work`` the one for stores and runs.

    Stores and runs that are in ``work`` are used as they are. ``at_once`` runs go on at a time.
    """

    root: Path
    work: Path
    at_once: int = 1

    def need(self, *names: str) -> None:
        """Raise InputError that names all files and folders below root that are missing."""
        missing = [name for name in names if not (self.root / name).exists()]
        if missing:
            raise InputError(
                f"--data: {self.root} lacks {', '.join(missing)}; this figure needs all of them"
            )

    def dataset(self, name: str, importer: str, sources: list[str], *options: str) -> Dataset:
        """The store of ``mpifl data import IMPORTER SOURCE... OPTION...``; sources are below root."""
        return open_dataset(
            self._made(name, ["data", "import", importer, *self._paths(sources), *options])
        )

    def trace(self, name: str, importer: str, sources: list[str], *options: str) -> Trace:
        """The store of ``mpifl traces import IMPORTER SOURCE... OPTION...``; sources are below root."""
        return open_trace(
            self._made(name, ["traces", "import", importer, *self._paths(sources), *options])
        )

    def synthetic(self, recipe: str, phones: int) -> Trace:
        """The store of ``mpifl traces synth RECIPE --phones PHONES``."""
        return open_trace(self._made(recipe, ["traces", "synth", recipe, "--phones", str(phones)]))

    def recipe(self, name: str, path: Path) -> Trace:
        """The store of ``mpifl traces import csv PATH``; what the table lacks is that of phones."""
        return open_trace(self._made(name, ["traces", "import", "csv", str(path)]))

    def qmnist(self) -> Dataset:
        """QMNIST by writer, ``qmnist.h5``."""
        self.need("qmnist")
        return self.dataset("qmnist", "qmnist", ["qmnist"])

    def cifar10(self) -> Dataset:
        """The 10,000 + 10,000 images of CIFAR-10 that are at hand, ``cifar10.h5``."""
        self.need("cifar10")
        return self.dataset("cifar10", "cifar", ["cifar10"])

    def har(self) -> Dataset:
        """UCI HAR by subject, ``har-scaled.h5``; each channel standardised."""
        self.need(*HAR)
        named = (
            "--x",
            "x_f16_n128x9",
            "--label",
            "y",
            "--client",
            "subject",
            "--test-rows",
            "is_test",
        )
        scaled = ("--normalise", "standard", "--channel-axis", "2")
        return self.dataset("har-scaled", "npz", HAR, *named, *scaled)

    def fedscale(self) -> Trace:
        """The part of FedScale's devices and users that is at hand, ``fedscale.h5``."""
        self.need(*FEDSCALE)
        return self.trace("fedscale", "fedscale", FEDSCALE)

    def _paths(self, sources: list[str]) -> list[str]:
        return [str(self.root / source) for source in sources]

    def _made(self, name: str, command: list[str]) -> Path:
        path = self.work / f"{name}.h5"
        if path.exists():
            return path
        command = [*command, "-o", str(path)]
        print(f"mpifl {shlex.join(command)}", flush=True)
        ended = subprocess.run(
            [sys.executable, "-m", "mpifl", *command], check=False, capture_output=True, text=True
        )
        if ended.returncode:
            said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
            raise InputError(
                f"{name}: the import ended with status {ended.returncode}: {said[-1] if said else 'no word'}"
            )
        return path
