"""`facegen sweep`: one recipe with many settings, each a run of its own, all within a given time."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from filelock import FileLock, Timeout

from facegen.errors import Terminated, UsageError
from facegen.formats.files import saving
from facegen.formats.run import RunDirectory, who_trains
from facegen.housekeeping.state import read_heads, state_at_rest
from facegen.pool import usable_cores
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.signals import StopSignals, exit_code_of
from facegen.sweeping import plan, stopping
from facegen.sweeping.child import GRACE_SECONDS, STOPPED_CODES, Training
from facegen.sweeping.options import SweepOptions
from facegen.sweeping.page import write_sweep_page
from facegen.sweeping.record import Record, RunRecord, Timing, opened_record
from facegen.sweeping.results import SweepSummary, judge_runs
from facegen.sweeping.sources import Grid, Source, Study, check_optuna
from facegen.sweeping.space import Base, Candidate, Choice, combinations, extremes, read_axes, value_text
from facegen.wording import number_text

LOOK_SECONDS = 0.25
SAVE_SECONDS = 5.0
PAGE, LOCK = "index.html", ".sweep.lock"
DONE = ("finished", "stopped early", "diverged")  # runs that are left as they are


def sweep(
    recipe: str, out: Path, options: SweepOptions | None = None, progress: Progress | None = None
) -> SweepSummary:
    """Train `recipe`, a preset, YAML file or run, with each of the settings into `out/NAME`; compare them.

    Repeated, the same call goes on where it stood: runs that are done are left, others resumed.

    Raises:
        UsageError: nothing to try, unknown keys or values, runs that could not be compared, too little time
            for so many, `out` holds something else or another sweep works there, Optuna is not installed.
        FacegenError: a few steps of one of them failed at the beginning.
        Terminated: a signal asked to stop; checkpoints were saved.
    """
    options, progress = options or SweepOptions(), progress or SilentProgress()
    axes = read_axes(options)
    base = Base(recipe, options)
    candidates = combinations(base, axes) if options.grid else extremes(base, axes)
    if options.search:
        check_optuna()
    command = {
        "recipe": recipe,
        "tried": {axis.key: axis.told for axis in axes},
        "search": bool(options.search),
        "set": list(options.overrides),
        "data": options.data,
        "size": options.size,
    }
    record = opened_record(out, command)
    with _alone_in(out), StopSignals() as signals:
        source: Source = Grid(candidates)
        if options.search:
            source = Study(base, axes, candidates, options.trials or 1, out)
        for axis in axes:
            drawn = "" if isinstance(axis, Choice) and options.grid else "chosen from "
            progress.say(f"{axis.key}: {drawn}{axis.told}")
        return _Sweep(recipe, out, options, progress, record, source, signals).run()


@contextmanager
def _alone_in(out: Path) -> Generator[None]:
    """Keep every other sweep out of the folder, which is made."""
    with saving(f"'{out}'"):
        out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, blocking=False):
            yield
    except Timeout as error:
        raise UsageError(f"Another sweep works in '{out}'.", hint="Wait for it or stop it.") from error


@dataclass
class _Active:
    """A run that is being trained; `stopping` says why it was asked to stop."""

    candidate: Candidate
    training: Training
    record: RunRecord
    every_steps: int
    limit_seconds: float
    begun: float = field(default_factory=time.monotonic)
    judged: int = 0
    stopping: str | None = None
    worse: bool = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begun


class _Sweep:
    """The runs, those that are trained now, and the time."""

    def __init__(
        self,
        recipe: str,
        out: Path,
        options: SweepOptions,
        progress: Progress,
        record: Record,
        source: Source,
        signals: StopSignals,
    ) -> None:
        self._recipe, self._out, self._options, self._progress = recipe, out, options, progress
        self._record, self._source, self._signals = record, source, signals
        self._threads = max(1, usable_cores() // options.at_once)
        self._began, self._before = time.monotonic(), record.seconds
        self._active: list[_Active] = []
        self._curves: dict[str, dict[int, float]] = {}  # of finished runs
        self._handed_out = 0
        self._saved = 0.0

    def run(self) -> SweepSummary:
        try:
            self._plan()
            self._tell()
            self._train()
        finally:
            self._end_all()
            self._save()
        summary = self._judged()
        write_sweep_page(summary)
        self._progress.say(f"Open {summary.page} in a browser.")
        return summary

    def _spent(self) -> float:
        return self._before + time.monotonic() - self._began

    def _left(self) -> float:
        return 60 * self._options.minutes - self._spent()

    def _save(self) -> None:
        self._record.seconds, self._saved = round(self._spent(), 1), time.monotonic()
        self._record.save(self._out)

    def _look(self) -> None:
        """Note the time, and stop where a signal asks for it.

        Raises:
            Terminated: one does.
        """
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save()
        if self._signals.requested is not None:
            raise self._stopped(self._signals.requested)

    def _stopped(self, signal: Signals) -> Terminated:
        self._end_all()
        states = [self._state(name) for name in self._record.runs]
        done = sum(state in DONE for state in states)
        return Terminated(
            f"{signal.name}: the sweep stopped; {done} of {self._source.total} runs are done, those begun "
            "have their checkpoints. The same command goes on.",
            exit_code=exit_code_of(signal),
        )

    def _plan(self) -> None:
        """Try how fast the runs are, and share the time: the first call alone does."""
        if self._record.share_seconds:
            if self._left() <= 0 and self._unfinished():
                raise UsageError(
                    f"No time is left: {self._record.seconds / 60:.1f} minutes were used, and --minutes is "
                    f"{self._options.minutes:g}.",
                    hint=f"Go on with more: --minutes {self._record.seconds / 60 + 1:.0f}",
                )
            return
        different = {plan.alike(one.recipe): one for one in reversed(self._source.first())}
        if len(different) * plan.LEAST_PROBE_SECONDS > self._left():
            raise UsageError(
                f"{self._options.minutes:g} minutes are too few to try a few steps of each of "
                f"{len(different)} kinds of runs.",
                hint="Give it more --minutes, or fewer values.",
            )
        for one in reversed(different.values()):
            self._timing(one)
        slowest = self._slowest()
        share = plan.check_time(slowest, self._left(), self._source.total, self._options.at_once)
        self._record.share_seconds = round(share, 1)
        self._record.checks = plan.checks_for(slowest, share)
        if isinstance(self._source, Grid):
            for one in self._source.first():
                self._recorded(one)
        self._save()

    def _slowest(self) -> Timing:
        timings = self._record.timings.values()
        return max(timings, key=lambda one: one.seconds(plan.FEWEST_STEPS, plan.FEWEST_CHECKS))

    def _timing(self, candidate: Candidate) -> Timing:
        """How fast it is, tried unless runs like it were."""
        alike = plan.alike(candidate.recipe)
        if alike in self._record.timings:
            return self._record.timings[alike]
        begun = time.monotonic()
        probe = plan.Probe(candidate, self._out, self._options.device, self._threads)
        try:
            while (code := probe.training.poll()) is None:
                time.sleep(LOOK_SECONDS / 5)
                self._look()
            found = probe.timing(code, time.monotonic() - begun)
        finally:
            probe.training.stop()
            while probe.training.poll() is None:
                time.sleep(LOOK_SECONDS)
            probe.close()
        self._record.timings[alike] = found
        return found

    def _recorded(self, candidate: Candidate) -> RunRecord:
        """What is known of a run, planned if it is new."""
        if candidate.name not in self._record.runs:
            share, checks = self._record.share_seconds, self._record.checks
            steps = plan.steps_for(candidate.recipe, self._timing(candidate), share, checks)
            self._record.runs[candidate.name] = RunRecord(candidate.settings, steps)
        return self._record.runs[candidate.name]

    def _tell(self) -> None:
        """What will be run, a line each."""
        record, total = self._record, self._source.total
        at_once = f", {self._options.at_once} at once" if self._options.at_once > 1 else ""
        self._progress.say(
            f"{total} runs{at_once} in {max(0.0, self._left()) / 60:.1f} minutes: up to "
            f"{record.share_seconds / 60:.1f} minutes each, judged {record.checks} times on its way."
        )
        width = max(map(len, record.runs), default=0)
        for name, one in record.runs.items():
            settings = ", ".join(f"{key} {value_text(value)}" for key, value in one.settings.items())
            state = self._state(name)
            done = "" if state == "not begun" else f"  ({state})"
            self._progress.say(f"  {name:<{width}}  {one.steps:>7,} steps  {settings}{done}")

    def _train(self) -> None:
        ended = False
        while True:
            self._collect()
            self._look()
            self._watch()
            while not ended and len(self._active) < self._options.at_once:
                candidate = self._source.take()
                ended = candidate is None
                if candidate is not None:
                    self._handed_out += 1
                    self._start(candidate)
            if not self._active:
                return
            time.sleep(LOOK_SECONDS)

    def _start(self, candidate: Candidate) -> None:
        name, run = candidate.name, self._out / candidate.name
        self._wait_for_others(run)
        state = self._state(name)
        to_come = self._source.total - self._handed_out + 1 + len(self._active)
        timing = self._slowest()
        left = self._left() - plan.reserved_seconds(timing, self._source.total)
        limit = left / -(-to_come // self._options.at_once)
        if state not in DONE and limit < timing.start_seconds:
            if name in self._record.runs:
                self._record.runs[name].ended = "no time was left for it"
            return
        record = self._recorded(candidate)
        if state in DONE:
            self._learn(candidate.name, record, state)
            return
        record.ended = record.failed = None
        recipe = plan.fitted(candidate, record.steps, self._record.checks)
        file = plan.save_recipe(recipe, self._out / "recipes" / f"{name}.yaml")
        log = self._out / "logs" / f"{name}.txt"
        training = Training(file, run, log, self._options.device, self._threads)
        every = recipe.training.validate_every_steps
        self._active.append(_Active(candidate, training, record, every, limit))
        self._save()
        going = "goes on" if state == "stopped" else "begins"
        self._progress.say(
            f"[{self._handed_out}/{self._source.total}] {name} {going}: {record.steps:,} steps, at most "
            f"{limit / 60:.1f} minutes"
        )

    def _wait_for_others(self, run: Path) -> None:
        """Wait for what a killed sweep had started, which ends by itself."""
        begun = time.monotonic()
        while run.is_dir() and (who := who_trains(run)) is not None:
            if time.monotonic() - begun > GRACE_SECONDS:
                raise UsageError(f"'{run}' is trained by {who}.", hint="Wait for it or stop it.")
            time.sleep(LOOK_SECONDS)
            self._look()

    def _watch(self) -> None:
        """Tell the checks of active runs, and stop those that are not worth it or have used up their time."""
        for one in self._active:
            if one.stopping is not None:
                continue
            own = stopping.curve(RunDirectory(self._out / one.candidate.name).metrics(), one.every_steps)
            if (newest := max(own, default=0)) > one.judged:
                one.judged = newest
                self._progress.say(
                    f"{one.candidate.name}: check {newest} of {self._record.checks}, held-out loss "
                    f"{number_text(own[newest])}"
                )
                if self._options.early_stop:
                    finished = [*self._curves.values()]
                    one.stopping = stopping.not_worth_it(own, finished, self._record.checks)
                    one.worse = one.stopping is not None
            if one.stopping is None and one.elapsed > one.limit_seconds:
                one.stopping = f"its {one.limit_seconds / 60:.1f} minutes were used up"
            if one.stopping is not None:
                one.training.stop()

    def _collect(self) -> None:
        """Take note of the runs that ended."""
        for one in list(self._active):
            if (code := one.training.poll()) is not None:
                self._active.remove(one)
                self._ended(one, code)
                self._save()

    def _ended(self, one: _Active, code: int) -> None:
        name, record, run = one.candidate.name, one.record, self._out / one.candidate.name
        record.seconds = round(record.seconds + one.elapsed, 1)
        if code in STOPPED_CODES and one.worse:
            heads = read_heads(run)
            reached = 0 if heads.newest is None else heads.newest.step
            reason = {"step": reached, "group": "stop", "reason": one.stopping}
            RunDirectory(run).append_metrics(reason)  # as a run says that its own scores stopped it
        elif code in STOPPED_CODES:
            record.ended = one.stopping or "it was interrupted"
        elif code:
            record.failed = one.training.why(code)
            self._progress.warn(f"{name} failed: {record.failed}")
        state = self._state(name)
        if not code or code in STOPPED_CODES:
            told = one.stopping if state != "finished" and one.stopping else ""
            self._progress.say(
                f"{name}: {state} after {record.seconds / 60:.1f} minutes{f', as {told}' if told else ''}"
            )
        self._learn(name, record, "failed" if record.failed else state)

    def _learn(self, name: str, record: RunRecord, state: str) -> None:
        """Tell the search what came of a run, and keep the curve of one that finished."""
        every = -(-record.steps // self._record.checks)
        losses = stopping.curve(RunDirectory(self._out / name).metrics(), every)
        if state == "finished":
            self._curves[name] = losses
        if state in (*DONE, "failed"):
            self._source.tell(
                name, {} if state in ("failed", "diverged") else losses, stopped=state != "finished"
            )

    def _state(self, name: str) -> str:
        run = self._out / name
        return state_at_rest(read_heads(run))[0] if run.is_dir() else "not begun"

    def _unfinished(self) -> bool:
        few = len(self._record.runs) < self._source.total
        return few or any(self._state(name) not in DONE for name in self._record.runs)

    def _end_all(self) -> None:
        """Have every active run stop with a checkpoint."""
        for one in self._active:
            one.training.stop()
        while self._active:
            for one in list(self._active):
                if one.training.poll() is not None:
                    one.record.seconds = round(one.record.seconds + one.elapsed, 1)
                    self._active.remove(one)
            time.sleep(LOOK_SECONDS)

    def _judged(self) -> SweepSummary:
        self._progress.say("Judging every run on the same held-out images.")
        runs = judge_runs(self._out, self._record.runs, self._options.device, self._progress.warn, self._look)
        self._save()
        return SweepSummary(
            out=self._out,
            page=self._out / PAGE,
            recipe=Path(self._recipe).stem if Path(self._recipe).is_file() else self._recipe,
            minutes=self._options.minutes,
            seconds=self._record.seconds,
            checks=self._record.checks,
            best=runs[0].name if runs and runs[0].loss is not None else None,
            runs=runs,
        )
