"""LIBSVM's text."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from mpifl.datasets.importers.svmlight import Svmlight
from tests.budget import examples
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

TEXT = """+1 1:0.5 3:-2e1 # the first
-1
# nothing here

1.0 2:1
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_lines_become_dense_samples_of_one_client(tmp_path: Path, out: Path) -> None:
    found = imported(Svmlight(), out, write(tmp_path / "t.txt", TEXT))
    assert found.train.x.dtype == np.float32
    assert found.train.x.tolist() == [[0.5, 0, -20], [0, 0, 0], [0, 1, 0]]
    assert known(found.train.y).tolist() == [1, 0, 1]
    assert found.labels.tolist() == [b"-1", b"1"]
    assert found.train.client.tolist() == [b"all"]
    assert (found.name, found.outputs) == ("t", 2)


def test_queries_are_clients(tmp_path: Path, out: Path) -> None:
    found = imported(
        Svmlight(), out, write(tmp_path / "t.txt", "0 qid:10 1:1\n1 qid:9 1:2\n2 qid:10 1:3\n")
    )
    assert found.train.client.tolist() == [b"9", b"10"]
    assert [x.tolist() for x in samples_of(found.train, "10")] == [[1], [3]]
    assert labels_of(found.train, "10") == [0, 2]


def test_labels_that_a_float_does_not_tell_apart_are_several_classes(
    tmp_path: Path, out: Path
) -> None:
    lines = "9007199254740993 1:1\n9007199254740992 1:2\n1e2 1:3\n1234567 1:4\n"
    found = imported(Svmlight(), out, write(tmp_path / "t.txt", lines))
    assert found.labels.tolist() == [b"100", b"1234567", b"9007199254740992", b"9007199254740993"]
    assert known(found.train.y).tolist() == [3, 2, 0, 1]


def test_more_features_from_zero_and_numbers_to_predict(tmp_path: Path, out: Path) -> None:
    path, test = write(tmp_path / "t.txt", "0.25 0:1\n-3 1:2\n"), tmp_path / "u.txt.gz"
    test.write_bytes(gzip.compress(b"7 3:1\n"))
    found = imported(Svmlight(zero_based=True, features=4, task="regression"), out, path, test=test)
    assert found.train.x.tolist() == [[1, 0, 0, 0], [0, 2, 0, 0]]
    assert known(found.train.y).tolist() == [[0.25], [-3]]
    assert (found.test.x.tolist(), known(found.test.y).tolist(), found.outputs) == (
        [[0, 0, 0, 1]],
        [[7]],
        1,
    )


def test_the_largest_number_may_be_written_with_fewer_digits(tmp_path: Path, out: Path) -> None:
    path = write(
        tmp_path / "t.txt", "0 1:3.402823466385289e+38\n1 1:-3.4028235e38\n"
    )  # above float32's largest by rounding
    assert imported(Svmlight(), out, path).train.x.tolist() == [
        [np.finfo(np.float32).max],
        [np.finfo(np.float32).min],
    ]
    path.write_text("0 1:1\n1 1:3.4028236e38\n")
    assert "line 2: '1:3.4028236e38'" in refusal(Svmlight(), tmp_path / "bad", path)


