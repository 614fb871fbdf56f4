"""Folders of NIfTI files: volumes of magnetic resonance or computed tomography, or slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.optional import library
from mpifl.datasets.importers.volumes import EXTRA, Scan, Volumes
from mpifl.errors import InputError, counted
from mpifl.io.files import read_errors

ENDINGS = (".nii", ".nii.gz")
FROM_AXES: Mapping[str, tuple[int, int, int]] = {
    "axial": (2, 1, 0),
    "coronal": (1, 2, 0),
    "sagittal": (0, 2, 1),
}
"""Axes of a volume (right, anterior, superior) that are its depth, height and width."""


class Nifti(Volumes):
    """Folders of NIfTI files (.nii, .nii.gz), each a volume. Needs pip install 'mpifl[medical]'.

    Volumes are turned to the axes right, anterior, superior. A sample is (depth, height, width), or
    with --slices (height, width). Labels and clients stand in the paths, or in --table. With --task
    segmentation the classes of the voxels are files of the same path below --masks. Without a
    client all samples belong to one client "all", and a partitioner of the job distributes them.
    """

    task: Literal["classification", "regression", "segmentation"] = Field(
        "classification", description="predict a class, a number, or the class of each voxel"
    )
    plane: Literal["axial", "coronal", "sagittal"] = Field(
        "axial", description="the slices of a volume: its depth is across them"
    )
    masks: Path | None = Field(
        None, description="segmentation: folder with the masks, at the paths of their volumes"
    )
    classes: int = Field(0, ge=0, description="segmentation: number of classes of voxels")

    @model_validator(mode="after")
    def _masks_go_with_segmentation(self) -> Self:
        is_wanted = self.task == "segmentation"
        if (self.masks is not None) != is_wanted or (self.classes > 1) != is_wanted:
            raise ValueError("--masks and --classes, 2 or more, go with --task segmentation")
        return self

    @property
    def mask_classes(self) -> int:
        return self.classes

    def scans(self, roots: list[Path]) -> Iterator[Scan]:
        for root, below in files_below(roots, ENDINGS):
            yield Scan(below, (root / below,))

    def volume(self, scan: Scan) -> np.ndarray:
        values = self._read(scan.files[0])
        if not np.isfinite(values).all():
            raise InputError(f"{scan.location}: it has voxels that are not finite numbers")
        return values

    def mask(self, scan: Scan) -> np.ndarray | None:
        if self.masks is None:
            return None
        path = self.masks / scan.below
        if not path.is_file():
            raise InputError(f"{path}: no such file; it should be the mask of {scan.location}")
        values = self._read(path)
        if len(values) > 1 and not self.slices:
            raise InputError(
                f"{path}: {counted(len(values), 'slice')}; a segmentation needs --slices"
            )
        wrong = ~((values >= 0) & (values < self.classes) & (values == np.rint(values)))
        if wrong.any():
            raise InputError(
                f"{path}: {values[wrong][0]:g}; a mask has classes, 0 to {self.classes - 1}"
            )
        return values.astype(np.int64)

    def _read(self, path: Path) -> np.ndarray:
        """Return the volume of a file (depth, height, width) float32. Raise InputError."""
        nibabel = library("nibabel", EXTRA, path)
        with read_errors(path):
            image = nibabel.load(path)
            shape = image.shape
            while len(shape) > 3 and shape[-1] == 1:
                shape = shape[:-1]
            if not 2 <= len(shape) <= 3 or not all(shape):
                sides = "x".join(map(str, image.shape))
                raise InputError(f"{path}: {sides}: expected a volume of three axes")
            kind = image.get_data_dtype()
            if kind.kind not in "iuf":
                raise InputError(f"{path}: {kind}; volumes of single real numbers are read")
            values = image.get_fdata(dtype=np.float32).reshape((*shape, 1)[:3])
            volume = nibabel.Nifti1Image(values, image.affine)
            turned = nibabel.as_closest_canonical(volume).get_fdata(dtype=np.float32)
        return np.ascontiguousarray(turned.transpose(FROM_AXES[self.plane]))
