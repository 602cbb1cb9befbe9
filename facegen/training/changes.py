"""What may be changed in the recipe of a run that has begun, and what becomes of the run then."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import UsageError
from facegen.formats.checkpoint import Checkpoint
from facegen.formats.history import AfterDecay, RunEvent, flat, with_changes
from facegen.formats.run import RunDirectory, shared_words
from facegen.training.history import RunHistory
from facegen.training.options import LifeOptions

Changes = dict[str, tuple[Any, Any]]  # old and new value by dotted key

# They may differ: data have a fingerprint, and a teacher's weights their sha256.
UNRECORDED = {"about", "preset", "data.path", "scoring.reference", "task.teacher"}
CHANGEABLE = {
    "optimizer.lr",
    "optimizer.lr_schedule",
    "optimizer.warmup_steps",
    "optimizer.decay_fraction",
    "optimizer.final_lr_ratio",
    "optimizer.clip_grad_norm",
    "ema.decay",
    "training.max_steps",
    "training.epochs",
    "training.batch_size",
    "training.accumulation_steps",
    "training.precision",
    "training.compile",
    "training.log_every_steps",
    "training.validate_every_steps",
    "training.preview_every_steps",
    "training.preview_images",
    "training.checkpoint_every_steps",
    "training.checkpoint_every_epochs",
    "training.keep_last",
    "training.max_bad_steps",
    "training.roll_back_after_bad_steps",
    "training.trackers",
    "training.parallel",
    "scoring.every_steps",
    "scoring.stop_after",
}
REASONS = {  # by pattern of the key; the first that matches
    "task.*": "what is trained cannot change on the way",
    "denoiser*": "the weights have this network's shape",
    "conditioner*": "the weights have this conditioner's shape",
    "autoencoder*": "what the network sees comes from this autoencoder",
    "data.*": "the order of the examples depends on them",
    "diffusion.*": "it is what the network has learned to predict",
    "optimizer.*": "the optimizer's moments were gathered with it",
    "scoring.*": "scores made from then on would not compare with those before",
    "ema.widths": "an average cannot begin, or end, on the way",
    "ema.enabled": "an average cannot begin, or end, on the way",
    "training.seed": "order and noise of every step come from it",
    "training.freeze": "the optimizer has moments of the trained parameters alone",
    "sampling.*": "checkpoints carry it; 'facegen sample' takes other values as options",
}
ANY_REASON = "it cannot change on the way"


@dataclass(frozen=True)
class Continued:
    """A run's recipe as it goes on, all events since its start, and the last of them if it is new."""

    recipe: Recipe
    events: list[RunEvent]
    new: RunEvent | None = None

    def write(self, folder: RunDirectory) -> None:
        """Put recipe and events in the run's folder, unless it has them."""
        if self.events != folder.history():
            folder.change(self.recipe, self.events)


def continue_run(
    folder: RunDirectory,
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    num_examples: int,
    life: LifeOptions,
    *,
    as_started: bool,
) -> Continued:
    """How the run goes on from `checkpoint` when `recipe` is asked for; nothing is written.

    `as_started`: `recipe` comes from what the run may have been started with, so that keys in which it does
    not differ from that keep what they were changed to since.

    Raises:
        UsageError: a key that may not change differs, with the reason; fewer steps than were made; a decay
            of the learning rate has ended and nothing says how it goes on.
    """
    step = 0 if checkpoint is None else checkpoint.info.step
    events = [replace(event, step=min(event.step, step)) for event in folder.history()]
    now = _recorded(folder.recipe(), checkpoint, events)
    wanted = flat(recipe.model_dump(mode="json"))
    if as_started:
        current, first = flat(folder.recipe().model_dump(mode="json")), flat(_first(folder))
        wanted = {
            key: value if value != first.get(key) else current.get(key) for key, value in wanted.items()
        }
    changes: Changes = {
        key: (now.get(key), wanted.get(key))
        for key in sorted(now.keys() | wanted.keys())
        if key not in UNRECORDED and now.get(key) != wanted.get(key)
    }
    _check_changeable(folder.path, changes)
    before = _with(recipe, {key: (None, now.get(key)) for key in now.keys() - UNRECORDED})
    if life.extend is not None:
        changes |= _extension(before, events, num_examples, life.extend, changes)
    if not changes:
        return Continued(before, events)
    event = new_event(step, changes=changes)
    after = _with(before, changes)
    event = replace(event, after_decay=_after_decay(before, after, events, event, num_examples, life))
    _check_length(after, [*events, event], num_examples, step)
    return Continued(after, [*events, event], event)


