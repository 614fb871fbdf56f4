"""Images and labels in idx files."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.dataset import Part
from mpifl.datasets.importers import idx as module
from mpifl.datasets.importers.idx import Idx
from mpifl.datasets.importers.idx_file import open_idx
from mpifl.errors import InputError
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

STORED = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
X = np.arange(6 * 3 * 2).reshape(6, 3, 2)
Y = [3, 1, 4, 1, 3, 4]


def idx(values: object, kind: int = 0x08, shape: tuple[int, ...] | None = None) -> bytes:
    """An idx file: 0, 0, type, dimensions, sizes and values, all big-endian."""
    array = np.asarray(values)
    sizes = array.shape if shape is None else shape
    return (
        bytes([0, 0, kind, len(sizes)])
        + struct.pack(f">{len(sizes)}i", *sizes)
        + array.astype(STORED[kind]).tobytes()
    )


def held(part: Part) -> dict[str, list[tuple[bytes, int]]]:
    """The samples (x, y) of each client."""
    names = [name.decode() for name in part.client.tolist()]
    return {
        n: list(zip([x.tobytes() for x in samples_of(part, n)], labels_of(part, n), strict=True))
        for n in names
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six train images of three classes, and two test images."""
    source = tmp_path / "source"
    source.mkdir()
    (source / IMAGES).write_bytes(idx(X))
    (source / LABELS).write_bytes(idx(Y))
    (source / TEST_IMAGES).write_bytes(idx(X[:2] + 100))
    (source / TEST_LABELS).write_bytes(idx([4, 1]))
    return source


def test_images_and_labels_stand_in_their_order(folder: Path, out: Path) -> None:
    found = imported(Idx(), out, folder)
    assert found.train.client.tolist() == found.test.client.tolist() == [b"all"]
    assert np.array_equal(found.train.x, X)
    assert found.train.x.dtype == np.uint8
    assert found.labels.tolist() == [b"1", b"3", b"4"]
    assert known(found.train.y).tolist() == [1, 0, 2, 0, 1, 2]
    assert np.array_equal(found.test.x, X[:2] + 100)
    assert known(found.test.y).tolist() == [2, 0]
    assert (found.outputs, found.name, found.task) == (3, "source", "classification")


def test_there_may_be_no_test_part(folder: Path, out: Path) -> None:
    (folder / TEST_IMAGES).unlink()
    (folder / TEST_LABELS).unlink()
    assert list(imported(Idx(), out, folder).parts) == ["train"]
    (out / "imported.h5").unlink()
    (folder / "t").write_text("a\n")
    assert "no test part" in refusal(Idx(clients_test=folder / "t"), out, folder)


@pytest.mark.parametrize(
    "rename",
    [lambda n: f"{n}.gz", lambda n: n.replace("-idx", ".idx"), lambda n: n.replace("t10k", "test")],
)
def test_names_that_people_have_are_found(folder: Path, out: Path, rename: object) -> None:
    for path in list(folder.iterdir()):
        raw = path.read_bytes()
        path.unlink()
        target = folder / rename(path.name)  # type: ignore[operator]
        target.write_bytes(gzip.compress(raw) if target.suffix == ".gz" else raw)
    found = imported(Idx(), out, folder)
    assert (found.train.samples, found.test.samples) == (6, 2)


@pytest.mark.parametrize(
    ("normalise", "mean", "deviation"),
    [("standard", 0, 1), ("unit", 17.5 / 255, None), ("none", 17.5, None)],
)
def test_features_are_scaled_by_the_train_part(
    folder: Path, out: Path, normalise: str, mean: float, deviation: float | None
) -> None:
    found = imported(Idx(normalise=normalise), out, folder)
    features = found.train.x * found.feature_scale + found.feature_shift
    assert features.mean() == pytest.approx(mean, abs=1e-9)
    if deviation is not None:
        assert features.std() == pytest.approx(deviation)


@given(
    kind=st.sampled_from(sorted(STORED)),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    seed=st.integers(0, 99),
    packed=st.booleans(),
    rows=st.integers(1, 5),
)
def test_any_type_and_number_of_dimensions_is_read(
    kind: int, shape: tuple[int, ...], seed: int, packed: bool, rows: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 100, shape)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"a{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(values, kind)) if packed else idx(values, kind))
        header = open_idx(path)
        blocks = list(header.blocks(rows))
    assert header.shape == shape
    assert {block.dtype for block in blocks} == {header.kept}
    assert (
        header.kept == {"u": np.uint8, "i": np.int32, "f": np.float32}[np.dtype(STORED[kind]).kind]
    )
    assert all(len(block) <= rows for block in blocks)
    assert np.array_equal(np.concatenate(blocks), values)


