"""Which wheel of a library fits what is here, and the pip command that installs it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

TORCH = "torch>=2.10,<2.14"
INDEX = "https://download.pytorch.org/whl/"
OF_TORCH = ("torch", "torchvision")  # have a wheel for every version of CUDA, in an index of its own
SYSTEM = {  # shared libraries that no wheel brings, and Debian's package of each
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libX11.so.6": "libx11-6",
}


def installed_version(name: str) -> str | None:
    """Version of an installed distribution; None where there is none."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def install(*what: str, index: str | None = None, afresh: bool = False, alone: bool = False) -> str:
    """The command that installs requirements: `afresh` if they are there, `alone` without what they need."""
    pip = "pip" if os.environ.get("VIRTUAL_ENV") else f"{sys.executable} -m pip"
    words = [pip, "install", *["--force-reinstall"] * afresh, *["--no-deps"] * alone]
    words += [f"'{one}'" for one in what]
    return " ".join([*words, *([f"--index-url {INDEX}{index}"] if index else [])])


def index_of(torch: Mapping[str, Any]) -> str:
    """The part of torch's index with wheels for a torch as the probe told it: "cpu", "cu128", "rocm6.4"."""
    if torch.get("cuda"):
        return "cu" + torch["cuda"].replace(".", "")
    return "rocm" + ".".join(torch["hip"].split(".")[:2]) if torch.get("hip") else "cpu"


def again(name: str, failure: str) -> str:
    """The command that mends an installed library whose import failed as told."""
    missing = re.search(r"(\S+\.so[.\d]*): cannot open shared object", failure)
    if missing and missing[1] in SYSTEM:
        return f"apt-get install {SYSTEM[missing[1]]}"
    version = installed_version(name)
    what = f"{name}=={version}" if version else name
    local = (version or "").partition("+")[2]
    lacks = name in OF_TORCH or missing is not None or "No module named" in failure
    return install(what, index=local if name in OF_TORCH and local else None, afresh=True, alone=not lacks)


def fitting_torchvision() -> str:
    """The requirement that torchvision meets beside the torch that is installed: 0.28 is of 2.13."""
    torch = re.match(r"2\.(\d+)", installed_version("torch") or "")
    return f"torchvision==0.{int(torch[1]) + 15}.*" if torch else "torchvision"
