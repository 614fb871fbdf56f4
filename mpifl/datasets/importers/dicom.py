"""Folders of DICOM files: images of any modality, or series of them that are volumes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.optional import library
from mpifl.datasets.importers.volumes import EXTRA, Scan, Volumes
from mpifl.errors import InputError, counted
from mpifl.io.files import read_errors

ENDINGS = (".dcm", ".dicom")
MAGIC = (128, b"DICM")
DIRECTORY = "DICOMDIR"


class Dicom(Volumes):
    """Folders of DICOM files, each an image or frames. Needs pip install 'mpifl[medical]'.

    With --series the files of a folder are the slices of one volume, in the order of their places.
    A sample is (height, width), or of a volume (depth, height, width). Values are those of the
    modality, such as Hounsfield units; colours are refused. Labels and clients stand in the paths,
    in --table, or without one in the files' headers. Without a client all samples belong to one
    client "all", and a partitioner of the job distributes them. Other files are skipped.
    """

    task: Literal["classification", "regression"] = Field(
        "classification", description="predict a class, or a number"
    )
    label: str = Field(
        "",
        description="instead of the path: column of --table with the label; without a table name of"
        " an element of the header",
    )
    client: str = Field(
        "",
        description="column of --table with the client; without a table name of an element of the"
        " header, such as PatientID or InstitutionName",
    )
    series: bool = Field(False, description="the files of a folder are one volume")

    def scans(self, roots: list[Path]) -> Iterator[Scan]:
        files = (
            (root / below, below)
            for root, below in files_below(roots, ("",))
            if _is_dicom(root / below)
        )
        if not self.series:
            yield from (Scan(below, (path,)) for path, below in files)
            return
        for _, group in itertools.groupby(files, lambda file: file[0].parent):
            run = list(group)
            yield Scan(str(Path(run[0][1]).parent), tuple(path for path, _ in run))

    def volume(self, scan: Scan) -> np.ndarray:
        if not self.series:
            return _frames(scan.files[0])
        headers = [_header(path) for path in scan.files]
        names = {str(header.get("SeriesInstanceUID", "")) for header in headers}
        if len(names) > 1:
            raise InputError(
                f"{scan.files[0].parent}: {len(names)} series; with --series a folder holds one"
            )
        images = [_frames(scan.files[k]) for k in _order(scan.files, headers)]
        if len({image.shape[1:] for image in images}) > 1:
            raise InputError(f"{scan.files[0].parent}: images of several sizes; a series has one")
        return np.concatenate(images)

    def header(self, scan: Scan, name: str, option: str) -> str:
        header = _header(scan.files[0])
        value = header.get(name) if _is_keyword(name) else None
        if value is None or not str(value).strip():
            raise InputError(
                f"{option}: {name!r}: {scan.location} has no such element in its header"
            )
        return str(value).strip()


def _is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM. Raise InputError where its name alone says so."""
    if path.name == DIRECTORY:
        return False
    place, magic = MAGIC
    with read_errors(path), open(path, "rb") as file:
        is_there = file.read(place + len(magic))[place:] == magic
    if not is_there and path.name.lower().endswith(ENDINGS):
        raise InputError(f"{path}: no DICOM file: bytes 128 to 131 are not DICM")
    return is_there


def _is_keyword(name: str) -> bool:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(name) is not None


def _header(path: Path) -> Any:
    """Return what a file says but its pixels."""
    with read_errors(path):
        return library("pydicom", EXTRA, path).dcmread(path, stop_before_pixels=True)


def _frames(path: Path) -> np.ndarray:
    """Return the frames of a file (frames, height, width) float32, in the modality's values."""
    pydicom = library("pydicom", EXTRA, path)
    with read_errors(path):
        data = pydicom.dcmread(path)
    if "PixelData" not in data:
        kind = getattr(data.file_meta.get("MediaStorageSOPClassUID"), "name", "unknown")
        raise InputError(f"{path}: no image in it ({kind}); --exclude leaves files out")
    if data.get("SamplesPerPixel", 1) != 1:
        colours = data.get("PhotometricInterpretation")
        raise InputError(f"{path}: colours ({colours}); images of one value a pixel are read")
    try:
        stored = data.pixel_array
    except Exception as error:  # its decoders raise exceptions of any type, in several lines
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: its pixels cannot be read ({reason})") from error
    if data.get("PhotometricInterpretation") == "MONOCHROME1":  # the least value is white
        stored = _sum_of_ends(data) - stored.astype(np.int64)
    with read_errors(path), np.errstate(over="ignore"):
        values = np.asarray(pydicom.pixels.apply_modality_lut(stored, data), np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: it has pixels that are not finite numbers")
    return values.reshape(-1, *values.shape[-2:])


def _sum_of_ends(data: Any) -> int:
    """Return the sum of the least and the largest value that a pixel can have."""
    return -1 if data.PixelRepresentation else (1 << data.BitsStored) - 1


def _order(files: tuple[Path, ...], headers: list[Any]) -> list[int]:
    """Return the slices in the order of their places across their plane; else of their numbers.

    Raise InputError for a slice that has neither, and two at one place.
    """
    folder = files[0].parent
    positions = [_numbers(h, "ImagePositionPatient", 3) for h in headers]
    across = [_numbers(h, "ImageOrientationPatient", 6) for h in headers]
    if all(map(len, (*positions, *across))):
        normal = np.cross(*across[0].reshape(2, 3))
        places = [float(position @ normal) for position in positions]
    elif all(h.get("InstanceNumber") is not None for h in headers):
        places = [float(h.InstanceNumber) for h in headers]
    else:
        raise InputError(f"{folder}: files without ImagePositionPatient and InstanceNumber")
    order = sorted(range(len(files)), key=places.__getitem__)
    if len(set(places)) < len(places):
        double = next(a for a, b in itertools.pairwise(order) if places[a] == places[b])
        raise InputError(
            f"{files[double]}: {counted(2, 'image')} or more at its place; a series has one"
        )
    return order


def _numbers(header: Any, name: str, count: int) -> np.ndarray:
    """Return an element of ``count`` finite numbers; (0,) where a header has others, or none."""
    value = header.get(name)
    if value is None or np.size(value) != count:
        return np.empty(0)
    numbers = np.array(value, float)
    return numbers if np.isfinite(numbers).all() else np.empty(0)
