"""Folders of NIfTI files that nibabel wrote."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mpifl.datasets.importers.nifti import Nifti
from tests.datasets.importers.importing import command, imported, labels_of, refusal, samples_of
from tests.known import known

nibabel: Any = pytest.importorskip("nibabel", reason="the extra medical is not installed")

FILES = ("old/oslo_1.nii.gz", "old/rome_7.nii", "young/oslo_2.nii.gz", "young/rome_3.nii")


def volume(k: int, sides: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    """Volume k (right, anterior, superior): no two are alike."""
    return np.random.default_rng(k).normal(3, 2, sides).astype(np.float32)


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, below in enumerate(FILES):
        save(tmp_path / "scans" / below, volume(k))
    (tmp_path / "scans" / "README.md").write_text("no volume")
    return tmp_path / "scans"


def test_a_file_is_a_volume(folder: Path, out: Path) -> None:
    importer = Nifti(client_pattern="/(?P<client>[a-z]+)_", normalise="none")
    found = imported(importer, out, folder)
    assert found.labels.tolist() == [b"old", b"young"]
    assert (found.train.x.shape, found.train.x.dtype) == ((4, 6, 5, 4), np.float32)
    assert np.array_equal(samples_of(found.train, "oslo"), [volume(k).T for k in (0, 2)])
    assert np.array_equal(samples_of(found.train, "rome"), [volume(k).T for k in (1, 3)])
    assert labels_of(found.train, "rome") == [0, 1]


def test_slices_of_a_plane(folder: Path, out: Path) -> None:
    planes = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
    for plane, axes in planes.items():
        importer = Nifti(slices=2, plane=plane, normalise="none")
        found = imported(importer, out, folder)
        wanted = [volume(k).transpose(axes) for k in range(4)]
        deep = wanted[0].shape[0]
        assert np.array_equal(
            found.train.x, [one[d] for one in wanted for d in (deep // 4, deep * 3 // 4)]
        )
        assert known(found.train.y).tolist() == [0] * 4 + [1] * 4


def test_the_axes_are_those_of_the_patient(tmp_path: Path, out: Path) -> None:
    """However the voxels lie in the file, by its affine it is the same volume."""
    values = volume(0)
    for k, (order, signs) in enumerate(
        itertools.product([(0, 1, 2), (2, 0, 1), (1, 2, 0)], [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
    ):
        stored = values.transpose(order)
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for axis, (patient, sign) in enumerate(zip(order, signs, strict=True)):
            affine[patient, axis] = sign * 1.5
            stored = np.flip(stored, axis) if sign < 0 else stored
        save(tmp_path / "turned" / "ab"[k % 2] / f"{k}.nii", stored, affine)
    found = imported(Nifti(normalise="none"), out, tmp_path / "turned")
    assert np.array_equal(found.train.x, [values.T] * 9)


def test_scaled_integers_and_axes_of_one_voxel(tmp_path: Path, out: Path) -> None:
    values = np.arange(120, dtype=np.int16).reshape(4, 5, 6, 1)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    save(tmp_path / "s" / "b" / "1.nii", volume(0, (4, 5, 6)))
    (tmp_path / "s" / "a").mkdir()
    nibabel.save(image, tmp_path / "s" / "a" / "1.nii.gz")
    theirs = nibabel.load(tmp_path / "s" / "a" / "1.nii.gz").get_fdata()[..., 0]
    found = imported(Nifti(normalise="none"), out, tmp_path / "s")
    np.testing.assert_allclose(found.train.x[0], theirs.T, rtol=1e-6)
    for label in "ab":
        save(tmp_path / "flat" / label / "1.nii", volume(0, (4, 5)))
    found = imported(Nifti(normalise="none"), out, tmp_path / "flat")
    assert np.array_equal(found.train.x[0], volume(0, (4, 5)).T)


def test_sizes_limits_and_means(folder: Path, out: Path) -> None:
    save(folder / "old" / "wide.nii", volume(9, (8, 9, 7)))
    found = imported(Nifti(size="3x4x5", normalise="none"), out, folder)
    assert found.train.x.shape == (5, 3, 4, 5)
    assert imported(Nifti(slices=3, size="4x5"), out, folder).train.x.shape == (15, 4, 5)
    clipped = imported(Nifti(size="6x5x4", clip="2,4", normalise="none"), out, folder).train.x
    assert (clipped.min(), clipped.max()) == (2, 4)
    assert np.array_equal(clipped[0], volume(0).T.clip(2, 4))
    each = imported(Nifti(size="6x5x4", normalise="volume"), out, folder)
    np.testing.assert_allclose(each.train.x[0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(each.train.x[0].std(), 1, atol=1e-6)
    assert each.feature_scale == 1
    all_ = imported(Nifti(size="6x5x4"), out, folder)
    scaled = all_.train.x.astype(float) * all_.feature_scale + all_.feature_shift
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-6)


def test_a_table_has_labels_and_clients(folder: Path, out: Path) -> None:
    table = folder.parent / "participants.tsv"
    rows = [("1", "a-01", "31.5"), ("2", "b-01", "40"), ("3", "a-02", "22"), ("7", "b-02", "9")]
    table.write_text("id\tsite\tage\n" + "".join("\t".join(row) + "\n" for row in rows))
    importer = Nifti(
        table=table,
        key_pattern=r"_(?P<key>\d)\.",
        label="age",
        client="site",
        client_pattern="^(?P<client>[ab])-",
        task="regression",
        test_pattern="_7",
        normalise="none",
    )
    found = imported(importer, out, folder)
    assert found.train.client.tolist() == [b"a", b"b"]
    assert known(found.train.y).tolist() == [[31.5], [22], [40]]
    assert [c.decode() for c in found.test.client] == ["b"]
    assert known(found.test.y).tolist() == [[9]]
    assert (found.task, found.outputs) == ("regression", 1)


def test_masks_are_sliced_and_resized_with_their_volumes(folder: Path, out: Path) -> None:
    masks = folder.parent / "masks"
    for k, below in enumerate(FILES):
        save(masks / below, (volume(k) > 3).astype(np.uint8))
    importer = Nifti(task="segmentation", masks=masks, classes=2, slices=2, normalise="none")
    found = imported(importer, out, folder)
    assert np.array_equal(known(found.train.y), (found.train.x > 3).reshape(8, -1))
    assert (found.task, found.outputs) == ("segmentation", 2)
    half = importer.model_copy(update={"size": "10x8"})
    twice = known(imported(half, out, folder).train.y).reshape(8, 10, 8)
    assert np.array_equal(twice[:, ::2, ::2].reshape(8, -1), known(found.train.y))

    (out / "imported.h5").unlink()

    save(masks / FILES[0], np.zeros((4, 5, 7), np.uint8))
    assert "its mask is 7x5x4, the volume 6x5x4" in refusal(importer, out, folder)
    save(masks / FILES[0], np.full((4, 5, 6), 2, np.uint8))
    assert "2; a mask has classes, 0 to 1" in refusal(importer, out, folder)
    (masks / FILES[0]).unlink()
    assert "no such file; it should be the mask of" in refusal(importer, out, folder)


def test_values_that_are_no_single_real_numbers_are_refused(tmp_path: Path, out: Path) -> None:
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for values in (volume(0).astype(np.complex64), colours):
        for label in "ab":
            save(tmp_path / "scans" / label / "0.nii", values)
        assert "volumes of single real numbers are read" in refusal(
            Nifti(), out, tmp_path / "scans"
        )


def test_a_segmentation_is_of_slices(tmp_path: Path, out: Path) -> None:
    for part in ("scans", "masks"):
        save(tmp_path / part / "0.nii", np.zeros((4, 5, 6), np.int16))
    importer = Nifti(task="segmentation", masks=tmp_path / "masks", classes=2)
    assert "6 slices; a segmentation needs --slices" in refusal(importer, out, tmp_path / "scans")


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, out: Path) -> None:
    assert refusal(Nifti(), out, tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"
    assert "no volumes for the train part" in refusal(Nifti(exclude="nii"), out, folder)
    assert "is found in no path" in refusal(Nifti(test_pattern="eve"), out, folder)
    assert "not together with --test" in refusal(Nifti(test_pattern="x"), out, folder, test=folder)
    assert "it needs --table" in refusal(Nifti(client="site"), out, folder)
    assert "--slices: 9:" in refusal(Nifti(slices=9), out, folder)
    assert "slices have two sides" in refusal(Nifti(slices=1, size="2x3x4"), out, folder)
    for clip in ("3", "4,3", "a,b", "nan,4"):
        assert "two numbers" in refusal(Nifti(clip=clip), out, folder)
    assert "a regression needs numbers" in refusal(Nifti(task="regression"), out, folder)
    assert "not together with --label" in refusal(
        Nifti(label="a", label_pattern="(?P<label>x)"), out, folder
    )

    table = folder.parent / "t.csv"
    for text, said in (
        ("", "no rows"),
        ("file,site\nold/oslo_1.nii.gz\n", "line 2: 1 column; the header has 2"),
        ("file,site\na,1\na,2\n", "line 3: file 'a' is there already"),
        ("file,site\nold/x,1\n", "has no row whose file is 'old/oslo_1.nii.gz'"),
        ("file,site\nold/oslo_1.nii.gz, \n", "line 2: no site"),
        ("file,place\nold/oslo_1.nii.gz,1\n", "has no such column; it has file, place"),
    ):
        table.write_text(text)
        assert said in refusal(Nifti(table=table, client="site"), out, folder)
    assert "--key: 'x'" in refusal(Nifti(table=table, client="site", key="x"), out, folder)

    save(folder / "old" / "z.nii", volume(3, (4, 5, 7)))
    assert "7x5x4, the first is 6x5x4: all need one size" in refusal(Nifti(), out, folder)
    save(folder / "old" / "a.nii", volume(3, (4, 5, 6, 2)))
    assert "4x5x6x2: expected a volume of three axes" in refusal(Nifti(), out, folder)
    save(folder / "old" / "a.nii", np.full((4, 5, 6), np.nan, np.float32))
    assert "voxels that are not finite" in refusal(Nifti(), out, folder)
    raw = (folder / FILES[0]).read_bytes()
    (folder / "old" / "a.nii").unlink()
    (folder / FILES[0]).write_bytes(raw[: len(raw) // 2])
    assert refusal(Nifti(), out, folder).startswith(f"{folder / FILES[0]}: not readable")
    (folder / FILES[0]).write_bytes(b"nothing")
    assert refusal(Nifti(), out, folder).startswith(f"{folder / FILES[0]}: not readable")


def test_without_the_library_it_says_so(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert "pip install 'mpifl[medical]'" in refusal(Nifti(), out, folder)


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "segmentation"},
        {"masks": "x"},
        {"classes": 3},
        {"task": "segmentation", "masks": "x"},
        {"key_pattern": "x"},
        {"plane": "oblique"},
        {"exclude": "("},
    ],
)
def test_options_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Nifti(**wrong)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    arguments = ("nifti", str(folder), "--slices", "2", "--size", "8x8")
    status, said = command(tmp_path / "done", *arguments)
    assert (status, "train: 8 samples of 1 client" in said) == (0, True), said
