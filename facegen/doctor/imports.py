"""Whether the libraries can be imported, and what keeps them from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from facegen.compat import MISSING_OPERATOR
from facegen.doctor.diagnosis import Problem
from facegen.doctor.probe import AT, MARK
from facegen.doctor.wheels import again, fitting_torchvision, index_of, install, installed_version

SECONDS = 120
TOLD = 300  # characters of what an import raised
GUARDED = (
    "Every command of facegen mends that for itself; other programs here that import diffusers or "
    "transformers do not."
)


def probed() -> dict[str, Any]:
    """What `probe` finds in a process of its own; {"failed": why, "at": library} if that comes to no end."""
    command = [sys.executable, "-W", "ignore", "-m", "facegen.doctor.probe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=environment, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        return {"failed": f"no answer in {SECONDS} s", "at": _last(said, AT)}
    report = _last(done.stdout, MARK)
    if report is not None:
        return json.loads(report)
    last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    return {"failed": f"exit code {done.returncode}: {last}", "at": _last(done.stdout, AT)}


def _last(said: str, mark: str) -> str | None:
    """The rest of the last line that begins with a mark."""
    found = [line.removeprefix(mark) for line in said.splitlines() if line.startswith(mark)]
    return found[-1] if found else None


def failed_imports(found: Mapping[str, Any]) -> Iterator[Problem]:
    """Libraries that are installed and cannot be imported; `found` is what the probe told.

    One that fails only because another one does is named with that.
    """
    if "failed" in found:
        name = found.get("at") or "torch"
        told = f"Importing {name} in a process of its own: {found['failed']}."
        yield Problem(f"import of {name}", "breaks", told, again(name, found["failed"]))
    told = {name: text for name, text in found.get("imports", {}).items() if text not in (None, "absent")}
    ways = found.get("through", {})
    through = {name: [one for one in ways.get(name, ()) if one in told and one != name] for name in told}
    for name, failure in told.items():
        if name == "torchvision" and MISSING_OPERATOR in failure:
            yield _torchvision(found)
        elif all(through[one] for one in through[name]):  # none of which fails by itself
            along = [one for one, met in through.items() if name in met and not through[name]]
            yield Problem(
                f"import of {name}",
                "hinders" if name == "torchvision" and not along else "breaks",
                f"{name} {installed_version(name)} is installed and cannot be imported: {failure[:TOLD]}"
                + f" (With it fail {', '.join(along)}.)" * bool(along),
                again(name, failure),
            )


def _torchvision(found: Mapping[str, Any]) -> Problem:
    """The registry's wheel is built for CUDA, and its compiled half does not load beside another torch."""
    version = (installed_version("torchvision") or "").partition("+")[0]
    torch = found.get("torch", {})
    beside = f"a torch for CUDA {torch['cuda']}" if torch.get("cuda") else "a torch without CUDA"
    return Problem(
        "torchvision trap",
        "hinders",
        f"torchvision {version} was built for another torch than the one here: it stands beside {beside} "
        f"({installed_version('torch')}), and its compiled operators do not load. {GUARDED}",
        install(fitting_torchvision(), index=index_of(torch), afresh=True, alone=True),
    )
