"""Arrays that numpy wrote."""

from __future__ import annotations

import lzma
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.datasets.dataset import Part
from mpifl.datasets.importers.npz import Npz
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

X = np.arange(24).reshape(6, 4)
Y = np.array([2, 0, 2, 5, 0, 5])
WHO = np.array([30, 4, 30, 4, 4, 7])
TEST = np.array([False, True, False, False, False, True])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """x in one file, all that goes with it in another."""
    source = tmp_path / "source"
    source.mkdir()
    np.save(source / "x.npy", X.astype(np.uint8))
    np.savez(source / "rest.npz", y=Y, who=WHO, test=TEST)
    return source


def held(part: Part) -> dict[str, list[tuple[bytes, int]]]:
    """The samples (x, y) of each client."""
    names = [name.decode() for name in part.client.tolist()]
    return {
        n: list(zip([x.tobytes() for x in samples_of(part, n)], labels_of(part, n), strict=True))
        for n in names
    }


def both(folder: Path) -> tuple[Path, Path]:
    return folder / "x.npy", folder / "rest.npz"


def with_array(folder: Path, **arrays: Any) -> None:
    """The arrays of rest.npz, some of them others."""
    np.savez(folder / "rest.npz", **{"y": Y, "who": WHO, "test": TEST, **arrays})


# What comes out


def test_arrays_stand_side_by_side(folder: Path, out: Path) -> None:
    found = imported(Npz(x="x", label="y", client="who"), out, *both(folder))
    assert found.train.client.tolist() == [b"4", b"7", b"30"]
    assert found.train.x.tolist() == X[[1, 3, 4, 5, 0, 2]].tolist()
    assert known(found.train.y).tolist() == [0, 2, 0, 2, 1, 1]
    assert found.labels.tolist() == [b"0", b"2", b"5"]
    assert (found.train.x.dtype, found.outputs, found.name, found.task) == (
        np.uint8,
        3,
        "source",
        "classification",
    )
    assert (found.feature_scale, found.feature_shift) == (1, 0)
    assert list(found.parts) == ["train"]


def test_without_clients_all_belong_to_one(folder: Path, out: Path) -> None:
    assert imported(Npz(x="x", label="y"), out, *both(folder)).train.client.tolist() == [b"all"]


def test_test_rows_are_the_test_part(folder: Path, out: Path) -> None:
    found = imported(Npz(x="x", label="y", client="who", test_rows="test"), out, *both(folder))
    assert found.train.x.tolist() == X[[3, 4, 0, 2]].tolist()
    assert found.test.x.tolist() == X[[1, 5]].tolist()
    assert found.train.client.tolist() == [b"4", b"30"]
    assert found.test.client.tolist() == [b"4", b"7"]
    assert known(found.train.y).tolist() == [2, 0, 1, 1]


def test_test_may_have_files_of_its_own(folder: Path, out: Path) -> None:
    np.savez(folder / "held.npz", x=X[:2].astype(np.uint8), y=[5, 2], who=[9, 8])
    found = imported(
        Npz(x="x", label="y", client="who"), out, *both(folder), test=folder / "held.npz"
    )
    assert (known(found.test.y).tolist(), found.test.client.tolist()) == ([1, 2], [b"8", b"9"])
    (out / "imported.h5").unlink()
    both_ways = Npz(x="x", label="y", client="who", test_rows="test")
    assert "--test-rows" in refusal(both_ways, out, *both(folder), test=folder / "held.npz")


TYPES = {
    "?": np.uint8,
    "u1": np.uint8,
    "i1": np.int32,
    "<u2": np.int32,
    ">i2": np.int32,
    "<i4": np.int32,
    ">i8": np.int32,
    "<u8": np.int32,
    "<f2": np.float32,
    ">f4": np.float32,
    "<f8": np.float32,
}


