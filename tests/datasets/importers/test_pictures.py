"""Pictures as bytes."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpifl.datasets.importers.pictures import height_and_width, picture, pictures
from mpifl.errors import InputError

PIXELS = np.random.default_rng(0).integers(256, size=(4, 6, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "png") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_a_picture_has_its_channels_first(tmp_path: Path) -> None:
    raw = encoded(Image.fromarray(PIXELS))
    (tmp_path / "a.png").write_bytes(raw)
    for source in (raw, tmp_path / "a.png"):
        assert np.array_equal(picture(source, None, False, "here"), PIXELS.transpose(2, 0, 1))


def test_grey_is_luma() -> None:
    """ITU-R 601-2: 0.299 red + 0.587 green + 0.114 blue."""
    found = picture(encoded(Image.fromarray(PIXELS)), None, True, "here")
    assert np.abs(found - PIXELS @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_a_size_is_height_and_width() -> None:
    assert picture(encoded(Image.fromarray(PIXELS)), (2, 5), False, "here").shape == (3, 2, 5)
    assert height_and_width("84x60", "--size") == (84, 60)
    assert height_and_width("", "--size") is None
    for wrong in ("84", "0x1", "1x0", "-1x2", "1x2x3", "a", "1 x 2", "100000x1"):
        with pytest.raises(InputError, match=r"^--size: "):
            height_and_width(wrong, "--size")


def test_pictures_of_another_size_are_named() -> None:
    small = encoded(Image.fromarray(PIXELS[:2]))
    with pytest.raises(InputError, match=r"^b: 2x6; others have 4x6"):
        pictures([encoded(Image.fromarray(PIXELS)), small], None, False, ["a", "b"])
    assert pictures([encoded(Image.fromarray(PIXELS)), small], (2, 2), True, ["a", "b"]).shape == (
        2,
        2,
        2,
    )


def test_a_truncated_picture_is_refused_unless_all_of_its_pixels_are_there() -> None:
    raw = encoded(Image.fromarray(PIXELS))
    whole = 0
    for size in range(len(raw)):
        with contextlib.suppress(InputError):
            assert np.array_equal(
                picture(raw[:size], None, False, "here"), PIXELS.transpose(2, 0, 1)
            )
            whole += 1
    assert whole <= 20  # checksum and end of PNG come behind the pixels


def test_what_would_lose_or_flood_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = encoded(Image.fromarray(np.zeros((2, 2), np.uint16)))
    with pytest.raises(InputError, match="8 bits"):
        picture(deep, None, False, "here")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Pillow's own limit is 89 million
    with pytest.raises(InputError, match=r"^here"):
        picture(encoded(Image.fromarray(PIXELS)), None, False, "here")


def of_16_bits(kind: int, channels: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow reads but does not write: its chunks by hand."""
    rows = np.random.default_rng(1).integers(1 << 16, size=(4, 6 * channels)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(own)) + name + own + struct.pack(">I", zlib.crc32(name + own))
        for name, own in chunks
    )


def test_colours_of_16_bits_are_refused_as_greys_are() -> None:
    """Pillow takes the upper byte of each, and its mode is that of colours of 8 bits."""
    ppm = b"P6\n6 4\n65535\n" + bytes(6 * 4 * 3 * 2)
    for raw in (*(of_16_bits(*own) for own in ((0, 1), (2, 3), (4, 2), (6, 4))), ppm):
        with pytest.raises(InputError, match=r"^here: .* more than 8 bits a channel"):
            picture(raw, None, False, "here")
    for kind in ("png", "ppm", "tiff", "bmp", "webp"):
        picture(encoded(Image.fromarray(PIXELS), kind), None, False, "here")


def test_only_an_upright_picture_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees to the right
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "png", exif=exif)
    stored = PIXELS.transpose(2, 0, 1)
    assert np.array_equal(picture(file.getvalue(), None, False, "here"), stored)
    upright = picture(file.getvalue(), None, False, "here", upright=True)
    assert np.array_equal(upright, np.rot90(stored, -1, (1, 2)))
