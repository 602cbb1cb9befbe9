"""The studio's HTML: pictures, what was understood, messages. Everything from outside is escaped here."""

from __future__ import annotations

import base64
import io
from html import escape

from torch import Tensor

from facegen.formats.images import encode_png, to_pil
from facegen.studio.drawing import Drawn, Preview
from facegen.types import PromptReading

SMALL_PIXELS = 128  # up to here previews are PNG: tiny, and JPEG's blocks would show


def picture_grid(drawing: Preview | Drawn) -> str:
    """The pictures; finished ones with a link that downloads exactly the PNG with its settings."""
    if isinstance(drawing, Drawn):
        cells = [
            _figure(_data_url(picture.png), picture.caption, _download(picture.name, picture.png))
            for picture in drawing.pictures
        ]
    else:
        cells = [
            _figure(_preview_url(image), caption, "")
            for image, caption in zip(drawing.images, drawing.captions, strict=True)
        ]
    kind = "pairs" if drawing.columns or len(cells) == 4 else ("few" if len(cells) < 4 else "many")
    return f'<div class="pictures {kind}">{"".join(cells)}</div>'


def photo_figure(image: Tensor, name: str) -> str:
    """The photo as the model sees it."""
    caption = f"{name}, as the model sees it"
    return f'<div class="pictures few">{_figure(_data_url(encode_png(image)), caption, "")}</div>'


def understood(reading: PromptReading) -> str:
    """What was made of the words, and which were left over."""
    if not reading.understood and not reading.not_understood:
        return ""
    told = []
    if reading.understood:
        chips = "".join(_chip(words, meaning) for words, meaning in reading.understood)
        told.append(f'<span class="lead">Understood</span>{chips}')
    if reading.not_understood:
        chips = "".join(f'<span class="chip left">{escape(words)}</span>' for words in reading.not_understood)
        told.append(f'<span class="lead">Not understood</span>{chips}')
    return "".join(f'<p class="reading">{line}</p>' for line in told)


def status(text: str, share: float | None = None) -> str:
    """A line that screen readers speak, with a bar where `share` of the work is done."""
    bar = "" if share is None else f'<progress max="1" value="{share:.4f}"></progress>'
    return f'<div class="status" role="status">{escape(text)}{bar}</div>'


def mistake(text: str) -> str:
    """What went wrong and what helps, line by line."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in text.splitlines() if line)
    return f'<div class="mistake" role="alert">{lines}</div>'


def nothing_yet() -> str:
    """Where the pictures will be."""
    return '<div class="empty">Your pictures appear here.</div>'


def _chip(words: str, meaning: str) -> str:
    read = ", ".join(_in_words(part) for part in meaning.split(", "))
    same = words.casefold() == read.casefold() or meaning == "text"
    arrow = "" if same else f" <small>{escape(read)}</small>"
    return f'<span class="chip">{escape(words)}{arrow}</span>'


def _in_words(meaning: str) -> str:
    """Such as "Male=0" -> "no Male"."""
    name, _, value = meaning.replace("_", " ").partition("=")
    return f"no {name}" if value == "0" else name


def _figure(url: str | None, caption: str, link: str) -> str:
    shown = f'<img src="{url}" alt="{escape(caption)}">' if url else '<div class="waiting"></div>'
    return f"<figure>{shown}<figcaption><span>{escape(caption)}</span>{link}</figcaption></figure>"


def _download(name: str, png: bytes) -> str:
    return (
        f'<a class="download" download="{escape(name)}" href="{_data_url(png)}"'
        f' aria-label="Download {escape(name)}">Download</a>'
    )


def _preview_url(image: Tensor | None) -> str | None:
    if image is None:
        return None
    if image.shape[-1] <= SMALL_PIXELS:
        return _data_url(encode_png(image))
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="JPEG", quality=80)
    return _data_url(buffer.getvalue(), "image/jpeg")


def _data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.standard_b64encode(data).decode()}"
