"""Caches, disks, network, locale, terminal, and the settings in the environment that facegen honours."""

from __future__ import annotations

import locale
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from facegen.caches import user_cache
from facegen.doctor.diagnosis import Gravity, Problem
from facegen.formats.disk import size_of, size_text

HUB = "https://huggingface.co"
SECONDS = 3
LOW_BYTES = 5 * 10**9  # of free disk: less than one training with its checkpoints may write
TRIED_BYTES = 4096  # written to a folder, as a quota or a lack of inodes shows in no number
SETTINGS = (
    "FACEGEN_CACHE",
    "FACEGEN_CACHE_GB",
    "FACEGEN_ALLOW_OUTSIDE_CODE",
    "FACEGEN_HANG_SECONDS",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "NO_COLOR",
    "TORCH_HOME",
    "TMPDIR",
)
LOCALES = ("LC_ALL", "LC_CTYPE", "LANG")
ON = {"1", "on", "yes", "true"}


def caches() -> dict[str, Path]:
    """Folders of things that can be made or fetched again."""
    hub = os.environ.get("HF_HOME")
    torch = os.environ.get("TORCH_HOME")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "facegen": user_cache(),
        "Hugging Face": Path(hub) if hub else base / "huggingface",
        "torch": Path(torch) if torch else base / "torch",
    }


def disk_facts() -> dict[str, str]:
    """Caches with their sizes, and what is free where one works."""
    told = {
        f"cache of {name}": f"{size_text(size_of(folder))} in {folder}"
        if folder.is_dir()
        else f"none in {folder}"
        for name, folder in caches().items()
    }
    return told | {"free here": f"{size_text(shutil.disk_usage(Path.cwd()).free)} in {Path.cwd()}"}


def disk_problems() -> Iterator[Problem]:
    """Folders that cannot be written to, and disks that are nearly full."""
    places: dict[str, tuple[Path, str, Gravity]] = {
        "the working folder": (Path.cwd(), "cd DIR", "note"),
        "the cache": (user_cache(), "export FACEGEN_CACHE=DIR", "breaks"),
        "the cache of Hugging Face": (caches()["Hugging Face"], "export HF_HOME=DIR", "hinders"),
        "temporary files": (_temporary(), "export TMPDIR=DIR", "breaks"),
    }
    for name, (folder, elsewhere, gravity) in places.items():
        standing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        refusal = _refusal(standing)
        free = shutil.disk_usage(standing).free
        if refusal is not None:
            told = f"{_capital(name)}, '{folder}', cannot be written to: {refusal}."
            yield Problem(f"writing to {name}", gravity, told, f"{elsewhere}, a folder elsewhere")
        elif free < LOW_BYTES:
            told = f"{size_text(free)} are free for {name}, '{folder}'."
            mend = f"facegen clean, which tells what can go; or {elsewhere}, a folder elsewhere"
            yield Problem(f"disk of {name}", "hinders", told, mend)


def _temporary() -> Path:
    """Where temporary files go, also where Python finds no folder that takes them."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path(os.environ.get("TMPDIR") or "/tmp")


def _refusal(folder: Path) -> str | None:
    """What keeps a small file from being written into a folder; None if nothing does."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIED_BYTES))
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def network() -> tuple[str, Problem | None]:
    """Whether the hub can be reached, in words; a problem where it was not told to stay away and cannot."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ON:
        return "not asked: HF_HUB_OFFLINE is set", None
    endpoint = os.environ.get("HF_ENDPOINT", HUB)
    place = urlsplit(endpoint)
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        place = urlsplit(proxy)
    try:
        socket.create_connection((place.hostname or "", place.port or 443), SECONDS).close()
    except OSError as error:
        told = f"{proxy or endpoint} does not answer ({error}): published models cannot be fetched."
        mend = "export HF_HUB_OFFLINE=1, so that nothing waits for it; or HF_ENDPOINT=ADDRESS of a mirror"
        return f"{proxy or endpoint} does not answer", Problem("network", "note", told, mend)
    return f"{proxy or endpoint} answers", None


def language_facts() -> dict[str, str]:
    """Locale and terminal."""
    size = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "none")
    seen = f"{kind}, {size.columns} columns" if sys.stdout.isatty() else "none: the output goes elsewhere"
    return {"locale": locale.setlocale(locale.LC_CTYPE), "output": str(sys.stdout.encoding), "terminal": seen}


def language_problems() -> Iterator[Problem]:
    """An encoding that cannot hold names of files and words, a locale that is not there, a bare terminal."""
    for what, found in (("output", sys.stdout.encoding), ("names of files", sys.getfilesystemencoding())):
        if found.lower().replace("-", "") not in ("utf8", "utf8sig"):
            told = f"The encoding of {what} is {found}: names and words outside it cannot be written."
            yield Problem(f"encoding of {what}", "hinders", told, "export LC_ALL=C.UTF-8 PYTHONUTF8=1")
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        named = next((f"{one}={os.environ[one]}" for one in LOCALES if os.environ.get(one)), "the locale")
        told = f"{named} names a locale that is not installed here: programs fall back on ASCII."
        yield Problem("locale", "note", told, "export LC_ALL=C.UTF-8")
    finally:
        locale.setlocale(locale.LC_ALL, before)
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") == "dumb":
        told = "This terminal can do nothing, says TERM: lines come in place of bars, without colours."
        yield Problem("terminal", "note", told, "export TERM=xterm-256color")


def settings() -> dict[str, str]:
    """Variables of the environment that facegen honours and that are set."""
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}
