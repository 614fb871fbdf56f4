"""Tables in Parquet files: a row is a sample, columns are features, label and client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mpifl.datasets.importers.arrow_split import Columns, Split, classes_in
from mpifl.datasets.importers.arrow_table import ArrowTable
from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.optional import library
from mpifl.datasets.importers.patterns import Pattern, check_test_pattern
from mpifl.errors import InputError, quoted
from mpifl.io.files import is_file, read_errors

ENDINGS = (".parquet", ".pq")
BUFFER_BYTES = 1 << 18  # of a column


class Parquet(ArrowTable):
    """Parquet files, or folders of them: a row is a sample.

    Samples are columns of numbers, one column of lists of numbers, of text, or of images (bytes of
    files). Classes that Hugging Face's library wrote keep their names. Row groups are read one by
    one. Patterns are searched for in a file's path below SOURCE, such as site=oslo/part-0.parquet.
    Without a client all samples belong to one client "all", and a partitioner of the job
    distributes them. Needs pyarrow: pip install 'mpifl[parquet]'.
    """

    source: ClassVar[str] = "Parquet"

    test_pattern: Pattern = Field(
        "",
        description="regular expression: files in whose path below SOURCE it is found are the test"
        " part",
    )

    def splits(self, sources: Mapping[str, list[Path]]) -> dict[str, list[Split]]:
        check_test_pattern(self.test_pattern, sources)

        parts: dict[str, list[Split]] = {}
        for part, paths in sources.items():
            for path, below in _files(paths):
                is_test = self.test_pattern and re.search(self.test_pattern, below)
                split = _split(path, below)
                parts.setdefault("test" if is_test else part, []).append(split)
        for part in ("train", *(["test"] if self.test_pattern else [])):
            if part not in parts:
                pattern = (
                    f" by --test-pattern {quoted(self.test_pattern)}" if self.test_pattern else ""
                )
                raise InputError(f"{sources['train'][0]}: no files for the {part} part{pattern}")
        return parts


def _files(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the files of the sources, each with its path below its source.

    Raise InputError for a source that does not exist, and for a folder without files.
    """
    for path in paths:
        if is_file(path):
            yield path, path.name
            continue
        empty = True
        for root, below in files_below([path], ENDINGS):
            yield root / below, below
            empty = False
        if empty:
            raise InputError(f"{path}: no files there whose names end in {', '.join(ENDINGS)}")


def _split(path: Path, below: str) -> Split:
    """Return the rows of a file, of which the metadata is read."""
    parquet = library("pyarrow.parquet", "parquet", path)
    with read_errors(path), parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        classes = classes_in(schema)

    def read(columns: list[str], rows: int) -> Iterator[Columns]:
        # otherwise all bytes of a column in a row group are read at once
        buffers = {"pre_buffer": False, "buffer_size": BUFFER_BYTES}
        with parquet.ParquetFile(path, **buffers) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                    yield {name: batch.column(name) for name in columns}

    return Split(str(path), schema, read, classes, below)
