"""What goes wrong with a file: valid ones with bytes, words, values and structure changed.

Every change is a triple of numbers, (what is done, where, with what), so that hypothesis can make it smaller.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Edit = tuple[int, int, int]
_NUMBERS = st.integers(0, 1 << 20)
EDITS: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.integers(0, 15), _NUMBERS, _NUMBERS), min_size=1, max_size=4
)
_DIGITS, _DEEP, _TWICE, _NESTED = "@DIGITS@", "@DEEP@", "@TWICE@", "@NESTED@"
NESTED = '{"a":' * 400 + "1" + "}" * 400
DEEP = "[" * 4000 + "]" * 4000
DIGITS = "9" * 5000
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(9))}]" for n in range(1, 10)]
)
WORDS = [
    *("", ",", ";", "\t", "|", "\n", "\r\n", "\r", '"', '""',),
    *("'", "\ufeff", "\0", " ", " " * 200, "=", ":", "-",),
    *("-1", "0", "1", "1.0", "2", "nan", "NaN", "inf", "-inf",),
    *("1e400", DIGITS, "0x10", "1_000", "²", "٣", "1e-400",),
    *("..", ".", "/", "../x", "a/../b", "/etc/passwd", "C:x",),
    *("\\", "a/.", "é", "笑顔", "\u202e", "\ud800", "\x85",),
    *("yes", "no", "true", "None", "null", "#N/A", "id", "image_id",),
    *("file_name", "image", "label", "split", "x" * 3000,),
    *("[", "]", "{", "}", "[" * 3000, "{" * 3000, '{"a":' * 3000,),
    *("&a [*a]", "*a", "&a ", "<<: *a\n", "!!int ", "? ",),
    *("!!timestamp x", "!!python/object:os.system", "!!float x",),
    *("!!binary x", "2001-99-99", "0b", "1:99:99", "~",),
    *(LAUGHS, "\n---\n", "%YAML 9.9\n", "#", "not ", "no ",),
    *("without ", "neither ", "years old", "age", "-" * 300,),
]  # fmt: skip
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**63, -(2**63) - 1,),
    *(10**300, _DIGITS, 0.5, 1e308, 1e-320, math.nan,),
    *(math.inf, -math.inf, "", " ", "\0", "\ud800", "é笑\u202e",),
    *("x" * 3000, "../../etc/passwd", "/etc/passwd",),
    *("C:\\x", "s3://a/b", "os:system", "missing.module:Name",),
    *("1", "yes", "nan", ".", "a/.", _DEEP, _NESTED, [], {}, [[]],),
    *([None], [1, 2, 3], [-1, -1, -1], [2**40] * 3, [0] * 300,),
    *(["x", 1, None], {"": None}, {"kind": "x"}, {"1": {}},),
    *(["a", "a"], {"a": {"b": {"c": 1}}}, [[1, 2], [3]], [1e308, 1e308]),
]  # fmt: skip


def texts(seeds: Sequence[str], words: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """`seeds` with words and letters changed, besides any text; `words` are further ones to put in."""
    known = [*WORDS, *words]
    changed = st.tuples(st.sampled_from(seeds), EDITS).map(lambda drawn: edit_text(*drawn, known))
    return st.one_of(changed, changed, changed, st.text(max_size=60))


def files(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """`seeds` with bytes changed, besides any bytes."""
    changed = st.tuples(st.sampled_from(seeds), EDITS).map(lambda drawn: edit_bytes(*drawn))
    return st.one_of(changed, changed, changed, st.binary(max_size=200))


def text_files(seeds: Sequence[str], words: Sequence[str] = ()) -> st.SearchStrategy[bytes]:
    """Text files: words changed, or bytes; some in UTF-16."""
    raw = files([seed.encode() for seed in seeds])
    encoded = st.tuples(texts(seeds, words), st.integers(0, 9)).map(
        lambda drawn: drawn[0].encode("utf-8" if drawn[1] else "utf-16", "surrogatepass")
    )
    return st.one_of(encoded, encoded, raw)


def json_files(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """JSON files of `seeds` with values, keys and structure changed, or bytes."""
    changed = st.tuples(st.sampled_from(seeds), EDITS).map(lambda drawn: edit_json(*drawn).encode())
    return st.one_of(changed, changed, changed, files([json.dumps(seed).encode() for seed in seeds]))


def edit_text(text: str, edits: Sequence[Edit], words: Sequence[str] = WORDS) -> str:
    """Put words in, take parts out, twice or away, and put words in the place of others."""
    for what, where, which in edits:
        word, at = words[which % len(words)], where % (len(text) + 1)
        end = min(len(text), at + 1 + which % 30)
        if what < 5:
            text = text[:at] + word + text[at:]
        elif what < 10:
            parts = re.split(r"(\w+)", text)
            parts[where % len(parts)] = word
            text = "".join(parts)
        elif what < 12:
            text = text[:at] + text[end:]
        elif what < 14:
            text = text[:at] + text[at:end] * (2 + which % 3) + text[end:]
        else:
            text = text[:at] if what == 14 else text + word
    return text


def edit_bytes(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Flip, cut out, repeat, overwrite, end early."""
    for what, where, which in edits:
        at = where % (len(data) + 1)
        end = min(len(data), at + 1 + which % 30)
        if what < 6:
            flipped = bytes([data[at] ^ (1 << which % 8)]) if at < len(data) else b"\xff"
            data = data[:at] + flipped + data[at + 1 :]
        elif what < 9:
            data = data[:at] + bytes([which % 256]) * (1 + which % 9) + data[end:]
        elif what < 11:
            data = data[:at] + data[end:]
        elif what < 13:
            data = data[:end] + data[at:]
        elif what < 15:
            data = data[:at] + (which << 40).to_bytes(8, "little") + data[at + 8 :]
        else:
            data = data[:at]
    return data


