"""Before step 1: whether all processes train the same, of the same data, with the same program."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

import facegen
from facegen.errors import UsageError
from facegen.processes import World
from facegen.training.wiring import WiredTask


def check_agreement(world: World, wired: WiredTask) -> None:
    """Refuse processes of which one would do something else than the first.

    Raises:
        UsageError: names the process, what differs and both values.
    """
    told = world.gather(_facts(wired))
    for rank, facts in enumerate(told):
        different = [name for name in facts if facts[name] != told[0].get(name)]
        if different:
            lines = [
                f"  {name}: {told[0].get(name)} in process 0, {facts[name]} in process {rank}"
                for name in different
            ]
            raise UsageError(
                f"Process {rank} of {world.size} would train something else than process 0:\n"
                + "\n".join(lines),
                hint="Start all with the same command, data and environment.",
            )


def _facts(wired: WiredTask) -> dict[str, Any]:
    recipe = wired.recipe.shared()
    flat = {
        f"{section}.{key}": json.dumps(value)
        for section, values in recipe.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    return {
        "facegen": facegen.__version__,
        "torch": torch.__version__,
        "Python": sys.version.split()[0],
        "data": str(wired.info.data_fingerprint)[:12],
        **flat,
    }
