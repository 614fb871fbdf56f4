"""Arrays of numbers on their way into a data set: bytes where that is exact, channels first, scaled."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mpifl.datasets.importers.moments import Moments, Normalise, Scaling
from mpifl.errors import InputError

INT32 = np.iinfo(np.int32)
Floats = Literal["auto", "bytes", "float32"]


class Features:
    """Samples of one type, part by part and block by block.

    ``floats`` "auto": where all floats of the first block are a byte / 255, to a float32's last bit, they are stored as bytes
    and all others have to be so too. ``normalise`` None: "unit" for bytes, "none" for others.
    """

    def __init__(self, normalise: Normalise | None, floats: Floats = "float32") -> None:
        self._normalise, self._floats = normalise, floats
        self._moments: Moments | None = None
        self._kind = np.dtype(np.float32)

    def stored(self, part: str, x: np.ndarray, where: str) -> np.ndarray:
        """Numbers (samples, ...) as uint8, int32 or float32; pictures (samples, height, width, 3 or 1) with channels first.

        Raises InputError naming the sample that does not fit.
        """
        if x.dtype.kind not in "biuf" or x.ndim < 1:
            raise InputError(f"{where}: samples are {x.dtype} {x.shape}; expected numbers")
        found = self._typed(x[:, None] if x.ndim == 1 else x, where)
        if found.ndim == 4 and found.shape[3] in (1, 3) and found.dtype == np.uint8:
            found = np.ascontiguousarray(found.transpose(0, 3, 1, 2))
        self.learn(part, found)
        return found

    def learn(self, part: str, found: np.ndarray) -> None:
        """Take in what is stored; of samples with lengths of their own: all their rows."""
        self._kind = found.dtype
        if part == "train" and self._normalise == "standard":
            if self._moments is None:  # by channel, by feature; a grey picture has one mean
                self._moments = Moments(1 if found.ndim in (2, 4) else None)
            self._moments.add(found)

    @property
    def scaling(self) -> Scaling:
        """What makes features of what is stored. Raises InputError where "unit" is asked of what is no bytes."""
        normalise = self._normalise or ("unit" if self._kind == np.uint8 else "none")
        return (self._moments or Moments()).scaling(normalise, self._kind)

    def _typed(self, x: np.ndarray, where: str) -> np.ndarray:
        if x.dtype.kind == "b" or x.dtype == np.uint8:
            return x.astype(np.uint8)
        if x.dtype.kind in "iu":
            fits = (x >= INT32.min) & (x <= INT32.max)
            _check(fits, x, where, "32-bit integers")
            return x.astype(np.int32)
        with np.errstate(over="ignore"):
            single = x.astype(np.float32)
        _check(np.isfinite(single), x, where, "finite in float32")
        if self._floats != "float32":
            pixels = np.rint(np.clip(single, 0, 1) * 255).astype(np.uint8)
            back = np.divide(pixels, 255, dtype=np.float32)
            exact = np.abs(single - back) <= np.spacing(back)
            if self._floats == "auto":
                self._floats = "bytes" if exact.all() else "float32"
            if self._floats == "bytes":
                _check(exact, x, where, "a byte / 255, as those before; --features float32 keeps them all as floats")
                return pixels
        return single


def _check(fits: np.ndarray, x: np.ndarray, where: str, allowed: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits.reshape(len(fits), -1).all(axis=1)))
        raise InputError(f"{where}, sample {row}: {x[row][~fits[row]].flat[0]}; must be {allowed}")
