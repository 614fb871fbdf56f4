"""WebDataset's shards: tar archives of pictures or arrays with their classes."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers import images
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import NORMALISE_HELP, Normalise
from mpifl.datasets.importers.numbered import class_of_text, classes_of_texts
from mpifl.datasets.importers.patterns import (
    Pattern,
    check_test_found,
    check_test_pattern,
    client_name,
    matched_group,
    with_group,
)
from mpifl.datasets.importers.pictures import GREY_HELP, SIZE_HELP, height_and_width, pictures
from mpifl.datasets.importers.webdataset_shards import Sample, samples, shards
from mpifl.datasets.store import Store
from mpifl.errors import InputError, quoted
from mpifl.io.files import read_errors

PICTURES = tuple(ending.removeprefix(".") for ending in images.ENDINGS)
ARRAY = "npy"
CLASS = "cls"
AT_ONCE = 64  # samples


class Webdataset(Importer):
    """WebDataset's shards: tar archives, or folders of them (.tar, .tar.gz, .tar.xz).

    The files of a sample follow each other and have one key, the name before its first dot: n01.jpg
    and n01.cls. Samples are pictures or arrays (.npy). A class is the text of a file, a value in a
    .json, or a part of the path SHARD/KEY; so is the client. Without a client all samples belong to
    one client "all", and a partitioner of the job distributes them.
    """

    x: str = Field(
        "", description="ending of the samples' files (default: that of a picture, or npy)"
    )
    label: str = Field("", description="ending of the files with the class (default: cls)")
    label_field: str = Field("", description="name of the class in the .json; a.b is b in a")
    label_pattern: Annotated[str | None, with_group("label")] = Field(
        None, description="regular expression with a group label, on SHARD/KEY"
    )
    client_field: str = Field("", description="name of the client in the .json; a.b is b in a")
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None,
        description="regular expression with a group client: on the value of --client-field, or"
        " without it on SHARD/KEY",
    )
    json_ending: str = Field("json", description="ending of the .json files")
    test_pattern: Pattern = Field(
        "", description="regular expression: samples in whose SHARD/KEY it is found are the test"
    )
    size: str = Field("", description=f"pictures: {SIZE_HELP}")
    grey: bool = Field(False, description=f"pictures: {GREY_HELP}")
    normalise: Normalise = Field("standard", description=NORMALISE_HELP)

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read in two passes: the classes of the train part, then all."""
        self._check(sources)
        texts = {self._label(s) for part, s in self._all(sources, False) if part == "train"}
        if not texts:
            raise InputError(f"{sources['train'][0]}: no samples for the train part")
        labels = classes_of_texts(texts)
        features = Features(self.normalise)

        everything = self._all(sources, True)
        for part, run in itertools.groupby(everything, lambda item: item[0]):
            while block := [sample for _, sample in itertools.islice(run, AT_ONCE)]:
                x = self._stored(part, block, features)
                clients = [self._client(sample) for sample in block]
                y = [class_of_text(labels, part, self._label(s), s.location) for s in block]
                store.add(part, clients, x, np.concatenate(y), where=block[0].location)
        check_test_found(self.test_pattern, store, "SHARD/KEY")

        scale, shift = features.scaling
        name = sources["train"][0].resolve().name.partition(".")[0]
        return Description(
            name=name,
            outputs=labels.outputs,
            source=f"WebDataset {name}: x {self.x or 'by its ending'},"
            f" y {self.label_pattern or self.label_field or self.label or CLASS},"
            f" client {self.client_pattern or self.client_field or 'none'}",
            licence="as its source says",
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names,
        )

    def _check(self, sources: Mapping[str, list[Path]]) -> None:
        """Raise InputError for options that exclude each other."""
        named = {
            "--label": self.label,
            "--label-field": self.label_field,
            "--label-pattern": self.label_pattern,
        }
        given = [option for option, value in named.items() if value]
        if len(given) > 1:
            raise InputError(f"{given[1]}: {quoted(named[given[1]])}: not together with {given[0]}")
        check_test_pattern(self.test_pattern, sources)

    def _all(self, sources: Mapping[str, list[Path]], with_x: bool) -> Iterator[tuple[str, Sample]]:
        """Yield part and sample, in the order of the source; its own files only ``with_x``."""
        small = {self.label or CLASS, self.json_ending}

        def wanted(ending: str) -> bool:
            return ending in small or (with_x and self._is_x(ending))

        for part, paths in sources.items():
            for path, below in shards(paths):
                for sample in samples(path, below, wanted):
                    is_test = self.test_pattern and re.search(self.test_pattern, sample.path)
                    yield ("test" if is_test else part), sample

    def _is_x(self, ending: str) -> bool:
        return ending == self.x if self.x else ending in (*PICTURES, ARRAY)

    def _label(self, sample: Sample) -> str:
        if self.label_pattern is not None:
            return matched_group(self.label_pattern, "label", sample.path)
        if self.label_field:
            return sample.value(self.json_ending, self.label_field)
        return sample.text(self.label or CLASS)

    def _client(self, sample: Sample) -> str:
        value = None
        if self.client_field:
            value = sample.value(self.json_ending, self.client_field)
        return client_name(self.client_pattern, sample.path, value, sample.location)

    def _stored(self, part: str, block: list[Sample], features: Features) -> np.ndarray:
        """Return the samples of a block, in their stored type."""
        endings = [self._ending(sample) for sample in block]
        sources = [sample.file(ending) for sample, ending in zip(block, endings, strict=True)]
        locations = [sample.location for sample in block]
        are_arrays = {ending.rpartition(".")[2] == ARRAY for ending in endings}
        if len(are_arrays) > 1:
            raise InputError(f"{locations[0]}: pictures and arrays; --x names the ending of one")
        if not are_arrays.pop():
            size = height_and_width(self.size, "--size")
            x = pictures([*sources], size, self.grey, locations)
            features.learn(part, x)
            return x

        arrays = [_array(raw, where) for raw, where in zip(sources, locations, strict=True)]
        for array, where in zip(arrays, locations, strict=True):
            if (array.shape, array.dtype) != (arrays[0].shape, arrays[0].dtype):
                raise InputError(
                    f"{where}: {array.dtype} {array.shape}; {locations[0]} has"
                    f" {arrays[0].dtype} {arrays[0].shape}: all need one type and shape"
                )
        return features.stored(part, np.stack(arrays), locations[0])

    def _ending(self, sample: Sample) -> str:
        """Return the ending of the only file that is the sample. Raise InputError."""
        found = [ending for ending in sample.files if self._is_x(ending)]
        if len(found) != 1:
            endings = ", ".join(f".{ending}" for ending in found) or "none"
            wanted = f".{self.x}" if self.x else "a picture or .npy"
            raise InputError(
                f"{sample.location}: files that are the sample: {endings}; expected one, {wanted}"
            )
        return found[0]


def _array(raw: bytes, location: str) -> np.ndarray:
    """Return the array of a .npy file; nothing is unpickled."""
    with read_errors(Path(location)):
        return np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
