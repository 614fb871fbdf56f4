"""Folders of WAV files, whose paths give the spoken word and the speaker."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.labels import Classes
from mpifl.datasets.importers.moments import Moments
from mpifl.datasets.importers.patterns import (
    CLIENT_HELP,
    FOLDER_OF_LABEL,
    LABEL_HELP,
    TEST_HELP,
    Pattern,
    check_test_found,
    matched_group,
    with_group,
)
from mpifl.datasets.importers.sounds import MELS, RATE, WINDOW, frames, log_mel, read_wav
from mpifl.datasets.store import Store
from mpifl.errors import InputError, quoted
from mpifl.io.text import text_lines

ENDINGS = (".wav", ".wave")
LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}
"""Files of Speech Commands that list the files of a part; all others are of the train part."""
AT_ONCE_SECONDS = 64  # of sound


class Wav(Importer):
    """Folders of WAV files as log-mel features.

    Samples are (frames, 40): a frame every 10 ms from a window of 25 ms at 16 kHz. A file's path
    gives class and client; the defaults are for Speech Commands: SOURCE/word/speaker_nohash_0.wav.
    If SOURCE holds testing_list.txt or validation_list.txt, the files that they list are those
    parts; --test-pattern finds the test part of other layouts. Shorter sounds are padded with
    silence, longer ones are cut; channels are averaged, other rates are resampled. Files that are
    no .wav are skipped.
    """

    label_pattern: Annotated[str, with_group("label")] = Field(
        FOLDER_OF_LABEL, description=LABEL_HELP
    )
    client_pattern: Annotated[str, with_group("client")] = Field(
        r"(?P<client>[^/]+)_nohash_\d+\.wav$", description=CLIENT_HELP
    )
    test_pattern: Pattern = Field("", description=TEST_HELP)
    exclude: Pattern = Field(
        "^_background_noise_/",
        description="regular expression of paths below SOURCE to leave out ('': none)",
    )
    seconds: float = Field(1.0, ge=WINDOW / RATE, le=3600, description="length of each sample")
    normalise: Literal["standard", "none"] = Field(
        "standard", description="mean 0 and deviation 1 over train; or unchanged"
    )

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read in two passes: the classes from the train files' paths, then the sounds."""
        lists_by_part = {part: _Lists(roots) for part, roots in sources.items()}
        has_list = any(lists.holds("test") for lists in lists_by_part.values())
        if "test" in sources and has_list:
            raise InputError(
                f"--test: {sources['test'][0]}: {sources['train'][0]}"
                " has a testing_list.txt already"
            )
        if self.test_pattern and ("test" in sources or has_list):
            raise InputError(
                f"--test-pattern: {quoted(self.test_pattern)}: {sources['train'][0]} has a test"
                f" part already, by {'testing_list.txt' if has_list else '--test'}"
            )

        words = {
            matched_group(self.label_pattern, "label", below)
            for part, _, below in self._files(sources, lists_by_part)
            if part == "train"
        }
        if not words:
            raise InputError(
                f"{sources['train'][0]}: no train files there;"
                f" their names end in {', '.join(ENDINGS)}"
            )
        classes = Classes(np.array(sorted(words)))

        moments = Moments()
        length = round(self.seconds * RATE)
        files = self._files(sources, lists_by_part)
        for part, block in _blocks(files, max(1, AT_ONCE_SECONDS * RATE // length)):
            paths = [root / below for root, below in block]
            x = log_mel(np.stack([read_wav(path, length) for path in paths]))
            if part == "train":
                moments.add(x)
            labels = np.array(
                [matched_group(self.label_pattern, "label", below) for _, below in block]
            )
            clients = [matched_group(self.client_pattern, "client", below) for _, below in block]
            y = classes.numbers(labels, paths)
            store.add(part, clients, x, y, where=str(paths[0].parent))
        for lists in lists_by_part.values():
            lists.check_used()
        check_test_found(self.test_pattern, store, "path")

        scale, shift = moments.scaling(self.normalise, np.dtype(np.float32))
        folder = sources["train"][0].resolve().name
        return Description(
            name=folder,
            outputs=len(words),
            source=f"sounds of {folder}: {self.seconds:g} s at {RATE} Hz, log-mel energies:"
            f" {frames(length)} frames (window 25 ms, step 10 ms) of {MELS} bands,"
            f" features: {self.normalise}",
            licence="as its source says",
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names,
        )

    def _files(
        self, sources: Mapping[str, list[Path]], lists_by_part: Mapping[str, _Lists]
    ) -> Iterator[tuple[str, Path, str]]:
        """Yield part, root, and path below the root of each file."""
        for part, roots in sources.items():
            for root, below in files_below(roots, ENDINGS):
                if not (self.exclude and re.search(self.exclude, below)):
                    is_test = self.test_pattern and re.search(self.test_pattern, below)
                    default = "test" if is_test else part
                    yield lists_by_part[part].part_of(root, below, default), root, below


class _Lists:
    """The files that the lists in some folders name, and their parts."""

    def __init__(self, roots: list[Path]) -> None:
        self._part: dict[tuple[Path, str], str] = {}
        self._used: set[tuple[Path, str]] = set()
        for root, (name, part) in itertools.product(roots, LISTS.items()):
            if not root.is_dir():
                raise InputError(f"{root}: no such folder")
            lines = text_lines(root / name) if (root / name).is_file() else iter(())
            for number, line in lines:
                key = (root, line.strip())
                if self._part.setdefault(key, part) != part:
                    raise InputError(
                        f"{root / name}: line {number}: {line!r} is in the other list too"
                    )

    def holds(self, part: str) -> bool:
        """Return whether a list names files of the part."""
        return part in self._part.values()

    def part_of(self, root: Path, below: str, default: str) -> str:
        """Return the part of a file: that of its list, or ``default``."""
        if (root, below) not in self._part:
            return default
        self._used.add((root, below))
        return self._part[root, below]

    def check_used(self) -> None:
        """Raise InputError for a listed file that does not exist."""
        missing = next((key for key in self._part if key not in self._used and key[1]), None)
        if missing is not None:
            root, below = missing
            raise InputError(
                f"{root / below}: no such file, but a list of {root}"
                f" names it for the {self._part[missing]} part"
            )


def _blocks(
    files: Iterator[tuple[str, Path, str]], count: int
) -> Iterator[tuple[str, list[tuple[Path, str]]]]:
    """Yield consecutive files of one part, at most ``count`` at a time."""
    for part, run in itertools.groupby(files, lambda file: file[0]):
        while block := [(root, below) for _, root, below in itertools.islice(run, count)]:
            yield part, block
