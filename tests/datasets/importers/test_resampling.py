"""Volumes with other sides: torch's interpolation, and voxels nearest by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from mpifl.datasets.importers.resampling import evenly, nearest, resized, voxels
from mpifl.errors import InputError


@pytest.mark.parametrize("sides", [(5, 9), (12, 3), (4, 5, 9), (11, 12, 3), (6, 7, 8)])
def test_resized_is_torchs_along_each_axis(sides: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    found = resized(volume, sides)
    wanted = torch.from_numpy(volume)[None]
    wanted = interpolate(wanted, sides[-2:], mode="bilinear", antialias=True)[0]
    if len(sides) == 3:
        across = wanted.permute(1, 0, 2)[None]
        across = interpolate(across, (sides[0], sides[2]), mode="bilinear", antialias=True)[0]
        wanted = across.permute(1, 0, 2)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("sides", [(5, 9), (12, 3), (4, 5, 9)])
def test_nearest_is_torchs(sides: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).integers(0, 5, (6, 7, 8))
    whole = (*volume.shape[: 3 - len(sides)], *sides)
    wanted = interpolate(torch.from_numpy(volume)[None, None].double(), whole, mode="nearest-exact")
    assert np.array_equal(nearest(volume, sides), wanted[0, 0].numpy())


def test_slices_are_evenly_spread() -> None:
    assert evenly(1, 5).tolist() == [2]
    assert evenly(3, 9).tolist() == [1, 4, 7]
    assert evenly(4, 4).tolist() == [0, 1, 2, 3]


def test_sides() -> None:
    assert (voxels("", "--size"), voxels("4x5", "--size"), voxels("3x4x5", "--size")) == (
        (),
        (4, 5),
        (3, 4, 5),
    )
    for wrong in ("4", "4x5x6x7", "0x4", "4 x 5", "99999x99999"):
        with pytest.raises(InputError, match="--size"):
            voxels(wrong, "--size")