def test_numbers_are_big_endian_and_have_signs(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(
        bytes([0, 0, 0x0B, 1]) + struct.pack(">i", 2) + bytes([1, 2, 0xFF, 0xFE])
    )
    assert np.concatenate(list(open_idx(tmp_path / "a").blocks())).tolist() == [258, -2]


def test_one_number_is_a_sample_of_one_feature(folder: Path, out: Path) -> None:
    (folder / IMAGES).write_bytes(idx(X[:, 0, 0]))
    (folder / TEST_IMAGES).write_bytes(idx([7, 8]))
    assert imported(Idx(), out, folder).train.x.shape == (6, 1)


# EMNIST


def test_emnist_is_found_by_its_prefix_named_by_its_mapping_and_turned_upright(
    folder: Path, out: Path
) -> None:
    for name in (IMAGES, LABELS):
        for split in ("letters", "digits"):
            (folder / f"emnist-{split}-{name}").write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
    for name in (TEST_IMAGES, TEST_LABELS):
        (folder / name).rename(folder / f"emnist-letters-{name.replace('t10k', 'test')}")
    (folder / "emnist-letters-mapping.txt").write_text("1 65 97\n3 66 98\n4 67\n5 68\n")
    message = refusal(Idx(), out, folder)
    assert "emnist-digits-" in message
    assert "emnist-letters-" in message
    assert "--prefix" in message
    found = imported(Idx(prefix="emnist-letters-", transpose=True), out, folder)
    assert found.labels.tolist() == [b"Aa", b"Bb", b"C"]
    assert np.array_equal(found.train.x, X.transpose(0, 2, 1))
    assert found.test.samples == 2
    assert found.name == "emnist-letters"


@pytest.mark.parametrize("text", ["1 65\n3 b\n4 67\n", "1 65\n\n", "1 65\n3 66\n"])
def test_a_mapping_that_does_not_say_all_is_refused(folder: Path, out: Path, text: str) -> None:
    (folder / "mapping.txt").write_text(text)
    assert refusal(Idx(), out, folder).startswith(f"{folder / 'mapping.txt'}: ")


def test_numbers_have_no_sides_to_swap(folder: Path, out: Path) -> None:
    (folder / IMAGES).write_bytes(idx(X[:, 0]))
    assert "--transpose" in refusal(Idx(transpose=True), out, folder)


# Clients


def test_clients_stand_in_a_text_one_a_line(folder: Path, out: Path) -> None:
    (folder / "train.txt").write_text("zoë\r\nbob\nzoë\nbob\nbob\nann", encoding="utf-8")
    found = imported(Idx(clients=folder / "train.txt"), out, folder)
    assert held(found.train) == {
        "ann": [(X[5].astype(np.uint8).tobytes(), 2)],
        "bob": [(X[k].astype(np.uint8).tobytes(), y) for k, y in ((1, 0), (3, 0), (4, 1))],
        "zoë": [(X[k].astype(np.uint8).tobytes(), y) for k, y in ((0, 1), (2, 2))],
    }
    assert found.test.client.tolist() == [b"all"]


def test_clients_are_qmnists_writers(folder: Path, out: Path) -> None:
    rows = np.zeros((8, 8), int)
    rows[:, 2] = [30, 7, 30, 7, 7, 9, 1, 1]  # two more rows than images
    (folder / "writers.gz").write_bytes(gzip.compress(idx(rows, 0x0C)))
    found = imported(
        Idx(clients_test=folder / "writers.gz", clients=folder / "writers.gz"), out, folder
    )
    assert found.train.client.tolist() == [b"7", b"9", b"30"]
    assert found.train.offsets.tolist() == [0, 3, 4, 6]
    assert found.test.client.tolist() == [b"7", b"30"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a\nb\nc\nd\ne\n", "5 lines for 6 samples"),
        (b"a\nb\nc\nd\ne\nf\ng\n", "line 7"),
        (b"a\nb\n\nd\ne\nf\n", "line 3"),
        (b"a\nb\nc\n\xff\ne\nf\n", "line 4: not UTF-8"),
        (b"", "0 lines"),
        (idx(np.zeros((5, 8)), 0x0C), "6 images"),
        (idx(np.zeros((6, 2)), 0x0C), "(6, 2)"),
        (idx(np.zeros((6, 8)), 0x0C)[:-1], "truncated"),
    ],
)
def test_clients_that_do_not_fit_are_refused(
    folder: Path, out: Path, raw: bytes, said: str
) -> None:
    (folder / "clients").write_bytes(raw)
    message = refusal(Idx(clients=folder / "clients"), out, folder)
    assert message.startswith(f"{folder / 'clients'}: ")
    assert said in message