@examples(60)
@given(
    stored=st.sampled_from(sorted(TYPES)),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    form=st.sampled_from(["npy", "npy.xz", "npz", "npz packed", "npz.xz", "npy fortran"]),
    seed=st.integers(0, 99),
)
def test_any_array_comes_out_as_it_went_in(
    stored: str, shape: tuple[int, ...], form: str, seed: int
) -> None:
    """Every type, shape, file and order; label k is sample k, whose client is one of three."""
    random = np.random.default_rng(seed)
    samples = 2 + shape[0]
    x = random.integers(0, 2 if stored == "?" else 100, (samples, *shape[1:])).astype(stored)
    who = np.array([f"c{k}" for k in random.integers(0, 3, samples)])
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "source", Path(place) / "out"
        folder.mkdir()
        out.mkdir()
        kind, _, how = form.partition(" ")
        name = folder / f"x.{kind.removesuffix('.xz')}"
        if kind.startswith("npy"):
            np.save(name, np.asfortranarray(x) if how else x)
        else:
            (np.savez_compressed if how else np.savez)(name, x=x)
        if kind.endswith(".xz"):
            packed = folder / f"x.{kind}"
            packed.write_bytes(lzma.compress(name.read_bytes()))
            name.unlink()
            name = packed
        np.savez(folder / "rest.npz", y=np.arange(samples), who=who)
        found = imported(Npz(x="x", label="y", client="who"), out, name, folder / "rest.npz")
        wanted: dict[str, list[tuple[bytes, int]]] = {}
        for k in range(samples):
            wanted.setdefault(str(who[k]), []).append((x[k].astype(TYPES[stored]).tobytes(), k))
        assert held(found.train) == wanted
        assert found.train.x.dtype == TYPES[stored]
        assert found.shape.sample == (shape[1:] or (1,))


def test_labels_may_be_text_and_clients_bytes(folder: Path, out: Path) -> None:
    with_array(
        folder,
        y=np.array(list("abacbc")),
        who=np.array(["zoë".encode(), b"b", b"b", b"b", b"b", b"b"]),
    )
    found = imported(Npz(x="x", label="y", client="who"), out, *both(folder))
    assert found.labels.tolist() == [b"a", b"b", b"c"]
    assert found.train.client.tolist() == [b"b", "zoë".encode()]
    assert known(found.train.y).tolist() == [1, 0, 2, 1, 2, 0]


@pytest.mark.parametrize(
    "y", [Y / 4, np.stack([Y, Y + 1], 1), Y.astype(np.float64)[:, None], Y * 2**40]
)
def test_regression_takes_numbers(folder: Path, out: Path, y: np.ndarray) -> None:
    with_array(folder, y=y)
    found = imported(Npz(x="x", label="y", client="who", task="regression"), out, *both(folder))
    wide = y.reshape(6, -1)
    assert (found.task, found.outputs) == ("regression", wide.shape[1])
    assert np.array_equal(known(found.train.y), wide[[1, 3, 4, 5, 0, 2]].astype(np.float32))
    assert not len(found.labels)


def test_a_language_has_tokens_and_no_labels(folder: Path, out: Path) -> None:
    found = imported(Npz(x="x", client="who", task="language", vocabulary=24), out, *both(folder))
    assert (found.task, found.outputs, found.vocabulary, found.train.y) == (
        "language",
        24,
        24,
        None,
    )
    (out / "imported.h5").unlink()
    message = refusal(Npz(x="x", client="who", task="language", vocabulary=23), out, *both(folder))
    assert message == f"{folder / 'x.npy'}: row 5: 23; must be tokens, 0 to 22"


@pytest.mark.parametrize("axis", [None, 1, 2])
def test_features_are_standardised_over_the_train_part(
    folder: Path, out: Path, axis: int | None
) -> None:
    x = np.random.default_rng(0).normal(3, 2, (600, 5, 3)) * [1, 10, 100]
    x[:, 2, :] = 7
    np.save(folder / "x.npy", x)
    with_array(folder, y=np.arange(600) % 2, who=np.arange(600), test=np.arange(600) >= 400)
    found = imported(
        Npz(x="x", label="y", test_rows="test", normalise="standard", channel_axis=axis),
        out,
        *both(folder),
    )
    kept = x[:400].astype(np.float32)
    others = tuple(k for k in range(3) if k != axis) if axis else None
    mean, deviation = kept.mean(axis=others, dtype=float), kept.std(axis=others, dtype=float)
    if axis is None:
        assert (found.feature_scale, found.feature_shift) == pytest.approx(
            (1 / deviation, -mean / deviation)
        )
        return
    deviation = np.where(deviation > 1e-9, deviation, 1)
    shape = [1, 1]
    shape[axis - 1] = -1
    assert found.feature_scale == pytest.approx((1 / deviation).reshape(shape), rel=1e-6)
    assert found.feature_shift == pytest.approx((-mean / deviation).reshape(shape), rel=1e-6)
    features = found.train.x * found.feature_scale + found.feature_shift
    assert features.mean(axis=others) == pytest.approx(0, abs=1e-5)


