"""Which libraries are installed, whether facegen works with them, and whether they can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement

from facegen.compat import MISSING_OPERATOR
from facegen.doctor.diagnosis import Problem
from facegen.doctor.probe import MARK

OURS = "facegen"
SECONDS = 120
TORCH = "torch>=2.10,<2.14"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu128"
GUARDED = (
    "Every command of facegen mends that for itself; other programs here that import diffusers or "
    "transformers do not."
)


def probed() -> dict[str, Any]:
    """What `probe` finds in a process of its own; {"failed": why} where that does not come to an end."""
    command = [sys.executable, "-W", "ignore", "-m", "facegen.doctor.probe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {SECONDS} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if lines:
        return json.loads(lines[-1].removeprefix(MARK))
    last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    return {"failed": f"exit code {done.returncode}: {last}"}


def requirements() -> list[Requirement]:
    """What this facegen needs; nothing where it runs from a checkout that was not installed."""
    try:
        told = distribution(OURS).requires or []
    except PackageNotFoundError:
        return []
    return [one for one in map(Requirement, told) if one.marker is None or one.marker.evaluate({"extra": ""})]


def installed_version(name: str) -> str | None:
    """Version of an installed distribution; None where there is none."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def unmet(needed: list[Requirement]) -> Iterator[Problem]:
    """Libraries that are absent, or of a version that facegen does not work with."""
    for one in needed:
        found = installed_version(one.name)
        if found is not None and one.specifier.contains(found, prereleases=True):
            continue
        has = "is not installed" if found is None else f"is {found}"
        yield Problem(
            f"version of {one.name}",
            "breaks",
            f"{one.name} {has}, and facegen needs {one.name}{one.specifier}.",
            f"{_pip()} install '{one.name}{one.specifier}'",
        )


def failed_imports(found: Mapping[str, Any]) -> Iterator[Problem]:
    """Libraries that are installed and cannot be imported; `found` is what the probe told."""
    if "failed" in found:
        yield Problem(
            "imports",
            "breaks",
            f"Importing torch and the libraries on it in a process of their own: {found['failed']}.",
            f"{_pip()} install --force-reinstall --no-cache-dir '{TORCH}' --index-url {CPU_INDEX}",
        )
    for name, failure in found.get("imports", {}).items():
        if failure is None or failure == "absent":
            continue
        if name == "torchvision" and MISSING_OPERATOR in failure:
            yield _torchvision(found)
            continue
        version = installed_version(name)
        again = f"{name}=={version}" if version else name
        yield Problem(
            f"import of {name}",
            "hinders" if name == "torchvision" else "breaks",
            f"{name} {version} is installed and cannot be imported: {failure[:300]}",
            f"{_pip()} install --force-reinstall --no-deps --no-cache-dir '{again}'",
        )


def _torchvision(found: Mapping[str, Any]) -> Problem:
    """The registry's wheel is built for CUDA, and its compiled half does not load beside another torch."""
    version = (installed_version("torchvision") or "").partition("+")[0]
    cuda = found.get("torch", {}).get("cuda")
    beside = f"a torch for CUDA {cuda}" if cuda else "a torch without CUDA"
    index = CUDA_INDEX if cuda else CPU_INDEX
    return Problem(
        "torchvision trap",
        "hinders",
        f"torchvision {version} was built for another torch than the one here: it stands beside {beside} "
        f"({installed_version('torch')}), and its compiled operators do not load. {GUARDED}",
        f"{_pip()} install --force-reinstall --no-deps 'torchvision=={version}' --index-url {index}",
    )


def _pip() -> str:
    return f"{sys.executable} -m pip" if os.environ.get("VIRTUAL_ENV") is None else "pip"
