"""Where a run's numbers are shown beside metrics.jsonl: TensorBoard and Weights & Biases.

RUN/
  tensorboard/   event files
  wandb.json     the W&B run id, so that a resumed run goes on in the same W&B run
  wandb/         W&B's own files; with WANDB_MODE=offline all there is, until `wandb sync`
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.formats.files import read_json, saving, write_json
from facegen.formats.run import RunDirectory

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

WANDB_PROJECT = "facegen"  # WANDB_PROJECT and WANDB_ENTITY in the environment win
WANDB_FILE = "wandb.json"
WANDB_FORMAT_VERSION = 1


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        UsageError: says how to install it.
    """
    if "wandb" in names and find_spec("wandb") is None:
        raise UsageError(
            "training.trackers names wandb, and the package 'wandb' is not installed.",
            hint="Install it: pip install 'facegen[wandb]'; or leave it out: "
            "--set training.trackers=[tensorboard]",
        )


class TensorBoard:
    """Event files in `RUN/tensorboard`, written at once: no thread that a full disk could end unheard."""

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.path / "tensorboard"
        self._writer: EventsWriter | None = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        with saving(f"'{self._folder}'"):
            if self._writer is None:
                self._folder.mkdir(exist_ok=True)
                prefix = str(self._folder / "events")
                self._writer = EventsWriter(prefix, f".{time.time_ns()}")  # files are read in order of names
                # what an interrupted run had written from this step on is hidden
                self._writer.write_event(_event(step, session_log={"status": "START"}))
            shown = [{"tag": name, "simple_value": value} for name, value in values.items()]
            self._writer.write_event(_event(step, summary={"value": shown}))
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            with saving(f"'{self._folder}'"):
                self._writer.close()
            self._writer = None


def _event(step: int, **content: Any) -> Any:
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    return Event(wall_time=time.time(), step=step, **content)


class WeightsAndBiases:
    """A W&B run that keeps its id over interruptions; WANDB_MODE and the other variables are W&B's own.

    A resumed run logs the steps since its checkpoint once more: "step" is a metric of its own here, as
    W&B's internal counter only goes up and would drop them.
    """

    def __init__(self, run: RunDirectory, recipe: Recipe) -> None:
        """Open the W&B run.

        Raises:
            UsageError: not logged in, or W&B cannot be reached.
        """
        import wandb
        from wandb.errors import Error

        try:
            self._wandb: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", WANDB_PROJECT),
                name=run.path.resolve().name,
                id=_run_id(run),
                resume="allow",
                dir=str(run.path),
                config=recipe.shared(),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except Error as error:
            raise UsageError(
                f"Weights & Biases did not open a run: {error}",
                hint="Log in with 'wandb login', or set WANDB_MODE=offline and send it later with 'wandb "
                "sync'. To go on with this run: --resume.",
            ) from error
        self._wandb.define_metric("*", step_metric="step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._wandb.log({"step": step, **values})

    def close(self) -> None:
        self._wandb.finish()


def _run_id(run: RunDirectory) -> str:
    path = run.path / WANDB_FILE
    if path.is_file():
        return read_json(path, WANDB_FORMAT_VERSION)["run_id"]
    run_id = secrets.token_hex(4)
    write_json(path, {"format_version": WANDB_FORMAT_VERSION, "run_id": run_id})
    return run_id
