"""Folders of DICOM files that pydicom wrote, and one that comes with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.datasets.importers.dicom import Dicom
from tests.datasets.importers.importing import command, imported, labels_of, refusal, samples_of
from tests.known import known

pydicom: Any = pytest.importorskip("pydicom", reason="the extra medical is not installed")


def pixels(k: int, sides: tuple[int, ...] = (4, 5)) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 1000, sides).astype(np.uint16)


def save(path: Path, stored: np.ndarray, **elements: Any) -> Path:
    """Write an image of 12 bits a pixel; of three axes the first are its frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta[0x20002].value, meta[0x20003].value
    data.Rows, data.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        data.NumberOfFrames = len(stored)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.PixelData = stored.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, name in enumerate(("ill/a.dcm", "ill/b", "well/c.DCM", "well/d.dcm")):
        site = ("Oslo", "Rome")[k % 2]
        save(tmp_path / "scans" / name, pixels(k), PatientID=f"{site[0]}-{k}", InstitutionName=site)
    (tmp_path / "scans" / "ill" / "notes.txt").write_text("no image")
    (tmp_path / "scans" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return tmp_path / "scans"


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two volumes whose files' names are in another order than their slices."""
    for volume, label in enumerate(("ill", "well")):
        for name, place in zip("abc", (7.5, -2.5, 2.5), strict=True):
            save(
                tmp_path / "series" / label / "p1" / f"{name}.dcm",
                pixels(10 * volume + round(place)) if place > 0 else pixels(10 * volume),
                SeriesInstanceUID=f"1.2.{volume + 1}",
                ImagePositionPatient=[0, 0, place],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            )
    return tmp_path / "series"


def test_a_file_is_an_image_and_its_header_has_the_client(folder: Path, out: Path) -> None:
    found = imported(Dicom(client="InstitutionName", normalise="none"), out, folder)
    assert found.labels.tolist() == [b"ill", b"well"]
    assert (found.train.x.shape, found.train.x.dtype) == ((4, 4, 5), np.float32)
    assert np.array_equal(samples_of(found.train, "Oslo"), [pixels(0), pixels(2)])
    assert np.array_equal(samples_of(found.train, "Rome"), [pixels(1), pixels(3)])
    assert labels_of(found.train, "Rome") == [0, 1]

    by_part = Dicom(client="PatientID", client_pattern="^(?P<client>[A-Z])-", label="PatientID")
    again = imported(by_part, out, folder)
    assert again.train.client.tolist() == [b"O", b"R"]
    assert again.labels.tolist() == [b"O-0", b"O-2", b"R-1", b"R-3"]


def test_values_are_those_of_the_modality(tmp_path: Path, out: Path) -> None:
    save(tmp_path / "s" / "a" / "1.dcm", pixels(0), RescaleSlope="0.5", RescaleIntercept="-1024")
    white = {"PhotometricInterpretation": "MONOCHROME1"}
    save(tmp_path / "s" / "b" / "2.dcm", pixels(0), **white)
    signed = pixels(0).astype(np.int16) - 500
    save(tmp_path / "s" / "b" / "3.dcm", signed, PixelRepresentation=1, **white)
    found = imported(Dicom(normalise="none"), out, tmp_path / "s").train.x
    wanted = [pixels(0) * 0.5 - 1024, 4095 - pixels(0).astype(float), -1.0 - signed]
    assert np.array_equal(found, wanted)


def test_the_files_of_a_folder_are_a_volume_in_the_order_of_their_places(
    series: Path, out: Path
) -> None:
    found = imported(Dicom(series=True, normalise="none"), out, series)
    wanted = [[pixels(10 * v), pixels(10 * v + 2), pixels(10 * v + 8)] for v in (0, 1)]
    assert np.array_equal(found.train.x, wanted)
    assert known(found.train.y).tolist() == [0, 1]
    middle = imported(Dicom(series=True, slices=1, normalise="none"), out, series)
    assert np.array_equal(middle.train.x, [one[1] for one in wanted])
    small = imported(Dicom(series=True, size="2x3x4"), out, series)
    assert small.train.x.shape == (2, 2, 3, 4)


def test_slices_without_places_have_numbers(tmp_path: Path, out: Path) -> None:
    for label in ("ill", "well"):
        for name, number in zip("abc", (10, 9, 11), strict=True):
            save(tmp_path / "s" / label / f"{name}.dcm", pixels(number), InstanceNumber=str(number))
    importer = Dicom(series=True, label_pattern="(?P<label>.+)", normalise="none")
    found = imported(importer, out, tmp_path / "s")
    assert np.array_equal(found.train.x[0], [pixels(9), pixels(10), pixels(11)])

    (out / "imported.h5").unlink()
    save(tmp_path / "s" / "ill" / "d.dcm", pixels(1), InstanceNumber="9")
    assert "2 images or more at its place" in refusal(importer, out, tmp_path / "s")
    save(tmp_path / "s" / "ill" / "d.dcm", pixels(1))
    assert "without ImagePositionPatient" in refusal(importer, out, tmp_path / "s")


def test_frames_are_slices(tmp_path: Path, out: Path) -> None:
    for k, label in enumerate("ab"):
        save(tmp_path / "s" / label / "1.dcm", pixels(k, (6, 4, 5)))
    found = imported(Dicom(normalise="none"), out, tmp_path / "s")
    assert np.array_equal(found.train.x, [pixels(k, (6, 4, 5)) for k in (0, 1)])
    found = imported(Dicom(slices=2, normalise="none"), out, tmp_path / "s")
    assert np.array_equal(found.train.x[:2], pixels(0, (6, 4, 5))[[1, 4]])


def test_a_file_of_the_librarys(tmp_path: Path, out: Path) -> None:
    theirs = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    for label in "ab":
        (tmp_path / "s" / label).mkdir(parents=True)
        shutil.copy(theirs, tmp_path / "s" / label / "ct.dcm")
    found = imported(Dicom(client="PatientID", normalise="none"), out, tmp_path / "s")
    data = pydicom.dcmread(theirs)
    assert found.train.client.tolist() == [b"1CT1"]
    assert np.array_equal(found.train.x[0], data.pixel_array - 1024.0)  # Hounsfield units


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, out: Path) -> None:
    assert "no volumes for the train part" in refusal(Dicom(exclude="."), out, folder)
    assert "has no such element" in refusal(Dicom(client="PatientName"), out, folder)
    assert "has no such element" in refusal(Dicom(client="patient id"), out, folder)
    save(folder / "ill" / "e.dcm", pixels(0, (4, 6)))
    assert "4x6, the first is 4x5: all need one size" in refusal(Dicom(), out, folder)
    save(folder / "ill" / "e.dcm", pixels(0, (4, 15)), SamplesPerPixel=3, Columns=5)
    assert "colours (MONOCHROME2)" in refusal(Dicom(), out, folder)
    save(folder / "ill" / "e.dcm", pixels(0), Rows=9)
    assert "its pixels cannot be read" in refusal(Dicom(), out, folder)
    data = pydicom.dcmread(save(folder / "ill" / "e.dcm", pixels(0)))
    del data.PixelData
    data.save_as(folder / "ill" / "e.dcm")
    assert "no image in it (CT Image Storage); --exclude" in refusal(Dicom(), out, folder)
    (folder / "ill" / "e.dcm").write_bytes(b"nothing")
    assert "no DICOM file" in refusal(Dicom(), out, folder)
    save(folder / "ill" / "e.dcm", pixels(0))
    raw = (folder / "ill" / "e.dcm").read_bytes()
    (folder / "ill" / "e.dcm").write_bytes(raw[:-10])
    assert str(folder / "ill" / "e.dcm") in refusal(Dicom(), out, folder)


