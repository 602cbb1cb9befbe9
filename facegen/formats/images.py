"""Pictures in and out: file bytes <-> RGB <-> uint8 (3, H, W) <-> floats in [-1, 1].

This is the only place where uint8 and [-1, 1] meet. torch is not imported here, so that a worker
process that only decodes and resizes starts quickly.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

from facegen.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 80_000_000
READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pnm"),
)
"""What files of these formats are usually called."""
_UNREAD = {  # first bytes of pictures that are told apart but not read, and what helps
    "HEIC": "HEIC is read with pip install 'facegen[heic]'",
    "JPEG XL": "JPEG XL is not read: convert it to PNG or JPEG",
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_XL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_WRONG_BYTES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    MemoryError,
)
_WARNINGS = threading.Lock()  # `catch_warnings` is process-wide
_RUN_LENGTHS = 3  # zlib's Z_RLE: for faces two to four times as fast as its default, and 0.4 to 2 % larger
_MOST_FRAMES = 16  # of an animation whose first frames are empty


def image_format(data: bytes) -> str | None:
    """The format by a file's first bytes: Pillow's name, "HEIC" or "JPEG XL"; None for no image."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and b"avif" not in data[8:64]:
        return "HEIC"
    if data.startswith(_JPEG_XL_STARTS):
        return "JPEG XL"
    Image.init()
    openers = ((name, Image.OPEN[name][1]) for name in READABLE_FORMATS if name in Image.OPEN)
    return next((name for name, accepts in openers if accepts and accepts(data[:16]) is True), None)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as its head says, without decoding it; None where that cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (*_WRONG_BYTES, Image.DecompressionBombError):
        return None


def decode_image(data: bytes) -> Image.Image:
    """Decode an image file's bytes to an upright RGB image; `read_image` says besides what was mended."""
    return read_image(data)[0]


def decode_square(data: bytes, size: int) -> np.ndarray:
    """A stored picture of `size` x `size` as uint8 (3, H, W); the usual PNG without what strange files need.

    Raises:
        DataError: as `decode_image`, or it has another size.
    """
    image = None
    if data[:8] == _PNG_START and data[16:24] == struct.pack(">II", size, size):
        try:
            found = Image.open(io.BytesIO(data), formats=("PNG",))
            found.load()
            image = found if found.mode == "RGB" and "transparency" not in found.info else None
        except _WRONG_BYTES:
            pass  # told below
    image = decode_image(data) if image is None else image
    if image.size != (size, size):
        raise DataError(f"{image.width}x{image.height} pixels, not {size}x{size}")
    return np.asarray(image).transpose(2, 0, 1)


