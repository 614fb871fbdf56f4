"""Pictures of any file format that Pillow reads, as bytes."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np

from mpifl.errors import InputError

MOST_PIXELS = 1 << 26  # of a resized picture; about what Pillow takes for a bomb
DEEP = ("I", "F")  # Pillow's modes of more than 8 bits a channel (and I;16): turned into bytes they would be cut off


def picture(source: Path | bytes, size: tuple[int, ...] | None, grey: bool, where: str) -> np.ndarray:
    """A picture as uint8: (height, width) where ``grey``, else (3, height, width), red, green and blue.

    ``size`` (height, width) resizes it with bilinear filtering; Pillow turns colours into grey by ITU-R 601-2 luma. Raises
    InputError naming ``where``.
    """
    from PIL import Image  # loaded for those alone who have pictures

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file that would fill the memory
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as found:
                if found.mode.split(";")[0] in DEEP:
                    raise ValueError(f"mode {found.mode}: more than 8 bits a channel; turn it into 8 bits first")
                image = found.convert("L" if grey else "RGB")
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow's readers raise anything
        raise InputError(f"{where}: not a picture that can be read ({error or type(error).__name__})") from error
    pixels = np.asarray(image, np.uint8)
    return pixels if grey else pixels.transpose(2, 0, 1)


def pictures(sources: list[Path | bytes], size: tuple[int, ...] | None, grey: bool, wheres: list[str]) -> np.ndarray:
    """Pictures of one size (pictures, ...) uint8; see ``picture``. Raises InputError naming one that differs."""
    found = [picture(source, size, grey, where) for source, where in zip(sources, wheres, strict=True)]
    other = next((k for k, one in enumerate(found) if one.shape != found[0].shape), None)
    if other is not None:
        height, width = found[other].shape[-2:]
        first = "x".join(map(str, found[0].shape[-2:]))
        raise InputError(f"{wheres[other]}: {height}x{width}; others have {first}: all need one size, or --size")
    return np.stack(found)


def height_and_width(text: str, option: str) -> tuple[int, int] | None:
    """``84x84``, or None for no text. Raises InputError naming the option."""
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if found is None:
        raise InputError(f"{option}: {text!r}; allowed: HxW, height and width in pixels, such as 84x84")
    height, width = int(found[1]), int(found[2])
    if height * width > MOST_PIXELS:
        raise InputError(f"{option}: {text!r}: {height * width:,} pixels; allowed: at most {MOST_PIXELS:,}")
    return height, width