def edit_json(value: Any, edits: Sequence[Edit]) -> str:
    """JSON text of `value` with parts exchanged for `VALUES`, left out, renamed or there twice."""
    root: list[Any] = [deepcopy(value)]
    for what, where, which in edits:
        places = _places(root)
        holder, key = places[where % len(places)]
        odd = deepcopy(VALUES[which % len(VALUES)])
        if what < 9 or not isinstance(holder, dict):
            holder[key] = odd
        elif what < 12:
            del holder[key]
        elif what < 14:
            holder[f"{key}{_TWICE}"] = odd
        else:
            holder[str(odd)[:50]] = holder.pop(key)
    text = json.dumps(root[0]).replace(f'{_TWICE}"', '"')
    return text.replace(f'"{_DEEP}"', DEEP).replace(f'"{_NESTED}"', NESTED).replace(f'"{_DIGITS}"', DIGITS)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in nested lists and mappings, as what holds it and its key."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


def png_files(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """PNG files with a part changed and its checksum set right, or any bytes changed."""
    changed = st.tuples(st.sampled_from(seeds), EDITS).map(lambda drawn: edit_png(*drawn))
    return st.one_of(changed, files(seeds))


def edit_png(data: bytes, edits: Sequence[Edit]) -> bytes:
    parts = _png_parts(data)
    for what, where, which in edits:
        index = where % len(parts)
        name, content = parts[index]
        if what < 11:
            parts[index] = name, edit_bytes(content, [(what, which, where)])
        elif what < 13:
            parts.insert(index, parts[which % len(parts)])
        elif what < 15:
            parts[index] = [b"IHDR", b"iTXt", b"zTXt", b"tEXt", b"IEND", b"iCCP", b"eXIf"][which % 7], content
        elif len(parts) > 1:
            del parts[index]
    return data[:8] + b"".join(map(png_part, parts))


def png_part(part: tuple[bytes, bytes]) -> bytes:
    """A chunk with its length and checksum."""
    name, content = part
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def _png_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    parts: list[tuple[bytes, bytes]] = []
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    return parts


def safetensors_files(
    seeds: Sequence[bytes], fix: Callable[[bytes], bytes] = bytes
) -> st.SearchStrategy[bytes]:
    """Safetensors files with their head changed as JSON is, or bytes changed."""
    changed = st.tuples(st.sampled_from(seeds), EDITS).map(lambda drawn: edit_safetensors(*drawn))
    return st.one_of(changed, changed, files(seeds)).map(fix)


def edit_safetensors(data: bytes, edits: Sequence[Edit]) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    head = edit_json(json.loads(data[8:end]), edits).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + data[end:]