def read_image(data: bytes) -> tuple[Image.Image, str]:
    """Decode an image file's bytes to an upright RGB image, and say what had to be mended ("" for nothing).

    EXIF rotation is applied, or ignored where it cannot be read; 16-bit is scaled to 8, as are 8 and 12 bits
    in a wider type; alpha is laid over white; CMYK, palette and grey become RGB; of an animation the first
    frame counts that shows anything. Size is checked before any pixel is decoded.

    Raises:
        DataError: empty, truncated, not an image of `READABLE_FORMATS`, or above `MAX_PIXELS`.
    """
    if not data:
        raise DataError("the file is empty")
    formats = READABLE_FORMATS
    found = image_format(data)
    if found == "HEIC" and _heic_is_read():
        formats = ("HEIF",)
    elif found in _UNREAD:
        raise DataError(_UNREAD[found])
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=formats)
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{image.width}x{image.height} is more than {MAX_PIXELS:,} pixels")
        image.load()
        mended = _seek_visible(image)
        upright, turned = _upright(image)
        rgb, scaled = _to_rgb(upright)
        return rgb, "; ".join(filter(None, (mended, turned, scaled)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"more than {MAX_PIXELS:,} pixels") from error
    except _WRONG_BYTES as error:
        raise DataError(_why(error)) from error


def _heic_is_read() -> bool:
    """Whether pillow-heif is there; it then reads HEIC as one more format of Pillow's."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType]
    return True


def _why(error: BaseException) -> str:
    text = str(error).split(" <_io")[0].split(" (")[0]
    if "cannot identify" in text:
        return f"not an image ({', '.join(READABLE_FORMATS)} are read)"
    return f"cannot be decoded: {text or type(error).__name__}"


def _seek_visible(image: Image.Image) -> str:
    """Go to the first frame that is not wholly transparent."""
    for frame in range(min(getattr(image, "n_frames", 1), _MOST_FRAMES)):
        image.seek(frame)
        if "A" not in image.getbands() and "transparency" not in image.info:
            return f"frame {frame + 1} taken: those before are empty" if frame else ""
        if image.convert("RGBA").getchannel("A").getextrema()[1] != 0:
            return f"frame {frame + 1} taken: those before are empty" if frame else ""
    image.seek(0)
    return ""


def _upright(image: Image.Image) -> tuple[Image.Image, str]:
    try:
        return ImageOps.exif_transpose(image), ""
    except Exception:  # whatever a broken tag raises, the pixels are whole
        return image, "EXIF cannot be read: ignored"


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    if image.mode.startswith("I"):  # 16-bit grey, or less in a wider type
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError("32-bit integer pixels have no known range")
        bits = next(bits for bits in (8, 12, 16) if values.max() < 1 << bits)
        grey = Image.fromarray((values >> (bits - 8)).astype(np.uint8)).convert("RGB")
        return grey, f"{bits} bits in a wider type: scaled to 8" if bits < 16 else ""
    if image.mode == "F":
        raise DataError("floating-point pixels have no known range")
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB"), ""
    return (image if image.mode == "RGB" else image.convert("RGB")), ""


def crop_square(image: Image.Image, box: tuple[float, float, float] | None) -> Image.Image:
    """Cut a square: its side as a share of the shorter side, centred on (x, y) as shares of width and height.

    The square is moved inside the image where it would reach over an edge. None keeps a square image.

    Raises:
        DataError: `box` is None and the image is not square.
    """
    if box is None:
        if image.width != image.height:
            raise DataError(f"not square: {image.width}x{image.height}, and no crop was asked for")
        return image
    left, top, side = square_in(image.size, box)
    return image.crop((left, top, left + side, top + side))


def square_in(size: tuple[int, int], box: tuple[float, float, float] | None) -> tuple[int, int, int]:
    """Left, top and side of what `crop_square` cuts of an image of that width and height, in pixels."""
    width, height = size
    share, x, y = box or (1.0, 0.5, 0.5)
    side = max(1, round(share * min(width, height)))
    left = min(max(0, round(x * width - side / 2)), width - side)
    top = min(max(0, round(y * height - side / 2)), height - side)
    return left, top, side


def resize_square(image: Image.Image, size: int) -> Image.Image:
    """Resize a square image to `size` x `size` with Lanczos, which averages when it reduces."""
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def to_unit(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """Floats around [-1, 1] -> uint8, clamped and rounded to the nearest; the inverse of `to_unit`."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).byte()


def to_pil(image: Tensor) -> Image.Image:
    """uint8 (3, H, W) -> RGB image."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())


def encode_png(image: Tensor, text: dict[str, str] | None = None) -> bytes:
    """uint8 (3, H, W) -> PNG bytes, with `text` as the file's text entries (any Unicode)."""
    return pil_to_png(to_pil(image), text)


def pil_to_png(image: Image.Image, text: dict[str, str] | None = None) -> bytes:
    """An RGB image -> PNG bytes, the same bytes every time."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info, compress_level=1, compress_type=_RUN_LENGTHS)
    return buffer.getvalue()


def read_png_text(path: Path) -> dict[str, str]:
    """Return the text entries of a PNG file, such as the settings `facegen sample` put there.

    Raises:
        DataError: the file is missing, not a PNG, or above `MAX_PIXELS`.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"'{path}': more than {MAX_PIXELS:,} pixels.")
            image.load()
            return {str(key): str(value) for key, value in image.info.items() if isinstance(value, str)}
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"'{path}': more than {MAX_PIXELS:,} pixels.") from error
    except _WRONG_BYTES as error:
        raise DataError(f"'{path}': {_why(error)}.") from error


def image_grid(
    images: Tensor,
    columns: int,
    captions: Sequence[str] | None = None,
    *,
    padding: int = 2,
    scale: int = 1,
) -> Image.Image:
    """Lay uint8 (N, 3, H, W) out in rows of `columns`, each `scale` times enlarged, captions below.

    A caption may hold line breaks; every row is as high as its longest caption needs. `captions` has
    one entry per image.
    """
    height, width = images.shape[-2] * scale, images.shape[-1] * scale
    columns = max(1, min(columns, len(images)))
    font = _caption_font()
    lines = [_wrapped(caption, font, width) if caption else [] for caption in captions or [""] * len(images)]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    row_heights = [height + 14 * max(len(lines[index]) for index in row) + padding for row in rows]
    size = (columns * (width + padding) + padding, sum(row_heights) + padding)
    grid = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(grid)
    top = padding
    for row, row_height in zip(rows, row_heights, strict=True):
        for column, index in enumerate(row):
            left = padding + column * (width + padding)
            tile = to_pil(images[index])
            grid.paste(
                tile.resize((width, height), Image.Resampling.NEAREST) if scale > 1 else tile, (left, top)
            )
            draw.multiline_text((left, top + height + 1), "\n".join(lines[index]), "black", font, spacing=2)
        top += row_height
    return grid


def _caption_font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: it is made for few pixels, and has the letters of most names."""
    found = find_spec("matplotlib")  # not imported: that takes 0.1 s
    assert found is not None
    assert found.origin is not None
    fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(fonts / "DejaVuSans.ttf", 10)


def _wrapped(caption: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in caption.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
