"""CIFAR-10 and CIFAR-100: binary files, pickles of Python 2 and 3, sheets of PNG."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mpifl.datasets.importers.cifar import Cifar
from mpifl.datasets.importers.cifar_layouts import PUBLISHED
from tests.datasets.importers.importing import command, imported, peak_of_reading, refusal
from tests.known import known

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (5, 3, 32, 32)).astype(np.uint8)
Y, COARSE = [3, 9, 0, 7, 3], [1, 19, 0, 4, 1]
NAMES = [f"class {k}" for k in range(10)]
FINE = [f"fine {k}" for k in range(100)]


def binary(x: np.ndarray, *labels: list[int]) -> bytes:
    """Records of one byte a label and then red, green and blue, each row by row."""
    return b"".join(bytes(one) + image.tobytes() for image, *one in zip(x, *labels, strict=True))


def python2(value: object) -> bytes:
    """What Python 2 writes by protocol 2, where text and bytes are one type: opcodes SHORT_BINSTRING and BINSTRING."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    if isinstance(value, bytes):
        return (
            b"U" + bytes([len(value)]) + value
            if len(value) < 256
            else b"T" + struct.pack("<i", len(value)) + value
        )
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, dict):
        return (
            b"}(" + b"".join(_opcodes(key) + _opcodes(held) for key, held in value.items()) + b"u"
        )
    assert isinstance(value, np.ndarray)
    dtype = b"cnumpy\ndtype\n" + _opcodes((value.dtype.str[1:].encode(), 0, 1)) + b"R"
    dtype += _opcodes((3, b"|", None, None, None, -1, -1, 0)) + b"b"
    state = (
        b"("
        + _opcodes(1)
        + _opcodes(value.shape)
        + dtype
        + _opcodes(False)
        + _opcodes(value.tobytes())
        + b"t"
    )
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        + _opcodes((0,))
        + _opcodes(b"b")
        + b"tR"
        + state
        + b"b"
    )


def binary10(folder: Path) -> None:
    (folder / "data_batch_1.bin").write_bytes(binary(X[:2], Y[:2]))
    (folder / "data_batch_2.bin").write_bytes(binary(X[2:3], Y[2:3]))
    (folder / "data_batch_10.bin").write_bytes(binary(X[3:4], Y[3:4]))
    (folder / "test_batch.bin").write_bytes(binary(X[4:], Y[4:]))
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")


def binary100(folder: Path) -> None:
    (folder / "train.bin").write_bytes(binary(X[:4], COARSE[:4], Y[:4]))
    (folder / "test.bin").write_bytes(binary(X[4:], COARSE[4:], Y[4:]))
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")


def pickles10(
    folder: Path, dump: Callable[[object], bytes] = pickle.dumps, key: Callable[[str], object] = str
) -> None:
    flat = X.reshape(5, -1)
    for name, rows in (
        ("data_batch_1", slice(0, 2)),
        ("data_batch_2", slice(2, 4)),
        ("test_batch", slice(4, 5)),
    ):
        (folder / name).write_bytes(dump({key("data"): flat[rows], key("labels"): Y[rows]}))
    (folder / "batches.meta").write_bytes(
        dump({key("label_names"): [key(name) for name in NAMES], key("num_vis"): 3072})
    )


def pickles100(
    folder: Path, dump: Callable[[object], bytes] = pickle.dumps, key: Callable[[str], object] = str
) -> None:
    flat = X.reshape(5, -1)
    for name, rows in (("train", slice(0, 4)), ("test", slice(4, 5))):
        held = {
            key("data"): flat[rows],
            key("fine_labels"): Y[rows],
            key("coarse_labels"): COARSE[rows],
        }
        (folder / name).write_bytes(dump(held))
    (folder / "meta").write_bytes(dump({key("fine_label_names"): [key(name) for name in FINE]}))


