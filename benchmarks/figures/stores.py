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


@dataclass(frozen=True)
class Data:
    """``root`` is the folder of the real data, ``work`` the one for stores."""

    root: Path
    work: Path

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

    def _paths(self, sources: list[str]) -> list[str]:
        return [str(self.root / source) for source in sources]

    def _made(self, name: str, command: list[str]) -> Path:
        path = self.work / f"{name}.h5"
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
