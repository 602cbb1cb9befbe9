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
from facegen.doctor.diagnosis import Problem
from facegen.formats.disk import size_of, size_text

HUB = "https://huggingface.co"
SECONDS = 3
LOW_BYTES = 5 * 10**9  # of free disk: less than one training with its checkpoints may write
SETTINGS = (
    "FACEGEN_CACHE",
    "FACEGEN_CACHE_GB",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "NO_COLOR",
)
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
    places = {
        "the working folder": Path.cwd(),
        "the cache": user_cache(),
        "temporary files": Path(tempfile.gettempdir()),
    }
    for name, folder in places.items():
        standing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        setting = {"the cache": "FACEGEN_CACHE", "temporary files": "TMPDIR"}.get(name)
        elsewhere = f"export {setting}=DIR, a folder elsewhere" if setting else "cd into a folder elsewhere"
        if not standing.is_dir() or not os.access(standing, os.W_OK):
            gravity = "note" if setting is None else "breaks"
            told = f"{name.capitalize()}, '{folder}', cannot be written to."
            yield Problem(f"writing to {name}", gravity, told, elsewhere)
        elif (free := shutil.disk_usage(standing).free) < LOW_BYTES:
            told = f"{size_text(free)} are free for {name}, '{folder}'."
            yield Problem(f"disk of {name}", "hinders", told, f"facegen clean RUN makes room; or {elsewhere}")


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
    """An encoding that cannot hold names of files and words."""
    for what, found in (("output", sys.stdout.encoding), ("names of files", sys.getfilesystemencoding())):
        if found.lower().replace("-", "") not in ("utf8", "utf8sig"):
            told = f"The encoding of {what} is {found}: names and words outside it cannot be written."
            yield Problem(f"encoding of {what}", "hinders", told, "export LC_ALL=C.UTF-8 PYTHONUTF8=1")


def settings() -> dict[str, str]:
    """Variables of the environment that facegen honours and that are set."""
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}
