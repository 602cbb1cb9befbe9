"""The studio's HTML: pictures, what was understood, messages. Everything from outside is escaped here."""

from __future__ import annotations

import base64
import io
from html import escape

from torch import Tensor

from facegen.formats.images import encode_png, to_pil
from facegen.sampling.photos import Photo
from facegen.studio.drawing import Drawn, Preview
from facegen.vocabulary.explanation import Explanation
from facegen.vocabulary.grammar import AS_TEXT, Said
from facegen.vocabulary.words import readable

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


def photo_figure(photo: Photo) -> str:
    """The photo as the model sees it."""
    caption = f"{photo.name}, as the model sees it"
    return f'<div class="pictures few">{_figure(_data_url(encode_png(photo.image)), caption, "")}</div>'


def photo_to_paint(photo: Photo) -> str:
    """The same, to be painted over by `paint.js` where it may change; says what of the file it is."""
    caption = f"{photo.name}, as the model sees it. Paint where it may change. Without paint all of it may."
    whole, square = (" ".join(map(str, numbers)) for numbers in (photo.whole, photo.square))
    return (
        f'<figure class="painting" data-whole="{whole}" data-square="{square}"><div class="board">'
        f'<img src="{_data_url(encode_png(photo.image))}" alt="{escape(photo.name)}"><canvas></canvas></div>'
        '<div class="tools"><label>Brush '
        '<input type="range" class="brush" min="2" max="40" value="14"></label><label>'
        '<input type="checkbox" class="erase"> Erase</label></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def mask_figure(mask: Photo, link: str) -> str:
    """Which mask is taken, with a link that downloads it; `paint.js` lays it over the photo."""
    name, shown = escape(mask.name), _data_url(encode_png(mask.image))
    return (
        f'<p class="mask" data-mask="{shown}" data-name="{name}">Only what is painted may change. '
        f'<a download="{name}" href="{escape(link)}">Download {name}</a></p>'
    )


def read(explanation: Explanation) -> str:
    """A short tree of what was made of the words: understood, not understood and why, refused and why."""
    understood = [_phrase(said, "chip", _asked(said)) for said in explanation.said if said.meaning]
    left_out = [_phrase(said, "chip left", said.because) for said in explanation.said if not said.meaning]
    refused = [f"<li>{escape(line)}</li>" for line in _refused(explanation)]
    groups = {"Understood": understood, "Not understood": left_out, "Refused": refused}
    return "".join(
        f'<div class="reading"><span class="lead">{lead}</span><ul>{"".join(lines)}</ul></div>'
        for lead, lines in groups.items()
        if lines
    )


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


def _phrase(said: Said, kind: str, told: str) -> str:
    """A line: the words, and what became of them."""
    small = f" <small>{escape(told)}</small>" if told else ""
    return f'<li><span class="{kind}">{escape(said.text)}</span>{small}</li>'


def _asked(said: Said) -> str:
    """Such as "no Male, Smiling; 'very' changes nothing"; nothing where the words are the label's own."""
    if said.because == AS_TEXT:
        return ""
    labels = ", ".join(
        readable(label if value > 0 else f"no {label}").replace("=", ": ")
        for label, value in said.meaning.items()
    )
    degree = f"'{said.degree}' changes nothing" if said.degree else ""
    told = "" if labels.casefold() == said.text.casefold() else labels
    return "; ".join(filter(None, (told, degree)))


def _refused(explanation: Explanation) -> list[str]:
    """Why, and how to say it; what only the command line has is left out."""
    if explanation.refusal is None:
        return []
    return [line.partition("; or name each: --")[0] for line in str(explanation.refusal).splitlines()]


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