# What is wrong


@pytest.mark.parametrize("name", [IMAGES, LABELS, TEST_IMAGES, TEST_LABELS])
def test_every_truncation_is_refused_and_so_is_what_goes_on(
    folder: Path, out: Path, name: str
) -> None:
    raw = (folder / name).read_bytes()
    for size in range(len(raw)):
        (folder / name).write_bytes(raw[:size])
        assert refusal(Idx(), out, folder).startswith(f"{folder / name}: ")
    (folder / name).write_bytes(raw + b"\0")
    assert refusal(Idx(), out, folder).startswith(f"{folder / name}: ")


@pytest.mark.parametrize("name", [LABELS, TEST_IMAGES])
def test_every_damage_to_a_gzip_file_is_refused(folder: Path, out: Path, name: str) -> None:
    raw = gzip.compress((folder / name).read_bytes())
    (folder / name).unlink()
    for place in range(10, len(raw)):
        (folder / f"{name}.gz").write_bytes(
            raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :]
        )
        assert name in refusal(Idx(), out, folder)


@pytest.mark.parametrize(
    "shape",
    [(0, 3, 2), (-6, 3, 2), (2**31 - 1, 2**31 - 1, 2**31 - 1), (2**22, 2**21, 2**21)],
    ids=str,
)
def test_sizes_that_cannot_be_are_refused(folder: Path, out: Path, shape: tuple[int, ...]) -> None:
    (folder / TEST_IMAGES).write_bytes(idx(np.zeros((6, 3, 2)), shape=shape))
    message = refusal(Idx(), out, folder)
    assert str(folder / TEST_IMAGES) in message
    (folder / TEST_IMAGES).write_bytes(idx(X[:2], shape=shape))
    (folder / TEST_LABELS).write_bytes(idx(np.zeros(2), shape=(shape[0],)))
    assert str(folder) in refusal(Idx(), out, folder)


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        (LABELS, idx([3, 1, 4, 1, 3]), "5 labels for the 6 images"),
        (LABELS, idx(np.zeros((6, 2))), "one column"),
        (LABELS, idx(Y, 0x0D), "one column"),
        (LABELS, idx([1] * 6), "label 4 is not among the 1"),
        (TEST_LABELS, idx([4, 2]), "label 2 is not among the 3"),
        (TEST_IMAGES, idx(X[:2, :, :1]), "train's are uint8 (3, 2)"),
        (TEST_IMAGES, idx(X[:2], 0x0C), "train's are uint8 (3, 2)"),
        (IMAGES, idx(np.full((6, 3, 2), np.nan), 0x0D), "row 0: not finite"),
        (IMAGES, idx(np.where(X == 20, 1e300, 0.0), 0x0E), "row 3: not finite"),
        (IMAGES, b"\x89PNG\r\n\x1a\n", "not an idx file"),
        (IMAGES, bytes([0, 0, 0x0A, 1]), "not an idx file"),
        (IMAGES, bytes([0, 0, 8, 0]), "not an idx file"),
    ],
)
def test_wrong_files_are_refused(folder: Path, out: Path, name: str, raw: bytes, said: str) -> None:
    (folder / name).write_bytes(raw)
    message = refusal(Idx(), out, folder)
    assert said in message
    assert message.startswith(f"{folder / name}: " if "not among" not in said else str(folder))


@pytest.mark.parametrize("name", [IMAGES, LABELS, TEST_IMAGES, TEST_LABELS])
def test_a_missing_file_is_named(folder: Path, out: Path, name: str) -> None:
    (folder / name).unlink()
    message = refusal(Idx(), out, folder)
    assert message.startswith(f"{folder}: no ")
    assert name.partition("-idx")[0].replace("t10k", "test") in message


