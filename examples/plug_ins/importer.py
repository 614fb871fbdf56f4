"""An importer of one's own: JSON lines, a sample a line.

    python examples/plug_ins/importer.py samples.jsonl samples.h5

A line is ``{"client": "anna", "x": [0.1, 0.2], "y": 1}``; y is the class, from 0 on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.store import Store, storing, write_store
from mpifl.errors import InputError


class JsonLines(Importer):
    """Samples as JSON lines, read one by one: memory does not grow with the file."""

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Hand every sample to the store, in any order of clients; return the description."""
        classes = 0
        for part, paths in sources.items():
            for path in paths:
                classes = max(classes, self._read_file(part, path, store))
        return Description(
            name=sources["train"][0].stem,
            outputs=classes,
            source="JSON lines",
            licence="as its source says",
        )

    def _read_file(self, part: str, path: Path, store: Store) -> int:
        """Read one file into a part; return the number of classes seen."""
        classes = 0
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path}: line {number}"
                try:
                    sample = json.loads(line)
                    client, label = str(sample["client"]), int(sample["y"])
                    x = np.array([sample["x"]], np.float32)
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(
                        f"{where}: {error!r}; a line is an object with client, x and y"
                    ) from error
                store.add(part, client, x, np.array([label], np.int64), where=where)
                classes = max(classes, label + 1)
        return classes


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    with storing(out) as samples:
        write_store(out, samples, JsonLines().read({"train": [source]}, samples))
