"""Features of an import: their stored type, channels first for pictures, and their scaling."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mpifl.datasets.importers.moments import Moments, Normalise, Scaling
from mpifl.errors import InputError

INT32 = np.iinfo(np.int32)
Floats = Literal["auto", "bytes", "float32"]


class Features:
    """Samples of one type, added part by part and block by block.

    ``floats`` "auto": if all floats of the first block are a byte / 255, to a float32's last bit,
    they are stored as bytes, and all later ones must be so too. ``normalise`` None is "unit" for
    bytes and "none" for other types.
    """

    def __init__(self, normalise: Normalise | None, floats: Floats = "float32") -> None:
        self._normalise = normalise
        self._floats = floats
        self._moments: Moments | None = None
        self._kind = np.dtype(np.float32)

    def stored(self, part: str, x: np.ndarray, location: str) -> np.ndarray:
        """Return numbers (samples, ...) as uint8, int32 or float32.

        Bytes (samples, height, width, 3 or 1) are pictures; they are returned with the channels
        first. Raise InputError naming the sample that does not fit.
        """
        if x.dtype.kind not in "biuf" or x.ndim < 1:
            raise InputError(f"{location}: samples are {x.dtype} {x.shape}; expected numbers")
        values = self._typed(x[:, None] if x.ndim == 1 else x, location)
        if values.ndim == 4 and values.shape[3] in (1, 3) and values.dtype == np.uint8:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        self.learn(part, values)
        return values

    def learn(self, part: str, values: np.ndarray) -> None:
        """Add stored values to the moments; of ragged samples, all their rows."""
        self._kind = values.dtype
        if part == "train" and self._normalise == "standard":
            if self._moments is None:  # by channel or by feature; a grey picture has one mean
                self._moments = Moments(1 if values.ndim in (2, 4) else None)
            self._moments.add(values)

    @property
    def scaling(self) -> Scaling:
        """Scale and shift of the stored values. Raise InputError for "unit" without bytes."""
        normalise = self._normalise or ("unit" if self._kind == np.uint8 else "none")
        return (self._moments or Moments()).scaling(normalise, self._kind)

    def _typed(self, x: np.ndarray, location: str) -> np.ndarray:
        if x.dtype.kind == "b" or x.dtype == np.uint8:
            return x.astype(np.uint8)
        if x.dtype.kind in "iu":
            fits = (x >= INT32.min) & (x <= INT32.max)
            _check(fits, x, location, "32-bit integers")
            return x.astype(np.int32)

        with np.errstate(over="ignore"):
            single = x.astype(np.float32)
        _check(np.isfinite(single), x, location, "finite in float32")
        if self._floats != "float32":
            pixels = np.rint(np.clip(single, 0, 1) * 255).astype(np.uint8)
            back = np.divide(pixels, 255, dtype=np.float32)
            exact = np.abs(single - back) <= np.spacing(back)
            if self._floats == "auto":
                self._floats = "bytes" if exact.all() else "float32"
            if self._floats == "bytes":
                allowed = "a byte / 255, as those before; --features float32 keeps all as floats"
                _check(exact, x, location, allowed)
                return pixels
        return single


def _check(fits: np.ndarray, x: np.ndarray, location: str, allowed: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits.reshape(len(fits), -1).all(axis=1)))
        raise InputError(
            f"{location}, sample {row}: {x[row][~fits[row]].flat[0]}; must be {allowed}"
        )
