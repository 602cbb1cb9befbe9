"""`facegen replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import print_facts
from facegen.options import Device, Option

if TYPE_CHECKING:
    from facegen.protocols import Progress
    from facegen.training.replay import Replay

FINDINGS = {
    "weights": "The weights were not finite before the step",
    "batch": "The batch was not finite",
    "operation": "The first operation whose output is not finite",
    "nothing": "Every operation's output is finite here; another device or precision may differ",
}


def _print(found: Replay) -> None:
    facts: dict[str, Any] = {
        "Step": found.step,
        "Computed in": f"{found.precision} on {found.device}",
        "Found": FINDINGS[found.what],
        "Name": found.name,
        "In": found.where,
        "Came in": "\n".join(map(str, found.came_in)) or None,
        "Came out": "\n".join(map(str, found.came_out)) or None,
        "Loss": found.loss,
        "Gradients not finite": ", ".join(found.gradients) or None,
    }
    print_facts(facts)


@command(_print)
def replay(
    capsule: Annotated[Path, Argument(help="A folder in RUN/capsules.")],
    progress: Progress,
    data: Annotated[
        Path | None, Option("The run's data, if the capsule does not lie in its run any more.")
    ] = None,
    device: Device = "auto",
) -> Replay:
    """Make a step again that went wrong, and name the operation it began with.

    A training that diverged leaves the step's weights and batch in a capsule. The first operation whose
    output is not finite is named, with the module it is in and what went into it.

        facegen replay runs/celeba/capsules/step-00012345
        facegen replay step-00012345 --data latents/celeba --device cpu
    """
    from facegen.training.replay import replay

    return replay(capsule, data, device, progress)
