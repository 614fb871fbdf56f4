"""What a path says, by regular expressions."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mpifl.datasets.importers.csv import Csv
from mpifl.datasets.importers.fedscale import Fedscale
from mpifl.datasets.importers.images import Images
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.patterns import (
    check_test_pattern,
    group_in_value,
    matched_group,
    with_group,
)
from mpifl.datasets.importers.text import Text
from mpifl.datasets.importers.wav import Wav
from mpifl.errors import InputError


def test_a_group_is_found_anywhere_in_the_path() -> None:
    assert matched_group(r"(?P<client>\w+)_nohash", "client", "yes/0a7c_nohash_0.wav") == "0a7c"


@pytest.mark.parametrize("path", ["yes/0a7c.wav", "yes/_nohash_0.wav"])
def test_a_path_without_it_is_named(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: no client by the pattern"):
        matched_group(r"/(?P<client>\w*?)_nohash", "client", path)


def test_errors_show_a_pattern_as_it_was_written() -> None:
    """It can be copied: repr would double each backslash."""
    pattern = r"_(?P<label>\d+)\.jpg$"
    with pytest.raises(InputError) as in_path:
        matched_group(pattern, "label", "a/x.png")
    assert str(in_path.value) == f"a/x.png: no label by the pattern '{pattern}'"
    with pytest.raises(InputError) as in_value:
        group_in_value(pattern, "label", r"a\x", "row 3")
    assert str(in_value.value) == rf"row 3: 'a\x': no label by the pattern '{pattern}'"
    with pytest.raises(InputError) as twice:
        check_test_pattern(pattern, ["test"])
    assert str(twice.value) == f"--test-pattern: '{pattern}': not together with --test"


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
