"""Volumes (depth, height, width) as samples: slices of them, and other numbers of voxels."""

from __future__ import annotations

import re

import numpy as np

from mpifl.errors import InputError, counted

MOST_VOXELS = 1 << 28
SIZE_HELP = (
    "HxW: resize each slice to this height and width (bilinear); DxHxW: volumes, their depth too;"
    " all need one size without"
)


def voxels(text: str, option: str) -> tuple[int, ...]:
    """Return the sides of a text such as ``64x64`` or ``32x64x64``; none if it is empty.

    Raise InputError naming the option.
    """
    if not text:
        return ()
    if re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4}){1,2}", text) is None:
        raise InputError(
            f"{option}: {text!r}; allowed: HxW or DxHxW in voxels, such as 64x64 or 32x64x64"
        )
    sides = tuple(map(int, text.split("x")))
    if int(np.prod(sides)) > MOST_VOXELS:
        raise InputError(
            f"{option}: {text!r}: {counted(int(np.prod(sides)), 'voxel')}; allowed: at most"
            f" {MOST_VOXELS:,}"
        )
    return sides


def evenly(count: int, of: int) -> np.ndarray:
    """Return the middles (count,) int64 of ``count`` equal pieces of the indices below ``of``."""
    return (2 * np.arange(count) + 1) * of // (2 * count)


def resized(volume: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Return a volume float32 (depth, height, width) with other sides.

    Two sides leave the depth as it is. Straight lines between the middles of voxels, and weighted
    means where there are fewer than before (Pillow's bilinear), one axis after the other.
    """
    height, width = sides[-2:]
    if volume.shape[1:] != (height, width):
        volume = np.stack([_resized(image, height, width) for image in volume])
    if len(sides) == 3 and len(volume) != sides[0]:
        # a column of an image that is as high as the volume is deep is a voxel's depths
        volume = np.stack([_resized(plane, sides[0], width) for plane in volume.swapaxes(0, 1)], 1)
    return volume


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image  # loaded only where something is resized

    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def nearest(volume: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Return a volume (depth, height, width) with other sides, of the voxels nearest by."""
    wanted = [*volume.shape[: 3 - len(sides)], *sides]
    places = zip(wanted, volume.shape, strict=True)
    return volume[np.ix_(*[evenly(count, of) for count, of in places])]
