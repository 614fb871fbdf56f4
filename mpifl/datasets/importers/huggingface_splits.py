"""Splits of data sets that Hugging Face's library ``datasets`` wrote to disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mpifl.errors import InputError
from mpifl.io.files import read_errors

ROWS = {"images": 64, "text": 1 << 10, "numbers": 1 << 10}
"""Samples held at once, by kind."""

INSTALL = "install it: pip install 'mpifl[huggingface]'"


@dataclass(frozen=True)
class NamedSplit:
    """A split of a data set on disk, and the types of its columns.

    ``kind`` is that of the samples. ``named`` tells that labels are text. ``classes`` are the names
    of labels that are numbers.
    """

    location: str
    data: Any
    kind: Literal["images", "text", "numbers"]
    named: bool
    classes: list[str]

    def batches(self, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield location (for messages) and columns (pyarrow.Array) of the rows, by batch."""
        with read_errors(Path(self.location)):
            start = 0
            data = self.data.select_columns(columns).with_format("arrow")
            for table in data.iter(batch_size=ROWS[self.kind]):
                batch = {name: table[name].combine_chunks() for name in columns}
                yield f"{self.location}: rows from {start}", batch
                start += len(table)


def load_parts(
    sources: Mapping[str, list[Path]], splits: Mapping[str, str]
) -> dict[str, list[tuple[str, Any]]]:
    """Load the data sets of each part: location (for messages) and Dataset.

    ``splits`` are the names of the splits of train, validation and test. Raise InputError if a
    source lacks the split of its part, or if there are two test parts.
    """
    parts: dict[str, list[tuple[str, Any]]] = {}
    for source, paths in sources.items():
        for path in paths:
            loaded = _loaded(path)
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


def _loaded(path: Path) -> Any:
    """Load what save_to_disk wrote: a Dataset, or a dict of them."""
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{path}: the library datasets is not installed; {INSTALL}") from error
    if not path.is_dir():
        raise InputError(
            f"{path}: no such folder;"
            " this format takes what save_to_disk of the library datasets wrote"
        )
    datasets.disable_progress_bars()
    with read_errors(path):
        return datasets.load_from_disk(str(path))
