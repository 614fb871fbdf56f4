"""FedScale's data sets (Lai et al., ICML 2022): a mapping of samples to clients, and the files of the samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.arrays import find_arrays, open_array
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.fedscale_mapping import Columns, Labels, Row, SampleMap
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import Normalise
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.patterns import has_group
from mpifl.datasets.importers.pictures import height_and_width, pictures
from mpifl.datasets.importers.sequences import LENGTH_HELP, TOKENS_HELP, VOCABULARY_HELP, Task, Texts, texts_of
from mpifl.datasets.store import Store
from mpifl.errors import InputError

ROWS = {"none": 1 << 12, "images": 64, "features": 64, "text": 1 << 10}
"""How many samples are held at once."""

TAKEN = {
    "none": set[str](),
    "images": {"root", "suffix", "normalise", "size", "grey"},
    "features": {"root", "suffix", "normalise", "ragged"},
    "text": {"root", "suffix", "task", "tokens", "vocabulary", "length"},
}
"""Options that not every kind takes."""


class Fedscale(Importer):
    """FedScale's mapping CSV with the header client_id,sample_path,label_name,label_id, or its pickle {file name: client}.

    A table's name ends in .csv; both may be packed (.gz, .xz). The files of the samples lie below --root: images, .npy arrays
    of features, or texts. With --kind none there are no features: enough for timing, and for statistics of who has what. A test
    table may lack the clients (all is then the client). FedML's landmarks: --client user_id --path image_id --label class
    --suffix .jpg.
    """

    kind: Literal["images", "features", "text", "none"] = Field(description="what the samples' files are, if they are there")
    root: Path | None = Field(None, description="the folder that sample paths start from")
    client: str = Field("client_id", description="column of the clients")
    path: str = Field("sample_path", description="column of the samples' paths")
    label: str = Field("label_id", description="column of the classes: numbers from 0, or text")
    label_name: str = Field("label_name", description="column of the classes' names, where they are numbers; '' for none")
    suffix: str = Field("", description="what follows a sample's path in its file's name, such as .jpg")
    label_pattern: str | None = Field(
        None, description="regular expression with a group label, on the path, instead of --label"
    )
    size: str = Field("", description="images: HxW: resize each (bilinear); all need one size without")
    grey: bool = Field(False, description="images: one channel: samples (height, width) instead of (3, height, width)")
    normalise: Normalise = Field(
        "standard", description="images, features: mean 0 and deviation 1 over train; bytes from 0 to 1; or none"
    )
    ragged: bool = Field(False, description="features: lengths of their own along the first axis")
    task: Task = Field("classification", description="text: classify it, or predict its next token")
    tokens: Literal["characters", "words"] = Field("words", description=TOKENS_HELP)
    vocabulary: int = Field(10_000, ge=4, description=VOCABULARY_HELP)
    length: int = Field(0, ge=0, description=LENGTH_HELP)

    @field_validator("label_pattern")
    @classmethod
    def _names_label(cls, pattern: str | None) -> str | None:
        return pattern and has_group(pattern, "label")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. The mapping of train is read twice, texts too."""
        self._check()
        columns = Columns(self.client, self.path, self.label, self.label_name)
        parts = {
            part: [SampleMap(path, columns, self.label_pattern, all_one=part == "test") for path in paths]
            for part, paths in sources.items()
        }
        labels = None if self.task == "language" else Labels(_rows(parts["train"]))
        how = None
        if self.kind == "text":
            how = texts_of(map(self._text, _rows(parts["train"])), self.tokens, self.vocabulary, self.task, self.length)
        features = Features(self.normalise)
        for part, mappings in parts.items():
            rows = _rows(mappings)
            while block := list(itertools.islice(rows, ROWS[self.kind])):
                clients, x = self._samples(part, block, features, how)
                y = labels.check(part, block) if labels else None
                store.add(part, clients, x, y, where=block[0].where)
        scale, shift = features.scaling if self.kind in ("images", "features") else (1.0, 0.0)
        return Description(
            name=parts["train"][0].path.name.split(".")[0],
            outputs=labels.outputs if labels else len(how.vocabulary) if how else 0,
            source=f"FedScale's mapping {parts['train'][0].path.name}, samples: {self.kind}",
            licence="as its source says",
            task=self.task,
            vocabulary=len(how.vocabulary) if how else 0,
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names if labels else np.empty(0, "S1"),
            tokens=how.vocabulary.tokens if how else np.empty(0, "S1"),
        )

    def _check(self) -> None:
        refuse_others(self, TAKEN, self.kind, "--kind is")
        if self.kind != "none" and (self.root is None or not self.root.is_dir()):
            raise InputError(
                f"--root: {self.root}: no such folder; --kind {self.kind} needs the one that sample paths start from"
            )

    def _samples(self, part: str, rows: list[Row], features: Features, how: Texts | None) -> tuple[list[str], Any]:
        """Clients and samples of some rows."""
        clients = [row.client for row in rows]
        if self.kind == "none":
            return clients, np.empty((len(rows), 0), np.uint8)
        if how is not None:
            cut = [(row.client, sample) for row in rows for sample in how.samples(self._text(row))]
            return [client for client, _ in cut], [sample for _, sample in cut]
        files = [self._file(row) for row in rows]
        if self.kind == "images":
            wheres = [f"{row.where}: {file}" for row, file in zip(rows, files, strict=True)]
            x = pictures([*files], height_and_width(self.size, "--size"), self.grey, wheres)
            features.learn(part, x)
            return clients, x
        arrays = [_array(file, row.where) for row, file in zip(rows, files, strict=True)]
        if self.ragged:
            return clients, [features.stored(part, x, str(file)) for x, file in zip(arrays, files, strict=True)]
        for x, file in zip(arrays, files, strict=True):
            if x.shape != arrays[0].shape:
                raise InputError(f"{file}: {x.shape}; {files[0]} has {arrays[0].shape}: all need one shape, or --ragged")
        return clients, features.stored(part, np.stack(arrays), rows[0].where)

    def _file(self, row: Row) -> Path:
        """The file of a sample, which lies below the root: a mapping may come from anywhere."""
        assert self.root is not None
        below = Path(row.path + self.suffix)
        if below.is_absolute() or ".." in below.parts or not row.path:
            raise InputError(f"{row.where}: sample path {row.path!r}; allowed are paths below --root")
        return self.root / below

    def _text(self, row: Row) -> str:
        file = self._file(row)
        try:
            return file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{row.where}: {file}: no text in UTF-8 ({error})") from error


def _rows(mappings: list[SampleMap]) -> Iterator[Row]:
    return itertools.chain.from_iterable(mapping.rows() for mapping in mappings)


def _array(file: Path, where: str) -> np.ndarray:
    """The only array of a file of numpy's; nothing is unpickled."""
    try:
        places = find_arrays([file])
        array = open_array(places, next(iter(places), ""), "--kind features")
        if len(places) > 1:
            raise InputError(f"{file}: {len(places)} arrays; a sample is one")
        return np.concatenate(list(array.blocks()))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
