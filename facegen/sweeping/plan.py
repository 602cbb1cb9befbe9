"""How long each run may be: the same time for all, filled with as many steps as that buys."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from facegen.config.composition import merge
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import FacegenError, UsageError
from facegen.formats.files import atomic_write, sha256_of
from facegen.formats.run import ENVIRONMENT_FILE, RunDirectory
from facegen.making.speed import steps_per_second, with_training
from facegen.sweeping.child import Training
from facegen.sweeping.record import Timing
from facegen.sweeping.space import Candidate

TRIAL_STEPS = 16
FEWEST_STEPS = 16
MOST_CHECKS, FEWEST_CHECKS = 8, 4
CHECKED_SHARE = 0.25  # of a run's time that its checks may take together
FILLED = 0.8  # of its time that a run is planned to fill: machines are not steady
JUDGED_SECONDS = 3.0  # of a run at the end, beside judging its images: opening the data, writing
PAGE_SECONDS = 5.0
LEAST_PROBE_SECONDS = 3.0  # that nobody starts and tries a run in less


def alike(recipe: Recipe) -> str:
    """The name of all that decides how fast a run is."""
    data: dict[str, Any] = recipe.model_dump(mode="json", exclude={"preset", "about", "sampling"})
    data["optimizer"] = data["optimizer"]["kind"]
    data["ema"] = [data["ema"]["enabled"], len(data["ema"]["widths"])]
    length = ("seed", "max_steps", "epochs")
    data["training"] = {name: value for name, value in data["training"].items() if name not in length}
    return sha256_of(json.dumps(data, sort_keys=True).encode())[:16]


def save_recipe(recipe: Recipe, path: Path) -> Path:
    """Write the recipe where `facegen train --config` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    atomic_write(path, text)
    return path


class Probe:
    """A few steps of a candidate in a scratch folder within `out`, to see how fast it is."""

    def __init__(self, candidate: Candidate, out: Path, device: str, threads: int) -> None:
        self._candidate = candidate
        self._scratch = TemporaryDirectory(prefix=".probe-", dir=out)
        self._place = Path(self._scratch.name)
        recipe = with_training(
            candidate.recipe,
            max_steps=TRIAL_STEPS,
            log_every_steps=TRIAL_STEPS // 2,
            validate_every_steps=TRIAL_STEPS,
            checkpoint_every_steps=TRIAL_STEPS,
            preview_every_steps=None,
            trackers=[],
        )
        self._answer = self._place / "answer.json"
        file = save_recipe(recipe, self._place / "recipe.yaml")
        log, run = self._place / "log.txt", self._place / "run"
        self.training = Training(file, run, log, device, threads, self._answer)

    def timing(self, code: int, seconds: float) -> Timing:
        """What was seen, once it ended with `code` after `seconds`.

        Raises:
            FacegenError: what it failed of.
        """
        if code:
            error = FacegenError(
                f"A few steps of '{self._candidate.name}' failed: {self.training.why(code)}",
                hint="Mend that, or leave the value out.",
            )
            error.exit_code = code if code > 0 else FacegenError.exit_code
            raise error
        folder = RunDirectory(self._place / "run")
        trained = json.loads(self._answer.read_text("utf-8"))["seconds"]
        step = 1 / steps_per_second(folder, TRIAL_STEPS)
        environment = json.loads((folder.path / ENVIRONMENT_FILE).read_text("utf-8"))
        check = max(0.0, trained - TRIAL_STEPS * step)
        return Timing(max(0.0, seconds - trained), step, check, int(environment["num_examples"]))

    def close(self) -> None:
        """Remove what was tried."""
        self._scratch.cleanup()


def checks_for(slowest: Timing, share_seconds: float) -> int:
    """How often each run is judged on its way: as often as costs little."""
    affordable = CHECKED_SHARE * share_seconds / max(slowest.check_seconds, 1e-6)
    return max(FEWEST_CHECKS, min(MOST_CHECKS, int(affordable)))


def reserved_seconds(timing: Timing, num_runs: int) -> float:
    """Kept for judging every run at the end, and the page."""
    return PAGE_SECONDS + num_runs * (JUDGED_SECONDS + timing.check_seconds)


def check_time(slowest: Timing, left_seconds: float, num_runs: int, at_once: int) -> float:
    """The seconds of each of `num_runs` in the time that is left.

    Raises:
        UsageError: too little for a few steps of each; says how many runs fit, and what time all would take.
    """
    least = slowest.seconds(FEWEST_STEPS, FEWEST_CHECKS) / FILLED

    def share(count: int) -> float:
        return (left_seconds - reserved_seconds(slowest, count)) / -(-count // at_once)

    if share(num_runs) >= least:
        return share(num_runs)
    fit = next((count for count in range(num_runs - 1, 0, -1) if share(count) >= least), 0)
    needed = (least * -(-num_runs // at_once) + reserved_seconds(slowest, num_runs)) / 60
    fits = f"{fit} fit" if fit else "not even one fits"
    raise UsageError(
        f"{num_runs} runs do not fit into the {left_seconds / 60:.1f} minutes that are left: one takes "
        f"{least:.0f} seconds here at least, to start, for {FEWEST_STEPS} steps and {FEWEST_CHECKS} looks at "
        f"held-out images; {fits}.",
        hint=f"Give it --minutes {math.ceil(needed)}, or fewer values.",
    )


def steps_for(recipe: Recipe, timing: Timing, share_seconds: float, checks: int) -> int:
    """The steps that fill `share_seconds`, and no more than the recipe has."""
    training = recipe.training
    most = training.max_steps or -(-(training.epochs or 1) * timing.num_examples // training.batch_size)
    affordable = (FILLED * share_seconds - timing.seconds(0, checks)) / max(timing.step_seconds, 1e-9)
    return max(1, min(most, int(affordable)))


def fitted(candidate: Candidate, steps: int, checks: int) -> Recipe:
    """The recipe of a run for as many steps: judged `checks` times, warmed up for a tenth at most unless that
    is what is tried, without previews."""
    recipe = candidate.recipe
    every = -(-steps // checks)
    planned = with_training(
        recipe,
        max_steps=steps,
        log_every_steps=min(recipe.training.log_every_steps, max(1, steps // 20)),
        validate_every_steps=every,
        checkpoint_every_steps=every,
        preview_every_steps=None,
    )
    if "optimizer.warmup_steps" in candidate.settings or recipe.optimizer.warmup_steps <= steps // 10:
        return planned
    return parse_recipe(merge(planned.model_dump(mode="json"), {"optimizer": {"warmup_steps": steps // 10}}))
