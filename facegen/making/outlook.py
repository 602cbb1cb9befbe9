"""What more minutes or more faces would bring, from how a generator learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facegen.config.composition import merge
from facegen.config.recipe import parse_recipe
from facegen.formats.run import RunDirectory
from facegen.models.loading import load
from facegen.training.wiring import wire_task

SLOW = 0.01  # a gain that is hardly seen
MUCH = 0.1  # a gap that tells of faces learned by heart


@dataclass(frozen=True)
class Outlook:
    """Held-out loss at the end and at half of the steps, None where it was not measured; the loss of as many
    faces that it was trained on, at the end."""

    held_out: float
    at_half: float | None
    trained_on: float

    @property
    def gained(self) -> float | None:
        """By what share the second half of the steps lowered the held-out loss."""
        return None if self.at_half is None else 1 - self.held_out / self.at_half

    @property
    def gap(self) -> float:
        """What share of the held-out loss the faces it was trained on do not have."""
        return max(0.0, 1 - self.trained_on / self.held_out)


def outlook(run: Path) -> Outlook:
    """Look once more at the best checkpoint of a generator, with held-out faces and with those it learned.

    Raises:
        UsageError, DataError, StorageError: the run or its data are not there.
    """
    recipe = RunDirectory(run).recipe()
    generator = load(run)
    split = {"data": {"validation_split": recipe.data.train_split}}
    on_trained = wire_task(parse_recipe(merge(recipe.model_dump(mode="json"), split))).task
    held_out = wire_task(recipe).task.validate(generator.module, generator.device)["loss"]
    rows = [row for row in RunDirectory(run).metrics() if row.get("group") == "validation"]
    last = max((row["step"] for row in rows), default=0)
    halves = [row["loss"] for row in rows if abs(row["step"] - last / 2) <= last / 20]
    return Outlook(
        held_out=held_out,
        at_half=halves[0] if halves else None,
        trained_on=on_trained.validate(generator.module, generator.device)["loss"],
    )


def told(outlook: Outlook, minutes: float) -> list[str]:
    """Sentences for the page."""
    gained, gap = outlook.gained, outlook.gap
    lines = []
    if gained is not None:
        more = (
            f"The second half of its training lowered the held-out loss by {gained:.1%}. "
            f"Twice the minutes ({2 * minutes:.0f}) can be hoped to lower it by about as much or less again"
        )
        lines.append(more + ("." if gained > SLOW else ", so they would hardly be seen in the faces."))
    few = "Faces that it was trained on score no better than held-out ones: more faces would not help yet."
    if gap > SLOW:
        few = (
            f"Of the held-out loss, about {gap:.0%} is not there on faces that it was trained on: that is "
            "the most that more faces of the same kind could take away."
        )
    by_heart = " It has begun to learn its faces by heart, so more faces help most." if gap > MUCH else ""
    return [*lines, few + by_heart]
