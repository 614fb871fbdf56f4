"""Images and labels in idx files, the format of MNIST, Fashion-MNIST and EMNIST."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer, one_folder
from mpifl.datasets.importers.labels import Classes, classes_of
from mpifl.datasets.importers.moments import Moments, Normalise
from mpifl.datasets.importers.streams import CHUNK_BYTES, Stream, opened, text_lines
from mpifl.datasets.store import Store
from mpifl.errors import InputError

UNSIGNED_BYTE, INT = 0x08, 0x0C
TYPES: dict[int, tuple[np.dtype, np.dtype]] = {
    UNSIGNED_BYTE: (np.dtype("u1"), np.dtype(np.uint8)),
    0x09: (np.dtype("i1"), np.dtype(np.int32)),
    0x0B: (np.dtype(">i2"), np.dtype(np.int32)),
    INT: (np.dtype(">i4"), np.dtype(np.int32)),
    0x0D: (np.dtype(">f4"), np.dtype(np.float32)),
    0x0E: (np.dtype(">f8"), np.dtype(np.float32)),
}
"""By idx type: as it is stored, and as it is kept."""

NAME = re.compile(r"(?P<prefix>.*?)(?P<part>train|t10k|test)[-.](?P<what>images|labels)[-.]idx\d+[-.][a-z]+\d*(\.gz)?")
FASHION, DEBIAN = "fashion-mnist", Path("/usr/share/datasets/fashion-mnist")
FASHION_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
LARGEST_BYTES = 1 << 28  # of one sample
WRITER_COLUMN = 2  # of QMNIST's labels


@dataclass(frozen=True)
class IdxFile:
    """What the header of an idx file says: ``shape``, and the type of the values as ``stored`` and as ``kept`` here."""

    path: Path
    shape: tuple[int, ...]
    stored: np.dtype
    kept: np.dtype

    @property
    def row_bytes(self) -> int:
        """How many bytes stand in the file for one entry of the first axis."""
        return self.stored.itemsize * math.prod(self.shape[1:])

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """All of it in blocks of ``rows`` entries (about CHUNK_BYTES) of the first axis, uint8, int32 or finite float32.

        Raises InputError when the file is cut off or goes on.
        """
        rows = rows or max(1, CHUNK_BYTES // self.row_bytes)
        with opened(self.path) as stream:
            _header(stream)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                found = np.frombuffer(stream.take(count * self.row_bytes), self.stored).reshape(count, *self.shape[1:])
                with np.errstate(over="ignore"):
                    block = found.astype(self.kept)
                if block.dtype == np.float32 and not np.isfinite(block).all():
                    row = start + int(np.argmin(np.isfinite(block).reshape(count, -1).all(axis=1)))
                    raise InputError(f"{self.path}: row {row}: not finite in float32")
                yield block
            stream.end()


def open_idx(path: Path) -> IdxFile:
    """The header of an idx file (http://yann.lecun.com/exdb/mnist), plain or ``.gz``. Raises InputError when it is none."""
    with opened(path) as stream:
        element, shape = _header(stream)
    return IdxFile(path, shape, *TYPES[element])


def _header(stream: Stream) -> tuple[int, tuple[int, ...]]:
    zeros, element, dimensions = (magic := stream.take(4))[:2], magic[2], magic[3]
    if zeros != b"\0\0" or element not in TYPES or dimensions < 1:
        raise InputError(f"{stream.path}: begins with {bytes(magic).hex()}: not an idx file")
    shape = tuple(int(size) for size in np.frombuffer(stream.take(4 * dimensions), ">i4"))
    if min(shape) < 1:
        raise InputError(f"{stream.path}: header says {shape}; each must be 1 or more")
    if (size := TYPES[element][0].itemsize * math.prod(shape[1:])) > LARGEST_BYTES:
        raise InputError(f"{stream.path}: header says {shape}: {size:,} bytes a sample; allowed: at most {LARGEST_BYTES:,}")
    return element, shape


class Idx(Importer):
    """A folder of idx files, plain or gzipped: train-images-idx3-ubyte, train-labels-idx1-ubyte and t10k-... (or test-...).

    The word fashion-mnist names the folder of Debian's package dataset-fashion-mnist. Without --clients all samples belong to
    one client "all", and a partitioner of the job deals them out.
    """

    finds_test: ClassVar[bool] = True

    prefix: str | None = Field(None, description="what the files' names begin with, such as emnist-letters-")
    clients: Path | None = Field(None, description="clients of the train samples: a text, one a line, or QMNIST's labels file")
    clients_test: Path | None = Field(None, description="the same for the test samples")
    transpose: bool = Field(False, description="swap height and width of each image, which EMNIST's files need")
    normalise: Normalise = Field("standard", description="mean 0 and deviation 1 over train; bytes from 0 to 1; or as they are")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. Samples of one number (idx1) become rows of one feature."""
        folder = _fashion(sources["train"]) or one_folder(sources)
        prefix, parts = _find(folder, self.prefix)
        if self.clients_test and "test" not in parts:
            raise InputError(f"--clients-test: {self.clients_test}: {folder} has no test part")
        classes = classes_of(_labels(open_idx(parts["train"]["labels"])).blocks())
        names = _mapping(folder / f"{prefix}mapping.txt", classes)
        moments, first = Moments(), open_idx(parts["train"]["images"])
        for part, files in parts.items():
            images, labels = open_idx(files["images"]), _labels(open_idx(files["labels"]))
            if (images.kept, images.shape[1:]) != (first.kept, first.shape[1:]):
                raise InputError(
                    f"{images.path}: samples of {images.kept} {images.shape[1:]}; train's are {first.kept} {first.shape[1:]}"
                )
            for x, y, client in _together(images, labels, self.clients if part == "train" else self.clients_test):
                samples = _samples(x, self.transpose, images.path)
                if part == "train":
                    moments.add(samples)
                store.add(part, client, samples, classes.numbers(y, str(labels.path)), where=str(images.path))
        scale, shift = moments.scaling(self.normalise, first.kept)
        known = folder == DEBIAN
        return Description(
            name=FASHION if known else prefix.rstrip("-._") or folder.resolve().name,
            outputs=len(classes.values),
            source=f"idx files {prefix}* of {folder.resolve().name}, features: {self.normalise}",
            licence="MIT (Zalando SE)" if known else "as its source says",
            feature_scale=scale,
            feature_shift=shift,
            labels=np.array(FASHION_NAMES, "S") if known else names,
        )


def _fashion(paths: list[Path]) -> Path | None:
    """The folder of Debian's package where SOURCE is its word and no folder's name."""
    if [str(path) for path in paths] != [FASHION] or paths[0].is_dir():
        return None
    if not DEBIAN.is_dir():
        raise InputError(f"{FASHION}: no such folder, nor {DEBIAN}: apt install dataset-fashion-mnist, or name a folder")
    return DEBIAN


def _find(folder: Path, wanted: str | None) -> tuple[str, dict[str, dict[str, Path]]]:
    """The prefix, and by part the files of "images" and "labels"; a plain file goes before a packed one.

    Raises InputError when a file is missing, or several prefixes could be meant.
    """
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in sorted(folder.iterdir()):
        if (name := NAME.fullmatch(path.name)) and path.is_file():
            part = "train" if name["part"] == "train" else "test"
            found.setdefault(name["prefix"], {}).setdefault(part, {}).setdefault(name["what"], path)
    usable = [prefix for prefix, parts in found.items() if "images" in parts.get("train", {})]
    if wanted is None and len(usable) > 1:
        raise InputError(f"{folder}: holds {', '.join(f'{prefix}train-images' for prefix in usable)}: choose one with --prefix")
    prefix = wanted if wanted is not None else usable[0] if usable else ""
    parts = found.get(prefix, {})
    for part, files in (("train", parts.get("train", {})), *((part, parts[part]) for part in ("test",) if part in parts)):
        for what in ("images", "labels"):
            if what not in files:
                raise InputError(f"{folder}: no {prefix}{part}-{what}-idx... or with .gz there (test may be t10k)")
    return prefix, {part: parts[part] for part in ("train", "test") if part in parts}


def _labels(labels: IdxFile) -> IdxFile:
    """The same. Raises InputError when these are no labels."""
    if len(labels.shape) != 1 or labels.kept == np.float32:
        raise InputError(f"{labels.path}: {labels.shape} of {labels.stored}; labels are one column of integers")
    return labels


Block = tuple[np.ndarray, np.ndarray, "str | np.ndarray | list[str]"]


def _together(images: IdxFile, labels: IdxFile, clients: Path | None) -> Iterator[Block]:
    """Images, labels and clients side by side. Raises InputError when there are not as many of each."""
    if labels.shape[0] != images.shape[0]:
        raise InputError(f"{labels.path}: {labels.shape[0]} labels for the {images.shape[0]} images of {images.path}")
    rows = max(1, CHUNK_BYTES // images.row_bytes)
    one = ("all" for _ in range(0, images.shape[0], rows))
    owners = _clients(clients, images.shape[0], rows) if clients else one
    yield from zip(images.blocks(rows), labels.blocks(rows), owners, strict=True)


def _clients(path: Path, samples: int, rows: int) -> Iterator[np.ndarray | list[str]]:
    """The client of each sample, in blocks of ``rows``: of a text with one a line, or of QMNIST's labels."""
    with opened(path) as stream:
        binary = stream.file.read(2) == b"\0\0"
    if binary:
        yield from writers(path, samples, rows)
        return
    number, block = 0, []
    for number, line in text_lines(path):
        if number > samples:
            raise InputError(f"{path}: line {number}: there are only {samples} samples")
        if not line.strip():
            raise InputError(f"{path}: line {number}: empty; each names the client of a sample")
        block.append(line.strip())
        if len(block) == rows or number == samples:
            yield block
            block = []
    if number != samples:
        raise InputError(f"{path}: {number} lines for {samples} samples")


def writers(path: Path, samples: int, rows: int) -> Iterator[np.ndarray]:
    """The writers (int32) of the first ``samples`` rows of QMNIST's labels; see ``qmnist_rows``."""
    for block in qmnist_rows(path, samples, rows):
        yield block[:, WRITER_COLUMN]


def qmnist_rows(path: Path, samples: int, rows: int) -> Iterator[np.ndarray]:
    """QMNIST's labels (rows, columns) int32 of the first ``samples`` images; there may be more. Raises InputError if fewer."""
    labels = open_idx(path)
    if labels.kept != np.int32 or len(labels.shape) != 2 or labels.shape[0] < samples or labels.shape[1] <= WRITER_COLUMN:
        raise InputError(f"{path}: {labels.shape} of {labels.stored}: rows and columns of integers for {samples} images")
    start = 0
    for block in labels.blocks(rows):  # read to the end, so that a file that is cut off is seen
        if start < samples:
            yield block[: samples - start]
        start += len(block)


def _samples(x: np.ndarray, transpose: bool, path: Path) -> np.ndarray:
    if transpose and x.ndim != 3:
        raise InputError(f"{path}: samples of {x.shape[1:]}: --transpose is for images of height and width")
    return x.transpose(0, 2, 1) if transpose else x[:, None] if x.ndim == 1 else x


def _mapping(path: Path, classes: Classes) -> np.ndarray:
    """Names of the classes by EMNIST's mapping, where there is one: lines of a label and the codes of its characters."""
    if not path.is_file():
        return classes.names
    known: dict[int, bytes] = {}
    for number, line in text_lines(path):
        fields = line.split()
        try:
            label, codes = int(fields[0]), [int(field) for field in fields[1:]]
            known[label] = "".join(map(chr, codes)).encode()
        except (IndexError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: line {number}: {line!r}: a label and codes of characters") from error
    missing = [value for value in classes.values.tolist() if value not in known]
    if missing:
        raise InputError(f"{path}: no line for label {missing[0]}")
    return np.array([known[value] for value in classes.values.tolist()], "S")
