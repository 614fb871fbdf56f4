"""Lines, CSV and JSON: what is read, and that what is wrong is named with its line."""

from __future__ import annotations

import csv
import gzip
import itertools
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.errors import InputError
from mpifl.io import compressed, text
from mpifl.io.text import csv_rows, read_json, text_lines

PACK: dict[str, Callable[[bytes], bytes]] = {
    "a": bytes,
    "a.gz": gzip.compress,
    "a.xz": lzma.compress,
}


@pytest.fixture(params=PACK)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes bytes to a file, plain or packed."""

    def write(raw: bytes) -> Path:
        (tmp_path / request.param).write_bytes(PACK[request.param](raw))
        return tmp_path / request.param

    return write


def refusal(path: Path, read: Callable[[Path], object]) -> str:
    """What is said of a file, behind its name."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_lines_are_numbered_and_utf_8(packed: Callable[[bytes], Path]) -> None:
    path = packed("\ufeffé\r\n\nb".encode())
    assert list(text_lines(path)) == [(1, "é"), (2, ""), (3, "b")]
    path = packed(b"a\nb\n\xe9\n")
    assert refusal(path, lambda path: list(text_lines(path))).startswith("line 3: not UTF-8 (")
    assert list(text_lines(path, "latin-1"))[-1] == (3, "é")


@pytest.mark.parametrize("name", ["a.gz", "a.xz"])
def test_a_packed_file_that_is_cut_off_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACK[name](b"line\n" * 100_000)[:-20])
    message = refusal(tmp_path / name, lambda path: list(text_lines(path)))
    assert message.startswith("not readable, or not whole (")


def test_an_error_of_who_reads_the_lines_stays_as_it_is(packed: Callable[[bytes], Path]) -> None:
    def parse(path: Path) -> None:
        for _, line in text_lines(path):
            int(line)

    with pytest.raises(ValueError, match="invalid literal"):
        parse(packed(b"1\nx\n"))


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE_BYTES", 10)
    (tmp_path / "a").write_bytes(b"0123456789"[:9] + b"\n" + b"x" * 11)
    message = refusal(tmp_path / "a", lambda path: list(text_lines(path)))
    assert message == "line 2: more than 10 bytes"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (text_lines, csv_rows):
        message = refusal(tmp_path / "none", lambda path, read=read: list(read(path)))  # type: ignore[misc]
        assert message == "No such file or directory"
    assert refusal(tmp_path / "none", read_json) == "No such file or directory"
    assert refusal(tmp_path, read_json) == "Is a directory"


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=6)


def test_what_is_held_whole_unpacks_to_a_limit_only(
    packed: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "MOST_BYTES", 10)
    path = packed(b"1\n" * 6)
    assert len(list(csv_rows(path))) == 6
    if path.suffix:
        for read in (text_lines, csv_rows):
            message = refusal(path, lambda path, read=read: list(read(path, whole=True)))  # type: ignore[misc]
            assert message.startswith("more than 10 bytes when unpacked")
    else:
        assert len(list(csv_rows(path, whole=True))) == 6


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), max_size=6))
def test_what_was_written_comes_back_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    lines = itertools.accumulate(1 + "".join(row).count("\n") for row in rows)
    assert list(csv_rows(path)) == list(zip(lines, rows, strict=True))


def test_empty_lines_and_comments_count_as_lines(packed: Callable[[bytes], Path]) -> None:
    path = packed(b"# a\n\nx; y\n#b\n1;'2'\n")
    rows = list(csv_rows(path, delimiter=";", comment="#"))
    assert rows == [(3, ["x", " y"]), (5, ["1", "'2'"])]
    assert list(csv_rows(path, delimiter=";", skip_spaces=True))[1] == (3, ["x", "y"])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'a,b\n1,"2"x\n', "line 2: "),
        (b'a,b\n\n1,"2\n3\n', "line 4: "),  # a quote that is never closed
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b"a,b\n1,2\r3,4\n", "line 2: "),
    ],
    ids=["quote", "open quote", "UTF-8", "carriage return"],
)
def test_what_is_no_csv_is_named_with_its_line(
    packed: Callable[[bytes], Path], raw: bytes, said: str
) -> None:
    assert refusal(packed(raw), lambda path: list(csv_rows(path))).startswith(said)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a": 1,\n "b": }', "line 2: not JSON (Expecting value)"),
        (b'{"a": {"b": 1, "b": 2}}', "key 'b' stands twice"),
        (b"[NaN]", "NaN is not a number that JSON allows"),
        (b"[1, \xff]", "byte 4 is not UTF-8 text"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b"1" * 5000, "not JSON that can be read ("),
    ],
    ids=["syntax", "twice", "NaN", "UTF-8", "deep", "long"],
)
def test_json_that_is_wrong_is_named(
    packed: Callable[[bytes], Path], raw: bytes, said: str
) -> None:
    assert refusal(packed(raw), read_json).startswith(said)


def test_json_comes_as_it_was_written(packed: Callable[[bytes], Path]) -> None:
    assert read_json(packed(b'\xef\xbb\xbf{"a": [1, 2.5, "\xc3\xa9"]}')) == {"a": [1, 2.5, "é"]}
