"""Everything that is looked at, in order."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import facegen
from facegen.doctor.card import installed_driver, torch_and_card
from facegen.doctor.diagnosis import Diagnosis, Problem
from facegen.doctor.imports import failed_imports, probed
from facegen.doctor.machine import machine_facts, precision_facts, thread_problems
from facegen.doctor.surroundings import (
    disk_facts,
    disk_problems,
    language_facts,
    language_problems,
    network,
    settings,
)
from facegen.doctor.versions import conflicts, requirements, unmet, unmet_extras
from facegen.doctor.wheels import index_of, installed_version

if TYPE_CHECKING:
    from facegen.protocols import Progress

BESIDE = ("torchvision", "onnxruntime", "gradio", "wandb", "accelerate")  # told where installed


def examine(progress: Progress) -> Diagnosis:
    """Facts about this computer and what is installed, and the problems they make."""
    with progress.stage("Importing the libraries"):
        found, driver = probed(), installed_driver()
    needed = requirements()
    reached, unreached = network()
    names = [one.name for one in needed] + [name for name in BESIDE if installed_version(name)]
    facts = {
        "Machine": machine_facts(found, driver),
        "Precision": precision_facts(found),
        "Versions": {
            "facegen": f"{facegen.__version__}, from {facegen.__path__[0]}",
            "python": f"{platform.python_version()}, {sys.executable}",
            **{name: installed_version(name) or "not installed" for name in names},
        },
        "Disk": disk_facts(),
        "Network": {"hub": reached},
        "Language": language_facts(),
        "Environment": settings(),
    }

    def problems() -> Iterator[Problem]:
        index = index_of(found["torch"]) if "torch" in found else None
        imports = list(failed_imports(found))
        trapped = {one.name for one in imports} >= {"torchvision trap"}
        versions = [*unmet(needed, index), *unmet_extras()]
        yield from versions
        outdated = {one.name.replace("version", "import", 1) for one in versions}  # which is why they fail
        yield from (one for one in imports if one.name not in outdated)
        yield from (one for one in conflicts(needed, index) if not (trapped and "torchvision of" in one.name))
        yield from torch_and_card(found, driver)
        yield from thread_problems()
        yield from disk_problems()
        yield from language_problems()
        if unreached is not None:
            yield unreached

    return Diagnosis.of(facts, problems())
