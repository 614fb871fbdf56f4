"""What a path says, by regular expressions."""

from __future__ import annotations

import pytest

from mpifl.datasets.importers.patterns import has_group, matched_group
from mpifl.errors import InputError


def test_a_group_is_found_anywhere_in_the_path() -> None:
    assert matched_group(r"(?P<client>\w+)_nohash", "client", "yes/0a7c_nohash_0.wav") == "0a7c"


@pytest.mark.parametrize("path", ["yes/0a7c.wav", "yes/_nohash_0.wav"])
def test_a_path_without_it_is_named(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: no client by the pattern"):
        matched_group(r"/(?P<client>\w*?)_nohash", "client", path)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", "not a regular expression"), ("(?P<lable>x)", r"no group \(\?P<label>")],
)
def test_patterns_without_the_group_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        has_group(pattern, "label")
    assert has_group("(?P<label>x)", "label") == "(?P<label>x)"
