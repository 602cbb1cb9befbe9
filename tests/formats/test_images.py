from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.errors import DataError
from facegen.formats.images import (
    crop_square,
    decode_image,
    encode_png,
    image_grid,
    read_png_text,
    resize_square,
    to_uint8,
    to_unit,
)

RED, BLUE = (200, 30, 40), (20, 40, 210)


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    colour = image.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def two_colors(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (8, 4), RED)
    image.paste(BLUE, (4, 0, 8, 4))
    return image.convert(mode)


def test_the_range_changes_once_each_way_without_loss() -> None:
    every_value = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    unit = to_unit(every_value)
    assert (unit.min(), unit.max()) == (-1, 1)
    assert torch.equal(to_uint8(unit), every_value)
    assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (saved(two_colors()), 0),
        (saved(two_colors("P")), 40),  # the palette is coarse
        (saved(two_colors("CMYK"), "JPEG", quality=100, subsampling=0), 8),
        (saved(two_colors("CMYK"), "TIFF"), 2),
        (saved(two_colors("RGBA")), 0),
        (saved(two_colors(), "WEBP", lossless=True), 0),
    ],
)
def test_every_colour_mode_becomes_the_same_rgb(data: bytes, tolerance: int) -> None:
    image = decode_image(data)
    assert image.mode == "RGB"
    assert np.abs(np.subtract(pixel(image, 0, 0), RED)).max() <= tolerance
    assert np.abs(np.subtract(pixel(image, 7, 3), BLUE)).max() <= tolerance


def test_grey_in_8_16_and_1_bit_is_scaled_to_rgb() -> None:
    assert decode_image(saved(Image.new("L", (2, 2), 77))).getpixel((0, 0)) == (77, 77, 77)
    deep = Image.fromarray(np.full((2, 2), 77 * 257, dtype=np.uint16))
    assert decode_image(saved(deep)).getpixel((0, 0)) == (77, 77, 77)
    assert decode_image(saved(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (2, 2), (*RED, 0))
    assert decode_image(saved(clear)).getpixel((0, 0)) == (255, 255, 255)
    half = Image.new("LA", (2, 2), (0, 128))
    assert abs(pixel(decode_image(saved(half)), 0, 0)[0] - 127) <= 1


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise
    image = decode_image(saved(two_colors(), "JPEG", quality=100, subsampling=0, exif=exif))
    assert image.size == (4, 8)
    assert np.abs(np.subtract(pixel(image, 1, 0), RED)).max() < 10
    assert np.abs(np.subtract(pixel(image, 1, 7), BLUE)).max() < 10


def png_bomb(width: int, height: int) -> bytes:
    """A PNG header that promises many pixels; nearly no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"just some text", "not an image"),
        (b"SIMPLE  =                    T" + b" " * 2850, "not an image"),  # FITS
        (saved(two_colors())[:60], "cannot be decoded"),
        (saved(two_colors(), "JPEG")[:300], "cannot be decoded"),
        (png_bomb(20_000, 20_000), "pixels"),
        (png_bomb(10_000, 9_000), "pixels"),
        (saved(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF"), "no known range"),
    ],
)
def test_what_is_no_image_is_told_and_not_decoded(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_image(data)


def test_crops_are_square_and_stay_inside() -> None:
    image = Image.new("RGB", (178, 218))
    image.paste("red", (0, 20, 178, 198))
    center = crop_square(image, (1.0, 0.5, 0.5))
    assert center.size == (178, 178)
    assert center.getcolors() == [(178 * 178, (255, 0, 0))]
    assert crop_square(image, (0.9, 0.5, 1.0)).size == (160, 160)
    with pytest.raises(DataError, match="not square: 178x218"):
        crop_square(image, None)


def test_reducing_averages_and_does_not_skip() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (64, 32)).reshape(64, 64))
    reduced = np.asarray(resize_square(stripes.convert("RGB"), 8))
    assert np.abs(reduced.astype(int) - 127).max() <= 8  # every second column alone would be 0 or 255


def test_png_text_round_trips_in_any_script(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    data = encode_png(image, {"prompt": "笑顔 é", "seed": "3"})
    (tmp_path / "a.png").write_bytes(data)
    assert read_png_text(tmp_path / "a.png") == {"prompt": "笑顔 é", "seed": "3"}
    assert np.array_equal(np.asarray(decode_image(data)), image.permute(1, 2, 0).numpy())
    with pytest.raises(DataError, match=r"missing.png"):
        read_png_text(tmp_path / "missing.png")


@pytest.mark.parametrize("size", [(10_000, 9_000), (20_000, 20_000)])
def test_the_text_of_a_decompression_bomb_is_not_read(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(*size))
    with pytest.raises(DataError, match=r"bomb\.png': more than 80,000,000 pixels"):
        read_png_text(tmp_path / "bomb.png")


def test_grids_hold_every_image_and_its_caption() -> None:
    images = torch.full((5, 3, 8, 8), 100, dtype=torch.uint8)
    plain = image_grid(images, columns=3)
    assert plain.size == (3 * 10 + 2, 2 * 10 + 2)
    assert sum(count for count, color in plain.getcolors() or () if color == (100, 100, 100)) == 5 * 64
    captioned = image_grid(images, columns=3, captions=["a"] * 5, scale=4)
    assert captioned.height > image_grid(images, columns=3, scale=4).height
