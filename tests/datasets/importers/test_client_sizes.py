"""Sizes of clients without their samples (named apart from ``tests/datasets/test_sizes.py``)."""

from __future__ import annotations

import gzip
import os
import pickle
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from mpifl.datasets.dataset import Dataset, open_dataset
from mpifl.datasets.importers.sizes import Sizes
from tests.budget import examples
from tests.datasets.importers.importing import command, imported, peak_of_reading, refusal


def dumped(path: Path, what: object) -> Path:
    path.write_bytes(pickle.dumps(what))
    return path


def sizes(found: Dataset) -> dict[str, int]:
    return dict(
        zip(
            [name.decode() for name in found.train.client.tolist()],
            np.diff(found.train.offsets).tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    "what",
    [
        [3, 1, 2],
        (3.0, 1, 2),
        np.array([3, 1, 2]),
        np.array([[3.0], [1.0], [2.0]]),
        {0: 3, 1: 1, "2": np.int64(2)},
    ],
)
def test_pickles(tmp_path: Path, out: Path, what: object) -> None:
    found = imported(Sizes(), out, dumped(tmp_path / "s.pkl", what))
    assert sizes(found) == {"0": 3, "1": 1, "2": 2}
    assert (found.train.x.shape, found.train.x.dtype, found.name) == ((6, 0), np.uint8, "s")


def test_matlab_files(tmp_path: Path, out: Path) -> None:
    savemat(
        tmp_path / "s.mat",
        {"client_size": np.array([[5, 0, 7]]), "client_div": np.array([[0.5, 0.25]])},
    )
    message = refusal(Sizes(), out, tmp_path / "s.mat")
    assert (
        message
        == f"{tmp_path / 's.mat'}: entry 1: client '1' has 0 samples; --skip-empty leaves such clients out"
    )
    found = imported(Sizes(skip_empty=True), out, tmp_path / "s.mat")
    assert sizes(found) == {"0": 5, "2": 7}
    assert "1 clients with 0 samples left out" in found.source


def test_rows(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "s.csv.gz"
    path.write_bytes(gzip.compress(b'Client, Size\r\nu10,4\n\n"b, jr",1\r\n'))
    (tmp_path / "t.txt").write_text("x,2\n")
    found = imported(Sizes(), out, path, test=tmp_path / "t.txt")
    assert sizes(found) == {"b, jr": 1, "u10": 4}
    assert (found.test.client.tolist(), found.test.samples) == ([b"x"], 2)


@examples(50)
@given(st.dictionaries(st.integers(0, 10**6), st.integers(1, 300), min_size=1, max_size=30))
def test_clients_keep_their_sizes_and_come_by_number(held: dict[int, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "out").mkdir()
        found = imported(Sizes(), Path(folder) / "out", dumped(Path(folder) / "s.pkl", held))
    assert list(sizes(found).items()) == [(str(client), held[client]) for client in sorted(held)]


class Command:
    """What a pickle may do: here it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def test_a_pickle_that_runs_a_command_is_refused(tmp_path: Path, out: Path) -> None:
    path = dumped(tmp_path / "s.pkl", [1, Command(tmp_path / "made")])
    message = refusal(Sizes(), out, path)
    assert message.startswith(f"{path}: ")
    assert "mkdir" in message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([1, -2], "entry 1: size '-2'; allowed: whole numbers from 0 to 1000000000"),
        ([1, 2.5], "entry 1: size '2.5'"),
        ([1, float("nan")], "entry 1: size 'nan'"),
        ([1, float("inf")], "entry 1: size 'inf'"),
        ([1, 10**10], "entry 1: size '10000000000'"),
        ([1, True], "entry 1: size 'True'"),
        ([1, "2"], "entry 1: size '2'"),
        ([1, [2]], "entry 1: size '[2]'"),
        ({"a": 1, "b": None}, "client 'b': size 'None'"),
        ({1: 1, "1": 2}, "client '1' occurs twice"),
        (7, "a int; expected a list"),
        (np.ones((2, 2)), "an array (2, 2); expected a list"),
        ([], "no samples"),
    ],
)
def test_wrong_sizes_are_named(tmp_path: Path, what: object, message: str) -> None:
    assert message in refusal(Sizes(), tmp_path / "out", dumped(tmp_path / "s.pkl", what))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,1\na,2\n", "line 2: client 'a' occurs twice"),
        ("a,1\nb\n", "line 2: 'b'; expected client,size"),
        ("a,1\nb,2,3\n", "line 2: 'b,2,3'; expected"),
        ("a,1\n,2\n", "line 2: ',2'; expected"),
        ("a,1\nclient,size\n", "line 2: size 'size'"),
        ("a,1\nb,-1\n", "line 2: size '-1'"),
        ("a,1\nb,1.0\n", "line 2: size '1.0'"),
        ('a,1\n"b,2\n', "line 2: unexpected end of data"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    assert refusal(Sizes(), tmp_path / "out", path).startswith(f"{path}: {message}")


def test_damaged_files_are_named(tmp_path: Path, out: Path) -> None:
    savemat(tmp_path / "s.mat", {"client_size": np.arange(1, 200)})
    raw = (tmp_path / "s.mat").read_bytes()
    for size in range(0, len(raw), 61):
        (tmp_path / "s.mat").write_bytes(raw[:size])
        assert str(tmp_path / "s.mat") in refusal(Sizes(), out, tmp_path / "s.mat")
    savemat(tmp_path / "s.mat", {"sizes": [1]})
    assert (
        refusal(Sizes(), out, tmp_path / "s.mat") == f"{tmp_path / 's.mat'}: no client_size in it"
    )
    (tmp_path / "s.csv").write_bytes(b"a,1\n\xe9,2\n")
    assert "line 2: not UTF-8" in refusal(Sizes(), out, tmp_path / "s.csv")
    assert "must end in .pkl, .mat, .csv or .txt" in refusal(Sizes(), out, tmp_path / "s.json")
    assert str(tmp_path / "none.pkl") in refusal(Sizes(), out, tmp_path / "none.pkl")


def test_the_command(tmp_path: Path) -> None:
    status, said = command(tmp_path / "out", "sizes", str(dumped(tmp_path / "s.pkl", [2, 3])))
    assert (status, "train: 5 samples of 2 clients" in said) == (0, True), said
    assert command(tmp_path / "bad", "sizes", str(dumped(tmp_path / "s.pkl", [2, 0])))[0] == 2


def test_memory_does_not_grow_with_the_samples(tmp_path: Path) -> None:
    peaks = [
        peak_of_reading(Sizes(), tmp_path, dumped(tmp_path / "s.pkl", [size] * 3))
        for size in (1_000_000, 4_000_000)
    ]
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("name", "clients", "samples", "empty"),
    [
        ("oort_openimg_size.pkl", 10_000, 3_552_107, 0),
        ("oort_reddit_size.pkl", 10_000, 14_365_122, 0),
        ("oort_speech_size.pkl", 6_070, 284_749, 0),
        ("pyramidfl_openimage_obs_client_distribution.mat", 55_440, 1_175_008, 3_944),
        ("pyramidfl_google_speech_obs_client_distribution.mat", 2_187, 62_355, 0),
        ("pyramidfl_stackoverflow_obs_client_distribution.mat", 3_424, 1_067_068, 0),
        ("pyramidfl_har_obs_client_distribution.mat", 120, 30_423, 0),
    ],
)
def test_real_files(
    shared: Path, out: Path, name: str, clients: int, samples: int, empty: int
) -> None:
    path = shared / "data" / "traces" / "fedscale" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    found = imported(Sizes(skip_empty=empty > 0), out, path)
    assert (found.train.clients, found.train.samples) == (clients - empty, samples)
    assert bytes_for_a_client(out / "imported.h5", clients // 2) < 1e6


def bytes_for_a_client(path: Path, client: int) -> int:
    """How much memory it takes to open a data set and to have the samples of one client: nothing is read but that."""
    tracemalloc.start()
    try:
        part = open_dataset(path).train
        rows = part.rows(client)
        assert part.x[rows].shape == (rows.stop - rows.start, 0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
