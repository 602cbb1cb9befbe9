"""The graphics card, its driver, and whether torch was built for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from facegen.doctor.diagnosis import Problem
from facegen.doctor.wheels import TORCH, install, installed_version

SECONDS = 15
WHEELS = ((13, 0), (12, 8), (12, 6))  # versions of CUDA that torch's index has wheels for, newest first


@dataclass(frozen=True)
class Driver:
    """What `nvidia-smi` says: names of cards, the driver, and the newest CUDA that it runs."""

    cards: tuple[str, ...]
    version: str
    cuda: tuple[int, int] | None


def installed_driver() -> Driver | None:
    """NVIDIA's driver; None where there is none, or it does not answer."""
    if shutil.which("nvidia-smi") is None:
        return None
    head = _told("nvidia-smi")
    listed = _told("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if head is None or listed is None:
        return None
    rows = [line.rpartition(",") for line in listed.splitlines() if "," in line]
    newest = re.search(r"CUDA Version: *(\d+)\.(\d+)", head)
    return Driver(
        tuple(name.strip() for name, _, _ in rows),
        rows[0][2].strip() if rows else "unknown",
        None if newest is None else (int(newest[1]), int(newest[2])),
    )


def torch_and_card(found: Mapping[str, Any], driver: Driver | None) -> Iterator[Problem]:
    """A torch that was built for another machine than this one; `found` is what the probe told."""
    torch = found.get("torch")
    if torch is None or torch["hip"]:
        return
    has_card = driver is not None and bool(driver.cards)
    works = torch["device"] == "cuda"
    if torch["cuda"] and not has_card and not works:
        yield Problem(
            "CUDA torch without a card",
            "note",
            f"torch was built for CUDA {torch['cuda']}, and no NVIDIA card answers here: it works on "
            "the CPU and takes gigabytes more than it needs.",
            _torch_from("cpu"),
        )
    if driver is not None and has_card and not works:
        yield _unused(torch, driver)


def _unused(torch: Mapping[str, Any], driver: Driver) -> Problem:
    """Why a card that is there is not used."""
    card, newest = driver.cards[0], driver.cuda
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch["cuda"] is None:
        told, name = f"{card} stands idle: torch was built without CUDA.", "card without CUDA torch"
        return Problem(name, "hinders", told, _install_for(newest))
    if hidden is not None and not hidden.strip(" -1"):
        told = f"{card} is hidden from every program: CUDA_VISIBLE_DEVICES='{hidden}'."
        return Problem("hidden card", "hinders", told, "unset CUDA_VISIBLE_DEVICES")
    built = tuple(map(int, torch["cuda"].split(".")[:2]))
    if newest is not None and built > newest:
        told = (
            f"The driver {driver.version} of {card} runs CUDA up to {newest[0]}.{newest[1]}, and torch "
            f"was built for {torch['cuda']}: torch sees no card."
        )
        return Problem("driver too old", "hinders", told, _install_for(newest))
    said = " ".join(torch["warned"]) or "it says nothing of why"
    told = f"torch (CUDA {torch['cuda']}) does not see {card} (driver {driver.version}): {said[:300]}"
    return Problem("card not seen", "hinders", told, "nvidia-smi; then start the computer anew")


def _install_for(newest: tuple[int, int] | None) -> str:
    """The command that installs a torch for a driver that runs CUDA up to `newest`."""
    fitting = [wheel for wheel in WHEELS if newest is None or wheel <= newest]
    if not fitting:
        return "Update NVIDIA's driver: no torch that facegen takes runs on it."
    return _torch_from(f"cu{fitting[0][0]}{fitting[0][1]}")


def _torch_from(index: str) -> str:
    """The command that exchanges torch, and torchvision where it is, which is made for one torch."""
    along = ["torchvision"] if installed_version("torchvision") else []
    return install(TORCH, *along, index=index, afresh=True)


def _told(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
