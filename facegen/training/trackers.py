"""Where a run's numbers, previews and recipe are shown beside metrics.jsonl: TensorBoard, Weights & Biases,
MLflow and trackio; the last three by the trackers of accelerate, and on this machine unless told otherwise.

RUN/
  tensorboard/                             event files
  wandb.json, mlflow.json, trackio.json    the id of the run there, so that a resumed run goes on in the same
  wandb/               W&B's own files: all there is, until `wandb sync`, unless WANDB_MODE says otherwise
  mlflow.db, mlruns/   MLflow's, unless MLFLOW_TRACKING_URI names a server
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.formats.files import read_json, saving, write_json
from facegen.formats.history import flat
from facegen.formats.run import RECIPE_FILE, RunDirectory

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

PROJECT = "facegen"  # WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME and TRACKIO_PROJECT in the environment win
ID_FORMAT_VERSION = 1
PREVIEW = "preview"


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose packages are not installed.

    Raises:
        UsageError: says how to install them.
    """
    for name in names:
        packages = (name, "accelerate") if name in SERVICES else ()
        if missing := [package for package in packages if find_spec(package) is None]:
            raise UsageError(
                f"training.trackers names {name}, and the package '{missing[0]}' is not installed.",
                hint=f"Install it: pip install 'facegen[{name}]'; or leave it out: "
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


@dataclass(frozen=True)
class Service:
    """What differs among the trackers of accelerate.

    `start` opens the run of an id, or a new one where it is None, and gives the tracker with its id. `write`
    logs a step's numbers, `picture` a PNG, `file` keeps a file with the run, `close` ends it. `remedy` is for
    one that cannot be opened.
    """

    start: Callable[[RunDirectory, Recipe, str | None], tuple[Any, str]]
    write: Callable[[Any, int, Mapping[str, float]], None]
    picture: Callable[[Any, int, Path], None]
    file: Callable[[Any, Path], None]
    remedy: str
    close: Callable[[Any], None] = lambda tracker: tracker.finish()


def _start_wandb(run: RunDirectory, recipe: Recipe, run_id: str | None) -> tuple[Any, str]:
    import wandb
    from accelerate.tracking import WandBTracker

    run_id = run_id or secrets.token_hex(4)
    tracker = WandBTracker(
        os.environ.get("WANDB_PROJECT", PROJECT),
        mode=os.environ.get("WANDB_MODE") or "offline",
        name=run.path.resolve().name,
        id=run_id,
        resume="allow",
        dir=str(run.path),
        config=recipe.shared(),
        settings=wandb.Settings(silent=True, console="off"),
    )
    tracker.start()
    # a resumed run logs the steps since its checkpoint once more, which W&B's own counter, that only goes
    # up, would drop
    tracker.run.define_metric("*", step_metric="step")
    return tracker, run_id


def _start_mlflow(run: RunDirectory, recipe: Recipe, run_id: str | None) -> tuple[Any, str]:
    import mlflow
    from accelerate.tracking import MLflowTracker

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    place, told = run.path.resolve(), os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(told or f"sqlite:///{place / 'mlflow.db'}")
    artifacts = None if told else (place / "mlruns").as_uri()
    tracker = MLflowTracker(PROJECT, logging_dir=artifacts, run_id=run_id, run_name=place.name)
    tracker.start()
    if run_id is None:  # parameters are told once
        tracker.store_init_configuration(flat(recipe.shared()))
    return tracker, tracker.active_run.info.run_id


def _start_trackio(run: RunDirectory, recipe: Recipe, run_id: str | None) -> tuple[Any, str]:
    from accelerate.tracking import TrackioTracker

    run_id = run_id or f"{run.path.resolve().name}-{secrets.token_hex(4)}"  # goes by the name
    tracker = TrackioTracker(
        os.environ.get("TRACKIO_PROJECT", PROJECT),
        name=run_id,
        resume="allow",
        config=flat(recipe.shared()),
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    tracker.start()
    return tracker, run_id


def _wandb_picture(tracker: Any, step: int, path: Path) -> None:
    import wandb

    tracker.log({"step": step, PREVIEW: wandb.Image(str(path))})


def _trackio_picture(tracker: Any, step: int, path: Path) -> None:
    import trackio

    tracker.log({PREVIEW: trackio.Image(path)}, step=step)


def _trackio_close(tracker: Any) -> None:
    import trackio

    trackio.finish()  # ends the same run as accelerate's, and forgets it: otherwise it is told again at exit


def _trackio_file(tracker: Any, path: Path) -> None:
    import trackio

    trackio.log_artifact(path)


SERVICES = {
    "wandb": Service(
        _start_wandb,
        lambda tracker, step, values: tracker.log({"step": step, **values}),
        _wandb_picture,
        lambda tracker, path: tracker.run.save(str(path), base_path=str(path.parent), policy="now"),
        "Log in with 'wandb login', or leave WANDB_MODE out and send it later with 'wandb sync'.",
    ),
    "mlflow": Service(
        _start_mlflow,
        lambda tracker, step, values: tracker.log(dict(values), step=step),
        lambda tracker, step, path: tracker.log_artifact(str(path), PREVIEW),
        lambda tracker, path: tracker.log_artifact(str(path)),
        "Look whether MLFLOW_TRACKING_URI answers; left out, the numbers stay in the run's folder.",
    ),
    "trackio": Service(
        _start_trackio,
        lambda tracker, step, values: tracker.log(dict(values), step=step),
        _trackio_picture,
        _trackio_file,
        "Look at TRACKIO_DIR and the other variables of trackio.",
        _trackio_close,
    ),
}


class Tracked:
    """A run in one of the `SERVICES`, which keeps its id over interruptions."""

    def __init__(self, name: str, run: RunDirectory, recipe: Recipe) -> None:
        """Open the run there, and keep the recipe with it.

        Raises:
            UsageError: not logged in, or it cannot be reached.
        """
        from accelerate import PartialState

        self._service = SERVICES[name]
        PartialState(cpu=True)  # accelerate's loggers refuse to be used without
        file = run.path / f"{name}.json"
        known = read_json(file, ID_FORMAT_VERSION)["run_id"] if file.is_file() else None
        try:
            with redirect_stdout(sys.stderr):  # results alone go to stdout
                self._tracker, run_id = self._service.start(run, recipe, known)
        except Exception as error:
            if not _is_of(name, error):
                raise
            raise UsageError(
                f"{name} did not open a run: {error}",
                hint=f"{self._service.remedy} To go on with this run: --resume.",
            ) from error
        if known is None:
            write_json(file, {"format_version": ID_FORMAT_VERSION, "run_id": run_id})
        self.keep(run.path / RECIPE_FILE)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._service.write(self._tracker, step, values)

    def show(self, step: int, path: Path) -> None:
        """A preview drawn after `step`."""
        self._service.picture(self._tracker, step, path)

    def keep(self, path: Path) -> None:
        """A file that belongs to the run, such as its recipe; nothing where it is not there."""
        if path.is_file():
            with redirect_stdout(sys.stderr):
                self._service.file(self._tracker, path)

    def close(self) -> None:
        with redirect_stdout(sys.stderr):
            self._service.close(self._tracker)


def keep_in_trackers(run: Path, path: Path) -> None:
    """Keep a file, such as the run's page, wherever the run is tracked.

    Raises:
        UsageError: a tracker does not let us in, or its packages are not installed.
    """
    for name in SERVICES:
        if (run / f"{name}.json").is_file():
            check_trackers([name])
            folder = RunDirectory(run)
            tracked = Tracked(name, folder, folder.recipe())
            tracked.keep(path)
            tracked.close()


def _is_of(name: str, error: Exception) -> bool:
    """Whether the package `name`, or the network below it, raised an error; ours are bugs."""
    return isinstance(error, OSError) or any(
        one.__module__.partition(".")[0] == name for one in type(error).__mro__
    )