# What is wrong


OPTIONS: dict[str, Any] = {"x": "x", "label": "y", "client": "who", "test_rows": "test"}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": Y[1:]}, "y: 5 rows"),
        ({"who": WHO[1:]}, "who: 5 rows"),
        ({"test": TEST[1:]}, "test: 5 rows"),
        ({"y": Y / 2}, "cannot be --label of a classification"),
        ({"y": np.stack([Y, Y], 1)}, "cannot be --label of a classification"),
        ({"y": np.int64(3)}, "y: shape ()"),
        ({"y": Y * 0}, "outputs 1"),
        ({"y": np.array([2, 1, 2, 5, 0, 5])}, "y: label 1 is not among the 3 of the train part"),
        ({"y": np.array([{}] * 6)}, "y: holds Python objects"),
        ({"y": np.zeros(6, [("a", "i4")])}, "y: "),
        ({"y": np.array([1 + 2j] * 6)}, "y: complex128"),
        ({"who": WHO / 2}, "cannot be --client"),
        ({"who": np.array(["a", "b", "", "d", "e", "f"])}, "who: row 2: no client"),
        ({"who": np.array([b"a", b"b", b"\xff", b"d", b"e", b"f"])}, "who: rows 0 to 5: not UTF-8"),
        ({"test": TEST.astype(int)}, "cannot be --test-rows"),
        ({"test": TEST & False}, "--test-rows: 'test' is true for no row"),
        ({"test": TEST | True}, "test: true for all rows"),
        ({"x": X}, "array 'x' is also in"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    folder: Path, out: Path, arrays: dict[str, Any], said: str
) -> None:
    with_array(folder, **arrays)
    message = refusal(Npz(**OPTIONS), out, *both(folder))
    assert said in message
    assert (
        "outputs" in said
        or "--test-rows: 'test'" in said
        or message.startswith(f"{folder / 'rest.npz'}: ")
    )


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.where(X == 9, np.nan, X), "row 2: nan; must be finite"),
        (np.where(X == 9, 1e60, X), "row 2: 1e+60; must be finite in float32"),
        (np.where(X == 9, 2**31, X), "row 2: 2147483648; must be 32-bit integers"),
        (
            np.where(X == 9, 2**63, X.astype(np.uint64)),
            "row 2: 9223372036854775808; must be 32-bit",
        ),
        (X[:0], "shape (0, 4)"),
        (X.astype(str), "samples are numbers"),
    ],
)
def test_samples_that_cannot_be_kept_are_refused(
    folder: Path, out: Path, x: np.ndarray, said: str
) -> None:
    np.save(folder / "x.npy", x)
    message = refusal(Npz(x="x", label="y", client="who"), out, *both(folder))
    assert message.startswith(f"{folder / 'x.npy'}: ")
    assert said in message


def test_a_test_part_of_another_shape_is_refused(folder: Path, out: Path) -> None:
    np.savez(folder / "held.npz", x=X[:, :3].astype(np.uint8), y=Y, who=WHO)
    message = refusal(Npz(x="x", label="y"), out, *both(folder), test=folder / "held.npz")
    assert message.startswith(
        f"{folder / 'held.npz'}: x: samples of uint8 (3,); train's are uint8 (4,)"
    )


