"""Frames as animated GIF, PNG, WebP and MP4, with every frame kept and every duration as given.

Pillow's own writers merge frames that look alike, which changes their number; so the frames are compressed
by Pillow, and put together here after the formats' specifications: GIF89a, PNG 3rd edition (W3C 2025), and
the WebP container (RFC 9649).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image
from PIL.PngImagePlugin import getchunks, putchunk

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256  # of a GIF's palette
QUALITY = "14"  # constant rate factor of H.264; 18 is called visually lossless


def gif_bytes(frames: np.ndarray, centiseconds: Sequence[int]) -> bytes:
    """Frames uint8 (F, H, W, 3), each with the 256 colours that suit it best, dithered; endless."""
    height, width = frames.shape[1:3]
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0, 0, 0)]
    parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # repeat without end
    for frame, delay in zip(frames, centiseconds, strict=True):
        parts.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1 << 2, delay, 0, 0))  # 1: leave it in place
        parts += GifImagePlugin.getdata(quantised(frame), include_color_table=True)
    return b"".join([*parts, b";"])


def quantised(frame: np.ndarray) -> Image.Image:
    """A picture of at most 256 colours of uint8 (H, W, 3): exact where it has no more."""
    colours, numbers = np.unique(frame.reshape(-1, 3), axis=0, return_inverse=True)
    image = Image.fromarray(frame)
    if len(colours) > COLOURS:
        palette = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=3)
        return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    exact = Image.fromarray(numbers.reshape(frame.shape[:2]).astype(np.uint8))
    exact.putpalette(colours.astype(np.uint8).tobytes())
    return exact


def apng_bytes(frames: np.ndarray, milliseconds: Sequence[int]) -> bytes:
    """Frames uint8 (F, H, W, 3) as a lossless animated PNG, repeated without end."""
    height, width = frames.shape[1:3]
    stream = io.BytesIO()
    stream.write(PNG_SIGNATURE)
    putchunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    putchunk(stream, b"acTL", struct.pack(">II", len(frames), 0))
    sequence = count()
    for number, (frame, delay) in enumerate(zip(frames, milliseconds, strict=True)):
        control = struct.pack(">IIIIIHHBB", next(sequence), width, height, 0, 0, delay, 1000, 0, 0)
        putchunk(stream, b"fcTL", control)
        for name, data, _ in getchunks(Image.fromarray(frame), optimize=True):
            if name == b"IDAT" and number == 0:
                putchunk(stream, b"IDAT", data)
            elif name == b"IDAT":
                putchunk(stream, b"fdAT", struct.pack(">I", next(sequence)), data)
    putchunk(stream, b"IEND")
    return stream.getvalue()


def webp_bytes(frames: np.ndarray, milliseconds: Sequence[int]) -> bytes:
    """Frames uint8 (F, H, W, 3) as a lossless animated WebP, repeated without end."""
    height, width = frames.shape[1:3]
    size = _uint24(width - 1) + _uint24(height - 1)
    parts = [_riff_chunk(b"VP8X", b"\x02\x00\x00\x00" + size), _riff_chunk(b"ANIM", bytes(6))]
    for frame, delay in zip(frames, milliseconds, strict=True):
        header = bytes(6) + size + _uint24(delay) + b"\x02"  # 2: replaces what was there
        still = io.BytesIO()
        Image.fromarray(frame).save(still, "WEBP", lossless=True, quality=80, method=4, exact=True)
        parts.append(_riff_chunk(b"ANMF", header + still.getvalue()[12:]))  # without its own RIFF header
    return _riff_chunk(b"RIFF", b"WEBP" + b"".join(parts))


def mp4_bytes(frames: np.ndarray, fps: Fraction) -> bytes:
    """Frames uint8 (F, H, W, 3) at a constant rate as H.264 in colours that every player knows (4:2:0).

    Odd widths and heights, which that has not, get their last column or row twice.
    """
    import av

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video: Any = container.add_stream("libx264", rate=fps, options={"crf": QUALITY, "threads": "1"})
        video.height, video.width = even.shape[1:3]
        video.pix_fmt = "yuv420p"
        for frame in even:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()


def _riff_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\x00" * (len(data) % 2)


def _uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")