def test_words_that_name_nothing_are_refused(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such folder" in refusal(Idx(), out, folder / "none")
    assert "2 given" in refusal(Idx(), out, folder, folder)
    assert "no x-train-images" in refusal(Idx(prefix="x-"), out, folder)
    monkeypatch.setattr(module, "DEBIAN", folder / "none")
    assert "apt install dataset-fashion-mnist" in refusal(Idx(), out, Path("fashion-mnist"))


def test_fashion_mnists_word_stands_for_debians_folder(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEBIAN", folder)
    monkeypatch.chdir(out)
    (folder / IMAGES).write_bytes(idx(np.zeros((10, 2, 2))))
    (folder / LABELS).write_bytes(idx(range(10)))
    (folder / TEST_IMAGES).write_bytes(idx(np.zeros((2, 2, 2))))
    found = imported(Idx(), out, Path("fashion-mnist"))
    assert (found.name, found.labels[3], found.labels[9]) == (
        "fashion-mnist",
        b"Dress",
        b"Ankle boot",
    )


def test_the_command_ends_with_status_2_and_leaves_nothing(folder: Path, out: Path) -> None:
    assert command(out, "idx", str(folder))[0] == 0
    (out / "out.h5").unlink()
    assert command(out, "idx", str(folder), "--normalise", "loud")[0] == 2
    (folder / LABELS).write_bytes(idx(Y)[:-1])
    assert command(out, "idx", str(folder))[0] == 2


# Large and real


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """120 MB of images, gzipped, are read in less than a third of that."""
    rows = 150_000
    with gzip.open(tmp_path / f"{IMAGES}.gz", "wb", compresslevel=1) as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3i", rows, 28, 28))
        for _ in range(15):
            file.write(bytes(rows // 15 * 28 * 28))
    (tmp_path / LABELS).write_bytes(idx(np.arange(rows) % 10))
    assert peak_of_reading(Idx(), tmp_path, tmp_path) < 40_000_000


@pytest.fixture
def qmnist(shared: Path) -> Path:
    return shared / "data" / "qmnist"


def test_real_images_by_qmnists_writers(qmnist: Path, out: Path) -> None:
    """The counts of its README, and the features of MNIST's published mean and deviation."""
    importer = Idx(
        clients=qmnist / "qmnist-train-labels-idx2-int.gz",
        clients_test=qmnist / "qmnist-test-labels-idx2-int.gz",
    )
    found = imported(importer, out, qmnist)
    assert (found.train.clients, found.test.clients) == (539, 297)
    assert (found.train.samples, found.test.samples) == (60_000, 10_000)
    assert not set(found.train.client.tolist()) & set(found.test.client.tolist())
    assert found.feature_scale == pytest.approx(1 / (255 * 0.3081), rel=1e-3)
    assert found.feature_shift == pytest.approx(-0.1307 / 0.3081, rel=1e-3)
    raw = gzip.decompress((qmnist / "qmnist-train-labels-idx2-int.gz").read_bytes())
    table = np.frombuffer(raw[12:], ">i4").reshape(-1, 8)
    digits = np.frombuffer(gzip.decompress((qmnist / f"{LABELS}.gz").read_bytes())[8:], np.uint8)
    for client in (0, 269, 538):
        rows = np.flatnonzero(table[:, 2] == int(found.train.client[client]))
        assert np.array_equal(known(found.train.y)[found.train.rows(client)], digits[rows])


def test_debians_fashion_mnist(out: Path) -> None:
    if not module.DEBIAN.is_dir():
        pytest.skip(f"no {module.DEBIAN}: Debian's package dataset-fashion-mnist")
    found = imported(Idx(), out, Path("fashion-mnist"))
    assert (found.train.samples, found.test.samples, found.outputs) == (60_000, 10_000, 10)
    assert np.bincount(known(found.train.y)).tolist() == [6_000] * 10
    assert found.labels[9] == b"Ankle boot"


def test_blocks_say_which_row_is_wrong(tmp_path: Path) -> None:
    values = np.zeros((10, 2))
    values[7, 1] = np.inf
    (tmp_path / "a").write_bytes(idx(values, 0x0E))
    with pytest.raises(InputError, match="row 7: not finite"):
        list(open_idx(tmp_path / "a").blocks(2))
