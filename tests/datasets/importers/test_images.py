"""Folders of image files."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from mpifl.datasets.dataset import Part
from mpifl.datasets.importers.images import Images
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


def save(path: Path, pixels: np.ndarray) -> None:
    """An image (height, width, 3) or grey (height, width) of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def one(k: int, height: int = 2, width: int = 3) -> np.ndarray:
    """Image k: no two are alike, and no two channels."""
    return (np.arange(height * width * 3) + 20 * k).reshape(height, width, 3)


def held(part: Part) -> dict[str, list[tuple[bytes, int]]]:
    """The samples (x, y) of each client."""
    names = [name.decode() for name in part.client.tolist()]
    return {
        n: list(zip([x.tobytes() for x in samples_of(part, n)], labels_of(part, n), strict=True))
        for n in names
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of two classes; what is not an image, and what is hidden, lies beside them."""
    source = tmp_path / "source"
    for k, name in enumerate(
        ("dog/b.png", "cat/ann_2.png", "cat/ann_10.bmp", "dog/bob_1.PNG", "cat/bob_3.ppm")
    ):
        save(source / name, one(k))
    (source / "cat" / "notes.txt").write_text("about cats")
    (source / "cat" / "._ann_2.png").write_bytes(b"left by another system")
    return source


ORDER = (2, 1, 4, 0, 3)  # by folder and name: cat/ann_10, cat/ann_2, cat/bob_3, dog/b, dog/bob_1


def test_the_folder_names_the_class(folder: Path, out: Path) -> None:
    found = imported(Images(), out, folder)
    assert found.labels.tolist() == [b"cat", b"dog"]
    assert known(found.train.y).tolist() == [0, 0, 0, 1, 1]
    assert found.train.client.tolist() == [b"all"]
    assert np.array_equal(found.train.x, np.stack([one(k).transpose(2, 0, 1) for k in ORDER]))
    assert (found.name, found.outputs, found.train.x.dtype) == ("source", 2, np.uint8)


def test_the_path_names_class_and_client(folder: Path, out: Path) -> None:
    (folder / "dog" / "b.png").rename(folder / "dog" / "zoë_2.png")
    importer = Images(
        label_pattern=r"_(?P<label>\d+)\.\w+$", client_pattern=r"/(?P<client>[^/_]+)_"
    )
    found = imported(importer, out, folder)
    assert found.labels.tolist() == [b"1", b"10", b"2", b"3"]

    def bits(k: int) -> bytes:
        return one(k).transpose(2, 0, 1).astype(np.uint8).tobytes()

    assert held(found.train) == {
        "ann": [(bits(2), 1), (bits(1), 2)],
        "bob": [(bits(4), 3), (bits(3), 0)],
        "zoë": [(bits(0), 2)],
    }


def test_grey_is_one_channel(folder: Path, out: Path) -> None:
    found = imported(Images(grey=True), out, folder)
    red, green, blue = np.stack([one(k) for k in ORDER]).transpose(3, 0, 1, 2).astype(float)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601-2
    assert found.train.x.shape == (5, 2, 3)
    assert np.abs(found.train.x - luma).max() <= 1
    assert np.ndim(found.feature_scale) == 0


def test_images_are_resized(folder: Path, out: Path) -> None:
    save(folder / "cat" / "wide.png", np.tile([10, 20, 30], (8, 16, 1)))
    assert imported(Images(size="4x6"), out, folder).train.x.shape == (6, 3, 4, 6)
    flat = imported(Images(size="4x6"), out, folder).train.x[3]
    assert np.array_equal(flat, np.broadcast_to(np.array([10, 20, 30])[:, None, None], (3, 4, 6)))


def test_a_step_is_resized_by_straight_lines(folder: Path, out: Path) -> None:
    """Twice as wide, by hand: pixel k of the new image lies at (k + 1/2)/2 - 1/2 of the old one."""
    for path in folder.rglob("*.p*"):
        path.unlink()
    for name in ("a/1.png", "b/1.png"):
        save(folder / name, np.array([[0, 100, 200]]))
    (folder / "cat" / "ann_10.bmp").unlink()
    found = imported(Images(size="1x6", grey=True), out, folder)
    expected = np.interp((np.arange(6) + 0.5) / 2 - 0.5, [0, 1, 2], [0, 100, 200])
    assert np.abs(found.train.x[0, 0] - expected).max() <= 1


def test_features_have_mean_0_and_deviation_1_by_channel(folder: Path, out: Path) -> None:
    found = imported(Images(), out, folder)
    features = found.train.x * found.feature_scale + found.feature_shift
    assert features.dtype == np.float32
    assert features.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert features.std(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-5)
    assert imported(Images(normalise="unit"), out, folder).feature_scale == 1 / 255


@examples(25)
@given(
    files=st.dictionaries(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["ann", "bob", "zoë"]), st.integers(0, 30)
        ),
        st.integers(0, 255),
        min_size=1,
    )
)
def test_every_sample_comes_to_its_client_and_class(files: dict[tuple[str, str, int], int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root, out = Path(place) / "source", Path(place) / "out"
        out.mkdir()
        save(root / "other" / "zoë-0.png", np.zeros((1, 1, 3)))
        for (label, client, k), grey in files.items():
            save(root / label / f"{client}-{k}.png", np.full((1, 1, 3), grey))
        found = imported(Images(client_pattern=r"/(?P<client>\w+)-"), out, root)
        got = held(found.train)
        names = [name.decode() for name in found.labels.tolist()]
        wanted: dict[str, list[tuple[bytes, str]]] = {"zoë": []}
        for (label, client, _), grey in {**files, ("other", "zoë", 0): 0}.items():
            wanted.setdefault(client, []).append((bytes([grey] * 3), label))
    assert {
        client: sorted((x, names[y]) for x, y in samples) for client, samples in got.items()
    } == {client: sorted(held) for client, held in wanted.items()}


# Parts


def test_train_valid_and_test_are_the_parts(folder: Path, out: Path, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for k, name in enumerate(
        (
            "train/cat/1.png",
            "train/dog/1.png",
            "valid/dog/1.png",
            "test/cat/1.png",
            "test/dog/1.png",
        )
    ):
        save(root / name, one(k))
    found = imported(Images(), out, root)
    assert {name: known(part.y).tolist() for name, part in found.parts.items()} == {
        "train": [0, 1],
        "validation": [1],
        "test": [0, 1],
    }
    assert found.labels.tolist() == [b"cat", b"dog"]
    (out / "imported.h5").unlink()
    assert "several folders for the test part" in refusal(Images(), out, root, test=folder)
    (root / "valid").rename(root / "val")
    assert sorted(imported(Images(), out, root).parts) == ["test", "train", "validation"]
    (out / "imported.h5").unlink()
    (root / "valid" / "cat").mkdir(parents=True)
    assert "several folders for the validation part" in refusal(Images(), out, root)


def test_a_class_may_be_called_train(folder: Path, out: Path) -> None:
    save(folder / "train" / "1.png", one(9))
    assert imported(Images(), out, folder).labels.tolist() == [b"cat", b"dog", b"train"]


def test_sources_follow_each_other_and_test_has_its_own(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    save(tmp_path / "more" / "ape" / "1.png", one(7))
    save(tmp_path / "held" / "dog" / "1.png", one(8))
    found = imported(Images(), out, folder, tmp_path / "more", test=tmp_path / "held")
    assert found.labels.tolist() == [b"ape", b"cat", b"dog"]
    assert known(found.train.y).tolist() == [1, 1, 1, 2, 2, 0]
    assert known(found.test.y).tolist() == [2]
    (out / "imported.h5").unlink()
    save(tmp_path / "held" / "yak" / "1.png", one(8))
    message = refusal(Images(), out, folder, test=tmp_path / "held")
    assert message.startswith(f"{tmp_path / 'held' / 'yak' / '1.png'}: label 'yak' is not among")


# What is wrong


def test_another_size_is_refused_by_name(folder: Path, out: Path) -> None:
    save(folder / "dog" / "c.png", one(0, 3, 2))
    message = refusal(Images(), out, folder)
    assert message.startswith(f"{folder / 'dog' / 'c.png'}: 3x2, the first image is 2x3")
    assert "--size" in message


def test_every_truncation_is_refused(folder: Path, out: Path) -> None:
    path = folder / "dog" / "b.png"
    raw = path.read_bytes()
    for size in range(raw.index(b"IEND") - 12):  # from there on all pixels are there
        path.write_bytes(raw[:size])
        assert refusal(Images(), out, folder).startswith(f"{path}: ")


def jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("dog/c.png", b"not an image"),
        ("dog/c.jpg", jpeg(one(1, 64, 64))[:700]),
        ("dog/c.png", b""),
        ("c.png", jpeg(one(1))),  # no folder that names a class
        ("dog/x/c.png", jpeg(one(1))),
    ],
)
def test_wrong_files_are_refused_by_name(folder: Path, out: Path, name: str, raw: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw)
    assert name in refusal(Images(size="2x3"), out, folder)


def test_more_than_8_bits_are_refused(folder: Path, out: Path) -> None:
    Image.fromarray(np.full((2, 3), 40_000, np.uint16)).save(folder / "dog" / "deep.png")
    message = refusal(Images(grey=True), out, folder)
    assert "deep.png" in message
    assert "8 bits" in message


def test_names_that_are_not_utf_8_are_refused(folder: Path, out: Path) -> None:
    os.rename(folder / "dog" / "b.png", os.fsencode(folder / "dog") + b"/\xff.png")
    assert "not UTF-8" in refusal(Images(), out, folder)


def test_paths_that_name_no_client_are_refused(folder: Path, out: Path) -> None:
    message = refusal(Images(client_pattern=r"/(?P<client>[^/_]*)_"), out, folder)
    assert message.startswith("dog/b.png: no client")
    (folder / "dog" / "b.png").rename(folder / "dog" / "_b.png")
    assert refusal(Images(client_pattern=r"/(?P<client>[^/_]*)_"), out, folder).startswith(
        "dog/_b.png: no client"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"label_pattern": "("},
        {"label_pattern": "(?P<lable>x)"},
        {"client_pattern": "x"},
        {"normalise": "loud"},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Images(**options)


def test_sources_that_hold_nothing_are_refused(folder: Path, out: Path) -> None:
    assert "no such folder" in refusal(Images(), out, folder / "none")
    assert "no such folder" in refusal(Images(), out, folder / "dog" / "b.png")
    assert "no such folder" in refusal(Images(), out, folder, test=folder / "none")
    (folder / "empty").mkdir()
    assert "no images there" in refusal(Images(), out, folder / "empty")
    assert refusal(Images(), out, folder, test=folder / "empty").startswith(
        f"{folder / 'empty'}: no images there"
    )
    for size in ("32", "0x3", "axb", "3x", "100000x2"):
        assert "--size" in refusal(Images(size=size), out, folder)


def test_a_circle_of_links_is_refused(folder: Path, out: Path) -> None:
    (folder / "again").symlink_to(folder)
    assert refusal(Images(), out, folder).startswith(f"{folder / 'again'}: a link")


def test_the_command_ends_with_status_2_and_leaves_nothing(folder: Path, out: Path) -> None:
    assert command(out, "images", str(folder))[0] == 0
    (out / "out.h5").unlink()
    assert command(out, "images", str(folder), "--label-pattern", "(")[0] == 2
    (folder / "dog" / "b.png").write_bytes(b"")
    assert command(out, "images", str(folder))[0] == 2


# Large and real


def test_memory_does_not_grow_with_the_folders(tmp_path: Path) -> None:
    """100 MB of pixels in 500 files are read in less than half of that."""
    pixels = np.zeros((256, 256, 3), np.uint8)
    for k in range(500):
        save(tmp_path / f"source/{k % 5}/{k}.png", pixels)
    assert peak_of_reading(Images(), tmp_path, tmp_path / "source") < 40_000_000


def test_real_images_from_files_are_those_of_the_sheet(
    shared: Path, tmp_path: Path, out: Path
) -> None:
    """The first 60 test images of CIFAR-10, each in a file of its own; the last digit of its number is its client."""
    sheet = np.asarray(Image.open(shared / "data" / "cifar10" / "test_batch.png"))[:60].reshape(
        60, 32, 32, 3
    )
    labels = [
        int(label)
        for label in (shared / "data" / "cifar10" / "test_lables.json")
        .read_text()[1:]
        .split(",")[:60]
    ]
    for k, (pixels, label) in enumerate(zip(sheet, labels, strict=True)):
        save(tmp_path / "source" / str(label) / f"{k:03}.png", pixels)
    found = imported(Images(client_pattern=r"(?P<client>\d)\.png$"), out, tmp_path / "source")
    assert (found.train.samples, found.train.clients, found.shape.sample) == (60, 10, (3, 32, 32))
    for client in range(10):
        rows = sorted((label, k) for k, label in enumerate(labels) if k % 10 == client)
        assert known(found.train.y)[found.train.rows(client)].tolist() == [
            label for label, _ in rows
        ]
        assert np.array_equal(
            found.train.x[found.train.rows(client)],
            sheet[[k for _, k in rows]].transpose(0, 3, 1, 2),
        )
