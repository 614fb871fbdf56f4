"""FedScale's mappings, in tables and pickles, with the files of samples and without."""

from __future__ import annotations

import gzip
import lzma
import os
import pickle
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mpifl.datasets.importers.fedscale import Fedscale
from mpifl.datasets.importers.sequences import Task
from tests.budget import examples
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)

HEADER = "client_id,sample_path,label_name,label_id"
WORD = "^(?P<label>[^_]+)_"
ROWS = ["7,a/1.png,cat,2", "3,a/2.png,dog,0", "7,b/3.png,dog,0", "3,b/4.png,cat,2"]


def table(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The folder of ROWS' images, each of one colour."""
    root = tmp_path / "images"
    for k, row in enumerate(ROWS):
        file = root / row.split(",")[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (50 * k, 100, 200)).save(file)
    return root


# Tables


def test_a_table_without_its_files_has_who_holds_what(tmp_path: Path) -> None:
    data = imported(Fedscale(kind="none"), tmp_path, table(tmp_path / "train.csv", ROWS))
    assert data.train.x.shape == (4, 0)
    assert data.train.client.tolist() == [b"3", b"7"]
    assert (labels_of(data.train, "7"), labels_of(data.train, "3")) == ([2, 0], [0, 2])
    assert (data.outputs, data.labels.tolist()) == (3, [b"dog", b"1", b"cat"])


def test_tables_may_be_packed_and_text_may_be_the_class(tmp_path: Path) -> None:
    path = tmp_path / "train.csv.gz"
    path.write_bytes(gzip.compress(table(tmp_path / "train.csv", ROWS).read_bytes()))
    data = imported(Fedscale(kind="none", label="label_name"), tmp_path, path)
    assert (data.labels.tolist(), labels_of(data.train, "7")) == ([b"cat", b"dog"], [0, 1])


@examples(25)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=40))
def test_samples_stay_with_their_client_in_the_order_of_rows(rows: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = [f'{client},"{k}, x.png",,{label}' for k, (client, label) in enumerate(rows)]
        data = imported(
            Fedscale(kind="none"),
            Path(folder),
            table(Path(folder) / "t.csv", [*lines, "0,last,,1"]),
        )
        for client in {client for client, _ in rows}:
            expected = [label for owner, label in [*rows, (0, 1)] if owner == client]
            assert labels_of(data.train, str(client)) == expected


def test_a_test_table_may_lack_clients(tmp_path: Path) -> None:
    """Google Landmarks as TFF and FedML have it: user_id,image_id,class, and the test part by image_id and class alone."""
    train = table(
        tmp_path / "mini_gld_train_split.csv",
        ["0,x1,5", "0,x2,1", "9,x3,1"],
        "user_id,image_id,class",
    )
    test = table(tmp_path / "mini_gld_test.csv", ["x4,5", "x5,0"], "image_id,class")
    root = tmp_path / "images"
    root.mkdir()
    for k in range(1, 6):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(root / f"x{k}.jpg", quality=100)
    importer = Fedscale(
        kind="images", root=root, client="user_id", path="image_id", label="class", suffix=".jpg"
    )
    data = imported(importer, tmp_path, train, test=test)
    assert (data.train.client.tolist(), data.test.client.tolist()) == ([b"0", b"9"], [b"all"])
    assert labels_of(data.test, "all") == [5, 0]
    assert "--client: 'user_id'" in refusal(importer, tmp_path / "out", test)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["7,a/1.png,cat"], "line 2: 3 columns; the header has 4"),
        ([ROWS[0], "7,a/1.png,cat,2,more"], "line 3: 5 columns"),
        ([",a/1.png,cat,2"], "line 2: no client_id"),
        (["7,a/1.png,cat,2", "7,a/2.png,dog,2"], "line 3: label 2 is 'dog', and 'cat' before"),
        (['7,"a/1.png,cat,2'], "line"),
        ([], "no samples"),
    ],
)
def test_rows_that_are_wrong_are_refused_by_line(
    rows: list[str], said: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "train.csv", rows)
    assert said in refusal(Fedscale(kind="none"), tmp_path / "out", path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = table(tmp_path / "train.csv", ["1,x,2"], "client,sample,label")
    assert "--client: 'client_id'" in refusal(Fedscale(kind="none"), out, path)
    assert "--path: 'sample_path'" in refusal(Fedscale(kind="none", client="client"), out, path)
    assert "--label" in refusal(Fedscale(kind="none", client="client", path="sample"), out, path)
    path.write_text("")
    assert refusal(Fedscale(kind="none"), out, path) == f"{path}: no rows"
    path.write_bytes(b"client_id,sample_path,label_name,label_id\n1,\xff,a,2\n")
    assert f"{path}: line 2: not UTF-8" in refusal(Fedscale(kind="none"), out, path)
    assert str(tmp_path / "none.csv") in refusal(Fedscale(kind="none"), out, tmp_path / "none.csv")


def test_a_class_that_only_test_has_is_refused(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", ROWS)
    out = tmp_path / "out"
    test = table(tmp_path / "test.csv", ["1,x,dog,0", "1,x,cow,3"])
    assert f"{test}: line 3" in refusal(Fedscale(kind="none"), out, train, test=test)
    assert "'cow'" in refusal(Fedscale(kind="none", label="label_name"), out, train, test=test)
    test = table(tmp_path / "test.csv", ["1,x,dog,zero"])
    assert f"{test}: line 2: label 'zero'" in refusal(Fedscale(kind="none"), out, train, test=test)


# Files


def test_images_lie_below_the_root(images: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "client_data_mapping" / "train.csv", ROWS)
    data = imported(Fedscale(kind="images", root=images, normalise="unit"), tmp_path, path)
    assert data.train.x.shape == (4, 3, 4, 6)
    assert [one[:, 0, 0].tolist() for one in samples_of(data.train, "7")] == [
        [0, 100, 200],
        [100, 100, 200],
    ]
    assert data.feature_scale == 1 / 255
    small = imported(Fedscale(kind="images", root=images, size="2x3", grey=True), tmp_path, path)
    assert small.train.x.shape == (4, 2, 3)
    features = small.train.x * small.feature_scale + small.feature_shift
    assert (features.mean(), features.std()) == pytest.approx((0, 1), abs=1e-5)


def test_images_that_cannot_be_read_are_named(images: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "train.csv", ROWS)
    out = tmp_path / "out"
    importer = Fedscale(kind="images", root=images)
    Image.new("RGB", (5, 4)).save(images / "b/3.png")
    assert "b/3.png: 4x5; others have 4x6" in refusal(importer, out, path)
    (images / "b/3.png").write_bytes((images / "a/1.png").read_bytes()[:40])
    assert f"{path}: line 4: {images / 'b/3.png'}" in refusal(importer, out, path)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(images / "b/3.png")
    assert "8 bits" in refusal(importer, out, path)
    (images / "b/3.png").unlink()
    assert "b/3.png" in refusal(importer, out, path)
    assert "--root" in refusal(Fedscale(kind="images"), out, path)
    assert "--root" in refusal(Fedscale(kind="images", root=tmp_path / "none"), out, path)
    assert "--size: '2'" in refusal(Fedscale(kind="images", root=images, size="2"), out, path)


@pytest.mark.parametrize("sample", ["../secret.txt", "/etc/hostname", "a/../../secret.txt", ""])
def test_a_mapping_cannot_reach_beyond_the_root(sample: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root" / "a").mkdir(parents=True)
    path = table(tmp_path / "train.csv", [f"1,{sample},x,0", "1,b,y,1"])
    message = refusal(Fedscale(kind="text", root=tmp_path / "root"), tmp_path / "out", path)
    assert f"{path}: line 2: sample path {sample!r}" in message


def arrays(root: Path, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    root.mkdir(exist_ok=True)
    found = [np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(shapes)]
    for k, array in enumerate(found):
        np.save(root / f"{k}.npy", array)
    return found


def test_features_are_arrays_of_numpy(tmp_path: Path) -> None:
    found = arrays(tmp_path / "root", (5, 4), (5, 4), (5, 4))
    path = table(tmp_path / "train.csv", ["1,0.npy,x,0", "2,1.npy,y,1", "1,2.npy,y,1"])
    data = imported(
        Fedscale(kind="features", root=tmp_path / "root", normalise="none"), tmp_path, path
    )
    assert np.array_equal(
        np.stack(samples_of(data.train, "1")), np.stack([found[0], found[2]]).astype(np.float32)
    )


def test_features_may_have_lengths_of_their_own(tmp_path: Path) -> None:
    found = arrays(tmp_path / "root", (5, 4), (2, 4), (9, 4))
    path = table(tmp_path / "train.csv", ["1,0.npy,x,0", "2,1.npy,y,1", "1,2.npy,y,1"])
    data = imported(Fedscale(kind="features", root=tmp_path / "root", ragged=True), tmp_path, path)
    assert [len(one) for one in samples_of(data.train, "1")] == [5, 9]
    all_rows = np.concatenate(found)
    expected = (all_rows - all_rows.mean(axis=0)) / all_rows.std(axis=0)
    stored = np.concatenate(
        [
            *samples_of(data.train, "1")[:1],
            *samples_of(data.train, "2"),
            *samples_of(data.train, "1")[1:],
        ]
    )
    assert np.allclose(stored * data.feature_scale + data.feature_shift, expected, atol=1e-5)
    message = refusal(Fedscale(kind="features", root=tmp_path / "root"), tmp_path / "out", path)
    assert "1.npy: (2, 4)" in message
    assert "--ragged" in message


class Evil:
    def __repr__(self) -> str:
        return "Evil()"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/mpifl-was-here",)


def test_features_that_would_have_to_be_unpickled_are_refused(tmp_path: Path) -> None:
    arrays(tmp_path / "root", (3,), (3,))
    path = table(tmp_path / "train.csv", ["1,0.npy,x,0", "2,1.npy,y,1"])
    importer = Fedscale(kind="features", root=tmp_path / "root")
    np.save(tmp_path / "root" / "1.npy", np.array([Evil()], object), allow_pickle=True)
    assert "1.npy" in refusal(importer, tmp_path / "out", path)
    for size in (0, 5, 90, 130):
        np.save(tmp_path / "root" / "1.npy", np.zeros(3))
        raw = (tmp_path / "root" / "1.npy").read_bytes()
        (tmp_path / "root" / "1.npy").write_bytes(raw[:size])
        assert f"{path}: line 3" in refusal(importer, tmp_path / "out", path)
    np.save(tmp_path / "root" / "1.npy", np.full(3, np.nan))
    assert "finite" in refusal(importer, tmp_path / "out", path)
    assert not Path("/tmp/mpifl-was-here").exists()


@pytest.mark.parametrize("task", ["classification", "language"])
def test_texts_become_tokens(task: Task, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, text in (("0", "a b a"), ("1", "b c"), ("2", "")):
        (root / name).write_text(text)
    path = table(tmp_path / "train.csv", ["1,0,x,0", "2,1,y,1", "1,2,y,1"])
    data = imported(Fedscale(kind="text", root=root, task=task, length=2), tmp_path, path)
    if task == "classification":
        assert [one.tolist() for one in samples_of(data.train, "1")] == [[1, 2], [0]]
        assert (labels_of(data.train, "1"), data.vocabulary) == ([0, 1], 4)
    else:
        assert [one.tolist() for one in samples_of(data.train, "1")] == [
            [4, 1, 2],
            [2, 1, 5],
            [4, 5],
        ]
        assert (data.train.y, data.outputs, data.vocabulary) == (None, 6, 6)
    (root / "1").write_bytes(b"\xff")
    assert f"{path}: line 3" in refusal(
        Fedscale(kind="text", root=root, task=task), tmp_path / "out", path
    )


def test_a_language_needs_text(tmp_path: Path) -> None:
    path = table(tmp_path / "train.csv", ROWS)
    assert "--task: 'language': goes with text" in refusal(
        Fedscale(kind="none", task="language"), tmp_path / "out", path
    )
    assert "--grey: True" in refusal(Fedscale(kind="none", grey=True), tmp_path / "out", path)


# Pickles


def test_a_pickle_maps_file_names_to_clients(tmp_path: Path) -> None:
    path = tmp_path / "clientDataMap"
    path.write_bytes(
        pickle.dumps(
            {"yes_742_nohash_1.wav": 0, "no_742_nohash_0.wav": 0, "yes_9_nohash_0.wav": 12}, 2
        )
    )
    data = imported(Fedscale(kind="none", label_pattern=WORD), tmp_path, path)
    assert data.train.client.tolist() == [b"0", b"12"]
    assert (data.labels.tolist(), labels_of(data.train, "0")) == ([b"no", b"yes"], [1, 0])
    assert "--label-pattern" in refusal(Fedscale(kind="none"), tmp_path / "out", path)
    assert "'yes_742_nohash_1.wav'" in refusal(
        Fedscale(kind="none", label_pattern="^(?P<label>no)_"), tmp_path / "out", path
    )


@pytest.mark.parametrize(
    "held",
    [
        Evil(),
        {"yes_1.wav": Evil()},
        {"yes_1.wav": 0, "no_1.wav": [1]},
        {"yes_1.wav": True},
        {"yes_1.wav": ""},
        {3: 4},
        {},
        ["yes_1.wav"],
        7,
    ],
    ids=str,
)
def test_other_pickles_are_refused(held: Any, tmp_path: Path) -> None:
    path = tmp_path / "map.pkl"
    path.write_bytes(pickle.dumps(held))
    assert refusal(Fedscale(kind="none", label_pattern=WORD), tmp_path / "out", path).startswith(
        f"{path}: "
    )
    assert not Path("/tmp/mpifl-was-here").exists()


def test_cut_off_pickles_are_refused(tmp_path: Path) -> None:
    raw = lzma.compress(pickle.dumps({f"yes_{k}.wav": k for k in range(20)}))
    path = tmp_path / "map.xz"
    for size in (0, 10, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        assert str(path) in refusal(
            Fedscale(kind="none", label_pattern=WORD), tmp_path / "out", path
        )


def test_the_real_partition_of_google_speech(shared: Path, tmp_path: Path) -> None:
    """Its statistics are those that are known of it: 103,171 files of 2,187 speakers, 35 words."""
    path = shared / "data" / "traces" / "fedscale" / "speech_commands_clientDataMap.xz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    data = imported(Fedscale(kind="none", label_pattern=WORD), tmp_path, path)
    assert (data.train.samples, data.train.clients, data.outputs) == (103_171, 2_187, 35)
    sizes = np.diff(data.train.offsets)
    quantiles = np.quantile(sizes, [0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 1])
    assert quantiles.round().tolist() == [16, 21, 29, 30, 32, 116, 133, 316]
    assert data.train.y is not None
    classes = np.array(
        [
            len(set(data.train.y[data.train.rows(client)].tolist()))
            for client in range(data.train.clients)
        ]
    )
    assert np.quantile(classes, [0, 0.5, 0.9]).round().tolist() == [9, 20, 32]
    words = Counter(
        re.findall(rb"([a-z]+)_[0-9a-f]+_nohash_\d+\.wav", lzma.decompress(path.read_bytes()))
    )
    assert np.bincount(data.train.y).tolist() == [words[name] for name in data.labels.tolist()]


# As it is used


def test_the_command_imports_and_refuses(images: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "train.csv", ROWS)
    status, said = command(
        tmp_path / "out", "fedscale", str(path), "--kind", "images", "--root", str(images), "--grey"
    )
    assert (status, "train: 4 samples of 2 clients" in said) == (0, True)
    assert (
        command(tmp_path / "bad", "fedscale", str(path), "--kind", "none", "--label-pattern", "(")[
            0
        ]
        == 2
    )
    assert (
        command(tmp_path / "bad", "fedscale", str(path), "--kind", "none", "--client", "user")[0]
        == 2
    )
    assert command(tmp_path / "bad", "fedscale", str(path), "--kind", "images")[0] == 2


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = table(
            tmp_path / "train.csv",
            [f"{k % 50},file number {k}.png,name,{k % 10}" for k in range(rows)],
        )
        path.write_text(path.read_text().replace("name,", ","))
        return peak_of_reading(Fedscale(kind="none", label_name=""), tmp_path, path)

    few, many = peak(10_000), peak(40_000)
    assert many < few + (1 << 20)  # 30,000 more rows are 1 MB of text, 12 MB as rows in memory
