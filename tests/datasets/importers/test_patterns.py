"""What a path says, by regular expressions."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mpifl.datasets.importers.csv import Csv
from mpifl.datasets.importers.fedscale import Fedscale
from mpifl.datasets.importers.images import Images
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.patterns import matched_group, with_group
from mpifl.datasets.importers.text import Text
from mpifl.datasets.importers.wav import Wav
from mpifl.errors import InputError


def test_a_group_is_found_anywhere_in_the_path() -> None:
    assert matched_group(r"(?P<client>\w+)_nohash", "client", "yes/0a7c_nohash_0.wav") == "0a7c"


@pytest.mark.parametrize("path", ["yes/0a7c.wav", "yes/_nohash_0.wav"])
def test_a_path_without_it_is_named(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: no client by the pattern"):
        matched_group(r"/(?P<client>\w*?)_nohash", "client", path)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "not a regular expression"),
        ("(?P<lable>x)", r"no group \(\?P<label>"),
        ("", r"no group \(\?P<label>"),
    ],
)
def test_patterns_without_the_group_are_refused(pattern: str, said: str) -> None:
    option: TypeAdapter[str | None] = TypeAdapter(Annotated[str | None, with_group("label")])
    with pytest.raises(ValueError, match=said):
        option.validate_python(pattern)
    assert option.validate_python("(?P<label>x)") == "(?P<label>x)"
    assert option.validate_python(None) is None


@pytest.mark.parametrize(
    ("importer", "options"),
    [
        (Images, {"label_pattern": "x"}),
        (Images, {"client_pattern": ""}),
        (Wav, {"label_pattern": "x"}),
        (Wav, {"client_pattern": ""}),
        (Fedscale, {"kind": "none", "label_pattern": ""}),
        (Csv, {"label": ["y"], "client_pattern": ""}),
        (Text, {"layout": "plays", "role": ""}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else list(value)[-1],
)
def test_every_pattern_of_an_importer_needs_its_group(
    importer: type[Importer], options: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=rf"{list(options)[-1]}\n.*no group \(\?P<"):
        importer(**options)