@pytest.mark.parametrize("name", ["x.npy", "rest.npz", "packed.npz", "x.npy.xz"])
def test_every_truncation_is_refused(folder: Path, out: Path, name: str) -> None:
    paths = list(both(folder))
    if name == "packed.npz":
        paths[1] = folder / name
        np.savez_compressed(paths[1], y=Y, who=WHO)
    if name == "x.npy.xz":
        paths[0] = folder / name
        paths[0].write_bytes(lzma.compress((folder / "x.npy").read_bytes()))
    raw = (folder / name).read_bytes()
    for size in range(0, len(raw), 1 + len(raw) // 300):
        (folder / name).write_bytes(raw[:size])
        assert refusal(Npz(x="x", label="y"), out, *paths).startswith(str(folder / name))


def test_what_goes_on_is_refused(folder: Path, out: Path) -> None:
    with (folder / "x.npy").open("ab") as file:
        file.write(b"\0")
    assert "more bytes than its header declares" in refusal(
        Npz(x="x", label="y"), out, *both(folder)
    )


def test_damage_inside_an_archive_is_seen(folder: Path, out: Path) -> None:
    """By the check sum that a zip archive keeps of each member."""
    np.savez(folder / "rest.npz", y=np.arange(6) + 1000)
    raw = (folder / "rest.npz").read_bytes()
    place = raw.index((1003).to_bytes(8, "little"))
    (folder / "rest.npz").write_bytes(raw[:place] + b"\0" + raw[place + 1 :])
    assert refusal(Npz(x="x", label="y"), out, *both(folder)).startswith(
        f"{folder / 'rest.npz'}: y: "
    )


def test_fortrans_order_in_a_packed_file_is_refused(folder: Path, out: Path) -> None:
    np.savez_compressed(folder / "f.npz", f=np.asfortranarray(X))
    assert "C order" in refusal(Npz(x="f", label="y"), out, folder / "f.npz", folder / "rest.npz")


def test_headers_that_lie_are_refused(folder: Path, out: Path) -> None:
    """Of shapes that would fill the memory, and of later versions."""
    raw = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(
        raw.replace(b"(6, 4), ", b"(6, 10**9), ".replace(b"10**9", b"999999999"))
    )
    assert str(folder / "x.npy") in refusal(Npz(x="x", label="y"), out, *both(folder))
    size = len(raw) - 24 - 10
    header = (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 99999999999), }".ljust(size - 1)
        + b"\n"
    )
    (folder / "x.npy").write_bytes(raw[:10] + header + raw[-24:])
    assert "truncated" in refusal(Npz(x="x", label="y"), out, *both(folder))
    (folder / "x.npy").write_bytes(raw[:6] + b"\x03" + raw[7:])
    assert "version" in refusal(Npz(x="x", label="y"), out, *both(folder))


def test_a_pickle_that_would_run_a_command_is_refused(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    array = np.array([Touch()] * 6, dtype=object)
    np.save(folder / "y.npy", array, allow_pickle=True)
    (folder / "rest.npz").unlink()
    assert "Python objects" in refusal(
        Npz(x="x", label="y"), out, folder / "x.npy", folder / "y.npy"
    )
    (folder / "y.npy").write_bytes(pickle.dumps(Touch()))
    assert str(folder / "y.npy") in refusal(
        Npz(x="x", label="y"), out, folder / "x.npy", folder / "y.npy"
    )
    assert not (tmp_path / "ran").exists()


def test_names_that_are_not_there_are_refused_with_those_that_are(folder: Path, out: Path) -> None:
    assert (
        refusal(Npz(x="X", label="y"), out, *both(folder))
        == "--x: 'X': no such array; there are: test, who, x, y"
    )
    assert refusal(Npz(x="x", label="z"), out, *both(folder)).startswith("--label: 'z'")
    assert "no such file" in refusal(Npz(x="x", label="z"), out, folder / "none.npy")
    (folder / "x.csv").write_text("1,2\n")
    assert "must end in" in refusal(Npz(x="x", label="y"), out, folder / "x.csv")
    (folder / "rest.npz").write_text("no archive")
    assert refusal(Npz(x="x", label="y"), out, *both(folder)).startswith(f"{folder / 'rest.npz'}: ")


def test_a_name_that_is_there_twice_is_refused(folder: Path, out: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(folder / "rest.npz", "a") as archive,
    ):
        archive.writestr("y.npy", b"")
    assert "holds array 'y' twice" in refusal(Npz(x="x", label="y"), out, *both(folder))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"x": "x"},
        {"x": "x", "task": "regression"},
        {"x": "x", "task": "language"},
        {"x": "x", "label": "y", "task": "language", "vocabulary": 9},
        {"x": "x", "label": "y", "vocabulary": 9, "normalise": "unit"},
        {"x": "x", "label": "y", "channel_axis": 0},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Npz(**options)


def test_an_axis_that_is_not_there_is_refused(folder: Path, out: Path) -> None:
    assert "--channel-axis" in refusal(Npz(x="x", label="y", channel_axis=2), out, *both(folder))
    np.save(folder / "x.npy", X.astype(np.int16))
    assert "--normalise" in refusal(Npz(x="x", label="y", normalise="unit"), out, *both(folder))


def test_the_command_ends_with_status_2_and_leaves_nothing(folder: Path, out: Path) -> None:
    arguments = ["npz", *map(str, both(folder)), "--x", "x", "--label", "y", "--test-rows", "test"]
    status, said = command(out, *arguments)
    assert (status, "2 samples of 1 client\n" in said) == (0, True)
    (out / "out.h5").unlink()
    assert command(out, *arguments, "--client", "whom")[0] == 2
    assert command(out, *arguments, "--task", "language")[0] == 2


