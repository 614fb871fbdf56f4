"""The base class of importers of medical images: files of volumes, or of slices of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.key_table import KeyTable, read_key_table
from mpifl.datasets.importers.moments import Moments
from mpifl.datasets.importers.numbered import Named, Numbered, class_of_text, classes_of_texts
from mpifl.datasets.importers.patterns import (
    FOLDER_OF_LABEL,
    LABEL_HELP,
    TEST_HELP,
    Pattern,
    check_test_found,
    check_test_pattern,
    client_name,
    matched_group,
    with_group,
)
from mpifl.datasets.importers.resampling import SIZE_HELP, evenly, nearest, resized, voxels
from mpifl.datasets.store import Store
from mpifl.errors import InputError, quoted

EXTRA = "medical"
"""The extra of mpifl with the libraries that read them."""


@dataclass(frozen=True)
class Scan:
    """A volume in one file or more. ``below`` is its path below SOURCE, which patterns read."""

    below: str
    files: tuple[Path, ...]

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        return str(self.files[0])


class Volumes(Importer):
    """Base of importers of volumes: a subclass says where they are, and reads them.

    A volume is (depth, height, width) float32. A sample is one, or a slice of one (height, width).
    """

    label_pattern: Annotated[str, with_group("label")] = Field(
        FOLDER_OF_LABEL, description=LABEL_HELP
    )
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None,
        description="regular expression with a group client: on the value of --client, or without"
        " it on the path below SOURCE",
    )
    test_pattern: Pattern = Field("", description=TEST_HELP)
    exclude: Pattern = Field(
        "", description="regular expression of paths below SOURCE to leave out"
    )
    table: Path | None = Field(
        None, description="a table (.csv, .tsv) with labels or clients, a row for each key"
    )
    key: str = Field("", description="column of the keys of --table (default: the first)")
    key_pattern: Annotated[str, with_group("key")] = Field(
        "^(?P<key>.*)$",
        description="regular expression with a group key, on the path below SOURCE",
    )
    label: str = Field("", description="column of --table with the label, instead of the path")
    client: str = Field("", description="column of --table with the client")
    task: str = "classification"
    slices: int = Field(
        0, ge=0, description="number of slices of each volume, evenly spread; 0: the volume whole"
    )
    size: str = Field("", description=SIZE_HELP)
    clip: str = Field(
        "", description="LOW,HIGH: values beyond these become these, such as a CT's window -160,240"
    )
    normalise: Literal["standard", "volume", "none"] = Field(
        "standard",
        description="mean 0 and deviation 1 over train; of each volume by itself; or unchanged",
    )

    def scans(self, roots: list[Path]) -> Iterator[Scan]:
        """Yield the volumes below folders, in an order that does not depend on the file system."""
        raise NotImplementedError

    def volume(self, scan: Scan) -> np.ndarray:
        """Return a volume (depth, height, width) float32. Raise InputError naming its file."""
        raise NotImplementedError

    def header(self, scan: Scan, name: str, option: str) -> str:
        """Return what the header of a file says, where there is no table. Raise InputError."""
        raise InputError(f"{option}: {name!r}: it needs --table, the file with that column")

    def mask(self, scan: Scan) -> np.ndarray | None:
        """Return the class of each voxel (depth, height, width) int64, where there is one."""
        return None

    @property
    def mask_classes(self) -> int:
        """How many classes of voxels there are; 0 where samples have labels."""
        return 0

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read in two passes: the labels of the train part, then the volumes."""
        self._check(sources)
        sides, limits = self._sides(), _limits(self.clip)
        table = read_key_table(self.table, self.key) if self.table else None
        classes = self._classes(sources, table)

        moments = Moments()
        shape: tuple[int, ...] = ()
        for part, scan in self._scans(sources):
            volume = self._scaled(self.volume(scan), limits)
            if sides:
                x = self._pieces(resized(volume, sides), scan)
            else:
                x = self._pieces(volume, scan)
            shape = shape or x.shape[1:]
            if x.shape[1:] != shape:
                own, first = ("x".join(map(str, one)) for one in (x.shape[1:], shape))
                raise InputError(
                    f"{scan.location}: {own}, the first is {first}: all need one size, or --size"
                )
            if part == "train":
                moments.add(x)
            y = self._targets(part, scan, volume.shape, sides, classes, table)
            store.add(part, self._client(scan, table), x, y, where=scan.location)
        self._check_parts(sources, store)

        is_scaled = self.normalise == "standard"
        scale, shift = moments.scaling("standard" if is_scaled else "none", np.dtype(np.float32))
        name = sources["train"][0].resolve().name
        sampled = f"{self.slices} slices of each" if self.slices else "whole"
        return Description(
            name=name,
            outputs=classes.outputs if classes else self.mask_classes or 1,
            source=f"volumes of {name}, {sampled}, {'x'.join(map(str, shape))},"
            f" clipped: {self.clip or 'no'}, features: {self.normalise}",
            licence="as its source says",
            task=self.task,
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names if classes else np.empty(0, "S1"),
        )

    def _check(self, sources: Mapping[str, list[Path]]) -> None:
        """Raise InputError for options that exclude each other."""
        check_test_pattern(self.test_pattern, sources)
        if self.label and self.label_pattern != FOLDER_OF_LABEL:
            raise InputError(
                f"--label-pattern: {quoted(self.label_pattern)}: not together with --label"
            )

    def _check_parts(self, sources: Mapping[str, list[Path]], store: Store) -> None:
        """Raise InputError where a part is empty."""
        if not store.samples("train"):
            raise InputError(f"{sources['train'][0]}: no volumes for the train part")
        check_test_found(self.test_pattern, store, "path")

    def _sides(self) -> tuple[int, ...]:
        """Return the sides of --size. Raise InputError."""
        sides = voxels(self.size, "--size")
        if self.slices and len(sides) == 3:
            raise InputError(f"--size: {self.size!r}: slices have two sides; allowed: HxW")
        return sides

    def _scans(self, sources: Mapping[str, list[Path]]) -> Iterator[tuple[str, Scan]]:
        """Yield part and volume, in the order of the source."""
        for part, roots in sources.items():
            for root in roots:
                if not root.is_dir():
                    raise InputError(f"{root}: no such folder")
            for scan in self.scans(roots):
                if not (self.exclude and re.search(self.exclude, scan.below)):
                    is_test = self.test_pattern and re.search(self.test_pattern, scan.below)
                    yield ("test" if is_test else part), scan

    def _scaled(self, volume: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
        """Return a volume within limits, and with mean 0 and deviation 1 if that is asked for."""
        if limits is not None:
            volume = np.clip(volume, *limits)
        if self.normalise == "volume":
            deviation = float(volume.std(dtype=np.float64))
            mean = float(volume.mean(dtype=np.float64))
            volume = ((volume - mean) / (deviation or 1)).astype(np.float32)
        return volume

    def _pieces(self, volume: np.ndarray, scan: Scan) -> np.ndarray:
        """Return the samples (samples, ...) of a volume: itself, or slices of it."""
        if not self.slices:
            return volume if len(volume) == 1 else volume[None]
        if self.slices > len(volume):
            raise InputError(
                f"--slices: {self.slices}: {scan.location} has {len(volume)} in this direction"
            )
        return volume[evenly(self.slices, len(volume))]

    def _classes(
        self, sources: Mapping[str, list[Path]], table: KeyTable | None
    ) -> Numbered | Named | None:
        """Return the classes of the train part; None where something else is predicted."""
        if self.task != "classification":
            return None
        train = (scan for part, scan in self._scans(sources) if part == "train")
        labels = {self._label(scan, table) for scan in train}
        if not labels:
            raise InputError(f"{sources['train'][0]}: no volumes for the train part")
        return classes_of_texts(labels)

    def _targets(
        self,
        part: str,
        scan: Scan,
        shape: tuple[int, ...],
        sides: tuple[int, ...],
        classes: Numbered | Named | None,
        table: KeyTable | None,
    ) -> np.ndarray:
        """Return what is predicted of a volume of ``shape``, for each of its samples."""
        mask = self.mask(scan)
        if mask is not None:
            if mask.shape != shape:
                own, other = ("x".join(map(str, one)) for one in (mask.shape, shape))
                raise InputError(f"{scan.location}: its mask is {own}, the volume {other}")
            pieces = self._pieces(nearest(mask, sides) if sides else mask, scan)
            return pieces.reshape(len(pieces), -1).astype(np.float32)

        label, count = self._label(scan, table), max(1, self.slices)
        if classes is not None:
            return np.repeat(class_of_text(classes, part, label, scan.location), count)
        try:
            number = np.float32(label)
        except ValueError:
            number = np.float32(np.nan)
        if not np.isfinite(number):
            raise InputError(f"{scan.location}: label {label!r}; a regression needs numbers")
        return np.full((count, 1), number, np.float32)

    def _label(self, scan: Scan, table: KeyTable | None) -> str:
        if self.label:
            return self._value(scan, table, self.label, "--label")
        return matched_group(self.label_pattern, "label", scan.below)

    def _client(self, scan: Scan, table: KeyTable | None) -> str:
        value = self._value(scan, table, self.client, "--client") if self.client else None
        return client_name(self.client_pattern, scan.below, value, scan.location)

    def _value(self, scan: Scan, table: KeyTable | None, name: str, option: str) -> str:
        if table is None:
            return self.header(scan, name, option)
        key = matched_group(self.key_pattern, "key", scan.below)
        return table.value(key, name, option, scan.location)


def _limits(text: str) -> tuple[float, float] | None:
    """Return the two numbers of --clip, or None if it is empty. Raise InputError."""
    if not text:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not -np.inf < low < high < np.inf:
        raise InputError(f"--clip: {text!r}; allowed: LOW,HIGH, two numbers, such as -160,240")
    return low, high