def new_event(step: int, **what: Any) -> RunEvent:
    """An event of now, by the command that runs."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return RunEvent(step, date, [Path(sys.argv[0]).name, *shared_words(sys.argv[1:])], **what)


def told(event: RunEvent) -> str:
    """A sentence about the changes of an event."""
    pairs = (f"{key} {old} -> {new}" for key, (old, new) in event.changes.items())
    cycle = {"new-cycle": "; the learning rate begins a new cycle", "last-rate": "; the last rate stays"}
    return f"From step {event.step + 1:,} on: {', '.join(pairs)}{cycle.get(event.after_decay or '', '')}."


def _first(folder: RunDirectory) -> dict[str, Any]:
    return folder.first_recipe().model_dump(mode="json")


def _recorded(recipe: Recipe, checkpoint: Checkpoint | None, events: Sequence[RunEvent]) -> dict[str, Any]:
    """The recipe by key as the last steps were made with: the checkpoint's word and what was recorded since.

    `recipe.yaml` alone may have been edited by hand.
    """
    current = flat(recipe.model_dump(mode="json"))
    if checkpoint is None:
        return current
    since = [event for event in events if event.step >= checkpoint.info.step]
    kept = flat(with_changes(checkpoint.info.recipe, since))
    without_places = flat(recipe.shared())  # as the checkpoint tells it
    edited = {key for key in current if key in kept and kept[key] != without_places.get(key)}
    return {key: kept[key] if key in edited else value for key, value in current.items()}


def _check_changeable(run: Path, changes: Mapping[str, Any]) -> None:
    refused = [key for key in changes if key not in CHANGEABLE]
    if not refused:
        return
    lines = [
        f"  {key}: {changes[key][0]!r} in the run, {changes[key][1]!r} now; {_reason(key)}" for key in refused
    ]
    raise UsageError(
        f"The recipe differs from that of '{run}' in what may not change on the way:\n" + "\n".join(lines),
        hint="Resume with the run's own recipe, or start a new run, which may begin with the weights of this "
        f"one: --from {run}",
    )


def _reason(key: str) -> str:
    return next((why for pattern, why in REASONS.items() if fnmatchcase(key, pattern)), ANY_REASON)


def _extension(
    before: Recipe, events: Sequence[RunEvent], num_examples: int, extend: int, changes: Changes
) -> Changes:
    """The keys that make a run `extend` steps longer; one that is told in epochs is told in steps then."""
    if given := {"training.max_steps", "training.epochs"} & changes.keys():
        raise UsageError(
            f"--extend and {given.pop()} both say how long the run is.",
            hint="Give --extend STEPS for so many more, or --set training.max_steps=STEPS for all of them.",
        )
    steps = RunHistory(before, num_examples, events).num_steps
    longer: Changes = {"training.max_steps": (before.training.max_steps, steps + extend)}
    if before.training.epochs is not None:
        longer["training.epochs"] = (before.training.epochs, None)
    return longer


def _after_decay(
    before: Recipe,
    after: Recipe,
    events: Sequence[RunEvent],
    event: RunEvent,
    num_examples: int,
    life: LifeOptions,
) -> AfterDecay | None:
    """How the learning rate goes on, which has to be said after a decay that has ended, and only then."""
    history = RunHistory(before, num_examples, events)
    over, held = history.decay_is_over(event.step), history.rate_is_held(event.step)
    decays_again = after.optimizer.lr_schedule != "constant"
    goes_on = RunHistory(after, num_examples, [*events, event]).num_steps > event.step
    if over and decays_again and goes_on and life.after_decay is None:
        raise UsageError(
            f"The {before.optimizer.lr_schedule} decay of the learning rate ended at step {event.step:,}; "
            "it could go on in two ways.",
            hint="Say which: --after-decay new-cycle warms up and decays once more over the new steps; "
            "--after-decay last-rate keeps the rate of the last step.",
        )
    if life.after_decay is not None and not ((over or held) and decays_again and goes_on):
        raise UsageError(
            f"--after-decay {life.after_decay} says how the learning rate goes on after a decay that has "
            "ended; here none has, or nothing is trained after it.",
            hint="Leave it out.",
        )
    return life.after_decay


def _check_length(recipe: Recipe, events: Sequence[RunEvent], num_examples: int, step: int) -> None:
    steps = RunHistory(recipe, num_examples, events).num_steps
    if steps < step:
        raise UsageError(
            f"The run has made {step:,} steps already; {steps:,} are fewer.",
            hint="Give more with --set training.max_steps=STEPS, or --extend STEPS for so many more.",
        )


def _with(recipe: Recipe, changes: Changes) -> Recipe:
    return parse_recipe(with_changes(recipe.model_dump(mode="json"), [RunEvent(0, "", [], changes)]))
