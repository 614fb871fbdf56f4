"""Splits of data sets on disk that Hugging Face's library ``datasets`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpifl.datasets.importers.huggingface_hub import load_hub_folder
from mpifl.datasets.importers.optional import library
from mpifl.errors import InputError
from mpifl.io.files import read_errors

SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
"""Files of a folder that save_to_disk wrote."""


def load_parts(
    sources: Mapping[str, list[Path]], splits: Mapping[str, str], config: str
) -> dict[str, list[tuple[str, Any]]]:
    """Load the data sets of each part: location (for messages) and Dataset.

    ``splits`` are the names of the splits of train, validation and test, ``config`` that of the
    data set in a folder with several. Raise InputError if a
    source lacks the split of its part, or if there are two test parts.
    """
    parts: dict[str, list[tuple[str, Any]]] = {}
    for source, paths in sources.items():
        for path in paths:
            loaded = _loaded(path, config)
            if not isinstance(loaded, dict):
                parts.setdefault(source, []).append((str(path), loaded))
                continue

            wanted = splits if source == "train" else {"test": splits["test"]}
            if wanted[source] not in loaded:
                raise InputError(
                    f"--{source}-split: {wanted[source]!r}:"
                    f" {path} has the splits {', '.join(loaded)}"
                )
            for part, name in wanted.items():
                if name in loaded:
                    parts.setdefault(part, []).append((f"{path}: split {name}", loaded[name]))

    if "test" in sources and len(parts["test"]) > len(sources["test"]):
        raise InputError(
            f"--test: {sources['test'][0]}: {parts['test'][0][0]} is a test part already;"
            " --test-split '' leaves it out"
        )
    return parts


def _loaded(path: Path, config: str) -> Any:
    """Load a folder: a data set of the library, or a dict of them by split."""
    datasets = library("datasets", "huggingface", path)
    if not path.is_dir():
        raise InputError(
            f"{path}: no such folder;"
            " this format takes what save_to_disk of the library datasets wrote, or a folder of the"
            " hub"
        )
    datasets.disable_progress_bars()
    if not any((path / name).is_file() for name in SAVED):
        return load_hub_folder(path, config)
    if config:
        raise InputError(f"--config: {config!r}: {path} is what save_to_disk wrote, and has none")
    with read_errors(path):
        return datasets.load_from_disk(str(path))
