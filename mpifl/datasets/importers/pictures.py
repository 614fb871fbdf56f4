"""Pictures of any file format that Pillow reads, as bytes."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError, counted

MOST_PIXELS = 1 << 26  # of a resized picture; about where Pillow assumes a decompression bomb
# Pillow's modes of more than 8 bits a channel (and I;16): a conversion to bytes would clip them
DEEP = ("I", "F")
DEEP_RAW = re.compile(r";16[LBN]")  # of colours, such as RGB;16B

SIZE_HELP = "HxW: resize each image to this height and width (bilinear); all need one size without"
GREY_HELP = "one channel: samples (height, width) instead of (3, height, width)"


def picture(
    source: Path | bytes,
    size: tuple[int, ...] | None,
    grey: bool,
    location: str,
    upright: bool = False,
) -> np.ndarray:
    """Return a picture as uint8: (height, width) if ``grey``, else (3, height, width), RGB.

    ``size`` (height, width) resizes it with bilinear filtering. Pillow converts colours to grey by
    ITU-R 601-2 luma. With ``upright`` it is turned as its EXIF data say. Raise InputError naming
    ``location``.
    """
    from PIL import Image, ImageOps  # loaded only for data sets of pictures

    try:
        with warnings.catch_warnings():
            # a small file that would fill the memory
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
                if _is_deep(opened):
                    raise ValueError(
                        f"mode {opened.mode}: more than 8 bits a channel; convert it to 8 bits"
                    )
                turned = ImageOps.exif_transpose(opened) if upright else opened
                image = turned.convert("L" if grey else "RGB")
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow's readers raise exceptions of any type
        reason = error or type(error).__name__
        raise InputError(f"{location}: not a picture that can be read ({reason})") from error

    pixels = np.asarray(image, np.uint8)
    return pixels if grey else pixels.transpose(2, 0, 1)


def _is_deep(opened: Any) -> bool:
    """Return whether an opened picture has more than 8 bits a channel in its file.

    Colours of 16 bits have a mode of 8 bits: only the decoder's arguments tell of them.
    """
    if opened.mode.split(";")[0] in DEEP:
        return True
    arguments = [
        tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in opened.tile
    ]
    raw_modes = [str(own[0]) for own in arguments if own]
    largest = [own[1] for own in arguments if opened.format == "PPM" and len(own) == 2]
    return any(DEEP_RAW.search(mode) for mode in raw_modes) or max([0, *largest]) > 255


def pictures(
    sources: list[Path | bytes],
    size: tuple[int, ...] | None,
    grey: bool,
    locations: list[str],
    upright: bool = False,
) -> np.ndarray:
    """Return pictures of one size (pictures, ...) uint8; see ``picture``.

    Raise InputError naming the first picture of another size.
    """
    arrays = [
        picture(source, size, grey, location, upright)
        for source, location in zip(sources, locations, strict=True)
    ]
    differing = next((k for k, array in enumerate(arrays) if array.shape != arrays[0].shape), None)
    if differing is not None:
        height, width = arrays[differing].shape[-2:]
        first = "x".join(map(str, arrays[0].shape[-2:]))
        raise InputError(
            f"{locations[differing]}: {height}x{width}; others have {first}:"
            " all need one size, or --size"
        )
    return np.stack(arrays)


def height_and_width(text: str, option: str) -> tuple[int, int] | None:
    """Return height and width of a text such as ``84x84``, or None if it is empty.

    Raise InputError naming the option.
    """
    if not text:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise InputError(
            f"{option}: {text!r}; allowed: HxW, height and width in pixels, such as 84x84"
        )
    height = int(match[1])
    width = int(match[2])
    if height * width > MOST_PIXELS:
        pixels = height * width
        raise InputError(
            f"{option}: {text!r}: {counted(pixels, 'pixel')}; allowed: at most {MOST_PIXELS:,}"
        )
    return height, width