# Large and real


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.npy.xz"])
def test_memory_does_not_grow_with_the_files(tmp_path: Path, name: str) -> None:
    """120 MB of float64 are read in less than a third of that."""
    array = np.zeros((150_000, 100))
    if name == "x.npz":
        np.savez(tmp_path / name, x=array)
    else:
        np.save(tmp_path / "x.npy", array)
    if name == "x.npy.xz":
        (tmp_path / name).write_bytes(lzma.compress((tmp_path / "x.npy").read_bytes(), preset=0))
    np.save(tmp_path / "y.npy", np.arange(150_000) % 3)
    del array
    assert (
        peak_of_reading(Npz(x="x", label="y"), tmp_path, tmp_path / name, tmp_path / "y.npy")
        < 40_000_000
    )


def test_real_activities_of_30_people(shared: Path, out: Path) -> None:
    """The counts of its README; samples against numpy's own reading."""
    har = shared / "data" / "har"
    paths = (har / "x_f16_n128x9.npy.xz", har / "y_subject_istest.npz")
    found = imported(
        Npz(x="x_f16_n128x9", label="y", client="subject", test_rows="is_test"), out, *paths
    )
    with np.load(paths[1]) as columns, lzma.open(paths[0]) as file:
        x, y, subject, held = np.load(file), columns["y"], columns["subject"], columns["is_test"]
    assert found.train.samples + found.test.samples == 10_299
    assert {name for part in found.parts.values() for name in part.client.tolist()} == {
        b"%d" % k for k in range(1, 31)
    }
    assert (found.outputs, found.shape.sample) == (6, (128, 9))
    for part, rows in ((found.train, ~held), (found.test, held)):
        assert part.samples == rows.sum()
        for client in (0, part.clients // 2, part.clients - 1):
            mine = rows & (subject == int(part.client[client]))
            assert np.array_equal(part.x[part.rows(client)], x[mine].astype(np.float32))
            assert np.array_equal(known(part.y)[part.rows(client)], y[mine])


def test_pixels_and_transcripts(tmp_path: Path, out: Path) -> None:
    masks = np.array([[[0, 1], [-1, 2]], [[1, 1], [0, 0]]])
    np.savez(tmp_path / "pixels.npz", x=np.zeros((2, 2, 2), np.uint8), y=masks)
    facts: dict[str, Any] = {"x": "x", "label": "y", "task": "segmentation", "classes": 3}
    data = imported(Npz(**facts), out, tmp_path / "pixels.npz")
    assert (data.outputs, known(data.train.y).tolist()) == (3, [[0, 1, -1, 2], [1, 1, 0, 0]])
    few = refusal(Npz(**facts | {"classes": 2}), tmp_path / "few", tmp_path / "pixels.npz")
    assert "/y row 0: [0.0, 1.0, -1.0, 2.0]...; allowed: whole numbers below 2" in few

    np.savez(tmp_path / "said.npz", x=np.zeros((1, 5, 3), np.uint8), y=[[1, -1, 0]])
    facts = facts | {"task": "transcription"}
    assert "behind its end" in refusal(Npz(**facts), tmp_path / "gap", tmp_path / "said.npz")
    boxes = [[[0, 0.1, 0.2, 0.5, 1.0], [-1, 0, 0, 0, 0]]]
    np.savez(tmp_path / "boxes.npz", x=np.zeros((1, 4, 4), np.uint8), y=np.array(boxes))
    facts = facts | {"task": "detection", "classes": 1}
    (tmp_path / "of-boxes").mkdir()
    data = imported(Npz(**facts), tmp_path / "of-boxes", tmp_path / "boxes.npz")
    assert (data.outputs, known(data.train.y).shape) == (1, (1, 10))
    np.savez(tmp_path / "wide.npz", x=np.zeros((1, 4, 4), np.uint8), y=[[[0, 0.5, 0, 0.25, 1]]])
    wide = refusal(Npz(**facts), tmp_path / "wide", tmp_path / "wide.npz")
    assert "/y row 0: box [0.0, 0.5, 0.0, 0.25, 1.0]; allowed: a class from 0 to 0" in wide
    with pytest.raises(ValidationError, match="--classes, 2 or more, goes with segmentation"):
        Npz(**facts | {"classes": 0})