def sheets(folder: Path) -> None:
    for name, rows in (
        ("data_batch_1", slice(0, 2)),
        ("data_batch_2", slice(2, 4)),
        ("test_batch", slice(4, 5)),
    ):
        Image.fromarray(X[rows].transpose(0, 2, 3, 1).reshape(-1, 1024, 3), "RGB").save(
            folder / f"{name}.png"
        )
    (folder / "train_lables.json").write_text(json.dumps(Y[:4]))
    (folder / "test_lables.json").write_text(json.dumps(Y[4:]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize("write", [binary10, binary100, pickles10, pickles100, sheets])
def test_every_layout_gives_the_same_samples(
    folder: Path, out: Path, write: Callable[[Path], None]
) -> None:
    write(folder)
    found = imported(Cifar(), out, folder)
    assert np.array_equal(found.train.x, X[:4])
    assert np.array_equal(found.test.x, X[4:])
    assert (known(found.train.y).tolist(), known(found.test.y).tolist()) == (Y[:4], Y[4:])
    assert found.train.client.tolist() == [b"all"]
    assert found.shape.sample == (3, 32, 32)
    hundred = write in (binary100, pickles100)
    assert (found.name, found.outputs) == (("cifar100", 100) if hundred else ("cifar10", 10))
    assert (None if found.train.coarse is None else found.train.coarse.tolist()) == (
        COARSE[:4] if hundred else None
    )
    if write is not sheets:
        assert found.labels.tolist() == [name.encode() for name in (FINE if hundred else NAMES)]


@pytest.mark.parametrize("write", [pickles10, pickles100])
def test_pickles_may_have_keys_of_bytes(
    folder: Path, out: Path, write: Callable[..., None]
) -> None:
    write(folder, key=str.encode)
    assert np.array_equal(imported(Cifar(), out, folder).train.x, X[:4])


@pytest.mark.parametrize("write", [pickles10, pickles100])
def test_python_2s_pickles_are_read(folder: Path, out: Path, write: Callable[..., None]) -> None:
    """As they are published."""
    write(folder, dump=python2, key=str.encode)
    found = imported(Cifar(), out, folder)
    assert np.array_equal(found.train.x, X[:4])
    assert known(found.train.y).tolist() == Y[:4]
    assert found.labels[1] in (b"class 1", b"fine 1")


def test_python_2s_pickles_are_written_here_as_python_says() -> None:
    held: dict[bytes, Any] = {b"data": X[:1].reshape(1, -1), b"labels": [3], b"name": b"n"}
    found = pickle.loads(python2(held), encoding="bytes")
    assert np.array_equal(found.pop(b"data"), held.pop(b"data"))
    assert found == held


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_folder_of_an_archive_is_found(folder: Path, out: Path, name: str) -> None:
    (folder / name).mkdir()
    {"10b": binary10, "100b": binary100, "10p": pickles10, "100p": pickles100}[
        name.split("-")[1] + name.rpartition("-")[2][0]
    ](folder / name)
    assert imported(Cifar(), out, folder).train.samples == 4


def test_features_have_the_published_mean_and_deviation(folder: Path, out: Path) -> None:
    binary10(folder)
    found = imported(Cifar(), out, folder)
    assert np.shape(found.feature_scale) == np.shape(found.feature_shift) == (3, 1, 1)
    mean = np.array(
        [125.3, 123.0, 113.9]
    )  # of 0 to 255, by github.com/facebookarchive/fb.resnet.torch, cifar10.lua
    deviation = np.array([63.0, 62.1, 66.7])
    for sign in (-1, 0, 1):
        pixel = (mean + sign * deviation)[:, None, None]
        assert pixel * found.feature_scale + found.feature_shift == pytest.approx(sign, abs=2e-3)


def test_there_may_be_one_batch_and_no_test(folder: Path, out: Path) -> None:
    sheets(folder)
    for name in ("data_batch_1.png", "test_batch.png", "test_lables.json"):
        (folder / name).unlink()
    found = imported(Cifar(), out, folder)
    assert known(found.train.y).tolist() == Y[2:4]  # the labels of the second sheet
    assert list(found.parts) == ["train"]


# What is wrong


def test_no_layout_or_two_are_refused(folder: Path, out: Path) -> None:
    assert "data_batch_1.bin" in refusal(Cifar(), out, folder)
    assert "no such folder" in refusal(Cifar(), out, folder / "x")
    binary10(folder)
    sheets(folder)
    message = refusal(Cifar(), out, folder)
    assert "more than once" in message
    assert "data_batch_1.png" in message


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_records_that_are_cut_off_are_refused(folder: Path, out: Path, size: int) -> None:
    binary10(folder)
    raw = (folder / "data_batch_1.bin").read_bytes()
    (folder / "data_batch_1.bin").write_bytes(raw[:size])
    assert refusal(Cifar(), out, folder).startswith(f"{folder / 'data_batch_1.bin'}: {size} bytes")


@pytest.mark.parametrize(
    ("write", "name", "raw", "said"),
    [
        (binary10, "test_batch.bin", binary(X[:1], [10]), "label 10; allowed: 0 to 9"),
        (binary100, "train.bin", binary(X[:1], [20], [5]), "label 20; allowed: 0 to 19"),
        (binary100, "train.bin", binary(X[:1], [1], [100]), "label 100; allowed: 0 to 99"),
        (binary10, "batches.meta.txt", b"cat\ndog\n", "2 names; must be 10"),
        (binary10, "batches.meta.txt", b"cat\n\xff\n", "line 2: not UTF-8"),
        (pickles10, "batches.meta", pickle.dumps({"label_names": NAMES[1:]}), "9 names"),
        (pickles10, "batches.meta", pickle.dumps({"label_names": 3}), "no list of names"),
        (pickles10, "data_batch_2", pickle.dumps([1]), "a list; must be a dictionary"),
        (
            pickles10,
            "data_batch_2",
            pickle.dumps({"data": X.reshape(5, -1), "labels": Y[1:]}),
            "4 labels for 5 images",
        ),
        (
            pickles10,
            "data_batch_2",
            pickle.dumps({"data": X.reshape(5, -1), "labels": [*Y[1:], 10]}),
            "label 10",
        ),
        (
            pickles10,
            "data_batch_2",
            pickle.dumps({"data": X.reshape(5, -1), "labels": [*Y[1:], "3"]}),
            "whole numbers",
        ),
        (pickles10, "data_batch_2", pickle.dumps({"data": X.reshape(5, -1)}), "'labels' must be"),
        (pickles10, "data_batch_2", pickle.dumps({"data": X, "labels": Y}), "3072"),
        (
            pickles10,
            "data_batch_2",
            pickle.dumps({"data": X.reshape(5, -1) / 255, "labels": Y}),
            "uint8",
        ),
        (
            pickles10,
            "data_batch_2",
            pickle.dumps({"data": X.reshape(5, -1), "labels": Y})[:-100],
            "not a pickle",
        ),
        (
            pickles100,
            "train",
            pickle.dumps({"data": X.reshape(5, -1), "fine_labels": Y}),
            "'coarse_labels' must be",
        ),
        (sheets, "train_lables.json", b"[1, 2, 3]", "rows 2 to 3; train_lables.json has 3"),
        (sheets, "test_lables.json", b"[1, 2]", "rows 0 to 0; test_lables.json has 2"),
        (sheets, "train_lables.json", b"[1, 2, 3, 10]", "label 10"),
        (sheets, "train_lables.json", b'[1, 2, 3, "cat"]', "list of whole numbers"),
        (sheets, "train_lables.json", b"[1, 2, 3,", "line 1: not JSON"),
        (sheets, "data_batch_1.png", b"\x89PNG", "not readable"),
    ],
)
def test_wrong_files_are_refused(
    folder: Path, out: Path, write: Callable[[Path], None], name: str, raw: bytes, said: str
) -> None:
    write(folder)
    (folder / name).write_bytes(raw)
    message = refusal(Cifar(), out, folder)
    assert said in message
    assert message.startswith(str(folder))


def test_a_pickle_that_would_run_a_command_is_refused(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    pickles10(folder)
    (folder / "data_batch_1").write_bytes(
        b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    )
    message = refusal(Cifar(), out, folder)
    assert "os.system" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "sheet", [Image.new("RGB", (1023, 2)), Image.new("L", (1024, 2)), Image.new("RGBA", (1024, 2))]
)
def test_sheets_of_another_shape_are_refused(folder: Path, out: Path, sheet: Image.Image) -> None:
    sheets(folder)
    sheet.save(folder / "data_batch_1.png")
    assert refusal(Cifar(), out, folder).startswith(
        f"{folder / 'data_batch_1.png'}: {sheet.size[0]:,} pixels a row"
    )


def test_a_sheet_that_is_cut_off_is_refused(folder: Path, out: Path) -> None:
    sheets(folder)
    raw = (folder / "data_batch_2.png").read_bytes()
    (folder / "data_batch_2.png").write_bytes(raw[: len(raw) // 2])
    assert refusal(Cifar(), out, folder).startswith(f"{folder / 'data_batch_2.png'}: ")


def test_sheets_without_labels_are_refused(folder: Path, out: Path) -> None:
    sheets(folder)
    (folder / "train_lables.json").unlink()
    assert "no train_lables.json" in refusal(Cifar(), out, folder)
    (folder / "train_labels.json").write_text(json.dumps(Y[:4]))  # spelt as one should
    assert known(imported(Cifar(), out, folder).train.y).tolist() == Y[:4]


def test_the_command_ends_with_status_2_and_leaves_nothing(folder: Path, out: Path) -> None:
    binary100(folder)
    assert command(out, "cifar", str(folder))[0] == 0
    (out / "out.h5").unlink()
    (folder / "test.bin").write_bytes(b"1")
    assert command(out, "cifar", str(folder))[0] == 2


# Large and real


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """120 MB of records are read in less than a third of that."""
    block = binary(np.tile(X, (400, 1, 1, 1)), COARSE * 400, Y * 400)
    with (tmp_path / "train.bin").open("wb") as file:
        for _ in range(20):
            file.write(block)
    assert peak_of_reading(Cifar(), tmp_path, tmp_path) < 40_000_000


def test_real_sheets(shared: Path, out: Path) -> None:
    """10,000 train and 10,000 test images; labels and pixels against the published data, whose first images everybody knows."""
    found = imported(Cifar(), out, shared / "data" / "cifar10")
    assert (found.train.samples, found.test.samples, found.outputs) == (10_000, 10_000, 10)
    assert known(found.train.y)[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert np.bincount(known(found.train.y)).tolist() == [
        1005,
        974,
        1032,
        1016,
        999,
        937,
        1030,
        1001,
        1025,
        981,
    ]
    assert np.bincount(known(found.test.y)).tolist() == [1000] * 10
    assert found.train.x[0, :, 0, :3].tolist() == [
        [59, 43, 50],
        [62, 46, 48],
        [63, 45, 43],
    ]  # a frog
    features = found.test.x[:2000] * found.feature_scale + found.feature_shift
    assert features.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=0.05)
    assert features.std(axis=(0, 2, 3)) == pytest.approx(1, abs=0.05)