@examples(50)
@given(st.data())
def test_what_scikit_learn_writes_comes_back(data: st.DataObject) -> None:
    rows, width = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 6))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(0.0)
    x = np.array(
        data.draw(
            st.lists(
                st.lists(numbers, min_size=width, max_size=width), min_size=rows, max_size=rows
            )
        ),
        np.float32,
    )
    y = np.array(
        [0, 1, *data.draw(st.lists(st.integers(-3, 3), min_size=rows - 2, max_size=rows - 2))]
    )
    queries = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    zero_based = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.txt"
        dump_svmlight_file(
            x, y, str(path), zero_based=zero_based, query_id=queries, comment="written by a test"
        )
        (Path(folder) / "out").mkdir()
        found = imported(
            Svmlight(features=width, zero_based=zero_based), Path(folder) / "out", path
        )
        for query in set(queries.tolist()):
            assert np.array_equal(
                np.stack(samples_of(found.train, str(query))), x[queries == query]
            )
            labels = [int(found.labels[k]) for k in labels_of(found.train, str(query))]
            assert labels == y[queries == query].tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines"),
        ("# nothing\n", "no features"),
        ("0 1:1\nx 1:1\n", "line 2: 'x': expected"),
        ("0 1:1\nnan 1:1\n", "line 2: 'nan': expected"),
        ("0 1:1\n1,2 1:1\n", "line 2: '1,2': expected"),
        ("0 1:1\n1 2\n", "line 2: '2': expected"),
        ("0 1:1\n1 2:\n", "line 2: '2:': expected"),
        ("0 1:1\n1 2:inf\n", "line 2: '2:inf': expected"),
        ("0 1:1\n1 -2:1\n", "line 2: '-2:1': expected"),
        ("0 1:1\n1 2:1 qid:3\n", "line 2: 'qid:3': expected"),
        ("0 1:1\n1 2:1 2:1\n", "line 2: index 2 after 2; they must ascend"),
        ("0 1:1\n1 2:1 1:1\n", "line 2: index 1 after 2"),
        ("0 1:1\n1 0:1\n", "line 2: index 0; --zero-based"),
        ("0 1:1\n1 1000001:1\n", "line 2: index 1000001: more than 1,000,000 features"),
        ("0 qid:1 1:1\n1 qid: 1:1\n", "line 2: 'qid:': expected"),
        ("0 qid:1 1:1\n1 1:1\n", "line 2: no qid, unlike"),
        ("0 1:1\n1 qid:1 1:1\n", "line 2: a qid, unlike"),
        ("0 1:1\n0.5 1:1\n", "line 2: label 0.5 names no class"),
        ("1 1:1\n1 1:1\n", "outputs 1; a classification needs 2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "t.txt", text)
    assert message in refusal(Svmlight(), tmp_path / "out", path)


def test_what_only_the_test_part_has_is_named(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.txt", TEXT)
    for text, message in (
        ("1 4:1\n", "index 4; there are 3 features"),
        ("\n2 1:1\n", "label 2 is not among the 2"),
    ):
        test = write(tmp_path / "u.txt", text)
        assert refusal(Svmlight(), out, path, test=test).startswith(
            f"{test}: line {1 + (text[0] == chr(10))}: {message}"
        )


def test_a_file_that_is_none_is_named(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "t.txt"
    assert str(path) in refusal(Svmlight(), out, path)
    path.write_bytes(b"1 1:1\n1 1:\xe9\n")
    assert refusal(Svmlight(), out, path).startswith(f"{path}: line 2: not UTF-8")
    cut = tmp_path / "t.gz"
    cut.write_bytes(gzip.compress(TEXT.encode())[:-9])
    assert str(cut) in refusal(Svmlight(), out, cut)


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", TEXT)
    status, said = command(tmp_path / "out", "svmlight", str(path), "--features", "4")
    assert (status, "train: 3 samples of 1 client\n" in said) == (0, True), said
    assert command(tmp_path / "bad", "svmlight", str(path), "--features", "2")[0] == 2


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    line = "{} 1:0.5 7:1 30:2.25 300:-1\n"
    small, large = (
        write(tmp_path / f"{n}", "".join(line.format(k % 2) for k in range(n)))
        for n in (8_000, 24_000)
    )
    peaks = [peak_of_reading(Svmlight(), tmp_path, path) for path in (small, large)]
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 30e6


@pytest.mark.parametrize(
    ("name", "test", "features", "samples"),
    [
        ("a8a", None, 123, (22_696, 0)),
        ("a9a", None, 123, (32_561, 0)),
        ("w8a", None, 300, (49_749, 0)),
        ("agaricus.txt.train", "agaricus.txt.test", 127, (6_513, 1_611)),
    ],
)
def test_real_files_are_as_scikit_learn_reads_them(
    shared: Path, out: Path, name: str, test: str | None, features: int, samples: tuple[int, int]
) -> None:
    folder = shared / "data" / "libsvm"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    zero_based = name.startswith("agaricus")
    importer = Svmlight(features=features, zero_based=zero_based)
    found = imported(importer, out, folder / name, test=folder / test if test else None)
    assert (found.train.samples, found.test.samples) == samples
    for part, file in (("train", name), ("test", test)):
        if file:
            x, y = load_svmlight_file(
                str(folder / file), n_features=features, zero_based=zero_based
            )
            held = getattr(found, part)
            assert np.array_equal(held.x, x.toarray().astype(np.float32))
            assert np.array_equal(held.y, np.unique(y, return_inverse=True)[1])