def test_a_series_is_of_one_size_and_name(series: Path, out: Path) -> None:
    places = {"ImagePositionPatient": [0, 0, 9], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    save(series / "ill" / "p1" / "d.dcm", pixels(0), SeriesInstanceUID="1.2.9", **places)
    assert "2 series; with --series a folder holds one" in refusal(Dicom(series=True), out, series)
    save(series / "ill" / "p1" / "d.dcm", pixels(0, (4, 6)), SeriesInstanceUID="1.2.1", **places)
    assert "images of several sizes" in refusal(Dicom(series=True), out, series)


def test_without_the_library_it_says_so(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "pip install 'mpifl[medical]'" in refusal(Dicom(), out, folder)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    arguments = ("dicom", str(folder), "--client", "InstitutionName", "--size", "8x8")
    status, said = command(tmp_path / "done", *arguments)
    assert (status, "train: 4 samples of 2 clients" in said) == (0, True), said


@pytest.mark.parametrize(
    ("position", "across"),
    [
        (None, [1, 0, 0, 0, 1, 0]),
        ([0, 0, 1], None),
        ([0, 0], [1, 0, 0, 0, 1, 0]),
        ([0, 0, 1], [1, 0, 0]),
    ],
)
def test_slices_whose_places_are_empty_or_short_are_in_the_order_of_their_numbers(
    tmp_path: Path, out: Path, position: Any, across: Any
) -> None:
    for label, name, number in (
        ("ill", "a", 2),
        ("ill", "b", 1),
        ("well", "a", 2),
        ("well", "b", 1),
    ):
        save(
            tmp_path / "s" / label / f"{name}.dcm",
            pixels(number),
            InstanceNumber=number,
            ImagePositionPatient=position,
            ImageOrientationPatient=across,
        )
    importer = Dicom(series=True, label_pattern="(?P<label>.+)", normalise="none")
    found = imported(importer, out, tmp_path / "s")
    assert np.array_equal(found.train.x[0], [pixels(1), pixels(2)])


def test_values_that_are_not_finite_are_refused(tmp_path: Path, out: Path) -> None:
    for label in ("ill", "well"):
        save(
            tmp_path / "s" / label / "a.dcm", pixels(1), RescaleSlope="1e300", RescaleIntercept="0"
        )
    assert "pixels that are not finite numbers" in refusal(Dicom(), out, tmp_path / "s")
