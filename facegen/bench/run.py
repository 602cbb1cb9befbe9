"""`facegen bench`: stages measured one after the other, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from facegen import errors
from facegen.bench.child import MARK
from facegen.bench.compare import changes, check_comparable
from facegen.bench.machine import programs_waiting, this_machine, versions
from facegen.bench.options import ALL, STAGES, BenchOptions
from facegen.bench.picture import write_picture
from facegen.bench.result import BenchResult, StageResult, read_result
from facegen.errors import UsageError, did_you_mean
from facegen.formats.files import write_json
from facegen.formats.plain import from_plain
from facegen.plotting.style import SUFFIXES
from facegen.progress import SilentProgress
from facegen.protocols import Progress, ProgressTask

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait by turning in circles take cores from others
JSON = ".json"


def bench(
    stage: str = ALL, options: BenchOptions | None = None, progress: Progress | None = None
) -> BenchResult:
    """Measure a stage of `STAGES`, or all, on what is made up for it in a temporary folder.

    The result is written to `options.out` if there is one, as JSON or as a picture.

    Raises:
        UsageError: no such stage, a file of another suffix, or a result of another machine to compare with.
        DataError: there is no result to compare with.
        StorageError: the disk is full or may not be written.
    """
    options, progress = options or BenchOptions(), progress or SilentProgress()
    if stage not in (*STAGES, ALL):
        raise UsageError(
            f"There is no stage '{stage}'.{did_you_mean(stage, (*STAGES, ALL))}",
            hint=f"Its stages: {', '.join((*STAGES, ALL))}.",
        )
    _check_out(options.out)
    machine = this_machine()
    earlier = None
    if options.compare is not None:
        earlier = read_result(options.compare)
        check_comparable(earlier, machine, options)
    before = programs_waiting()
    stages = tuple(
        _measured(one, progress, quick=options.quick) for one in (STAGES if stage == ALL else (stage,))
    )
    after = programs_waiting()
    waiting = None if before is None or after is None else (before, after)
    found = BenchResult(machine, versions(), options.quick, stages, waiting)
    if earlier is not None:
        found = replace(found, compared_with=str(options.compare), changes=changes(earlier, found))
    if options.out is not None:
        if options.out.suffix.lower() == JSON:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, found.to_json())
        else:
            write_picture(found, options.out)
    return found


def _check_out(out: Path | None) -> None:
    allowed = (JSON, *SUFFIXES)
    if out is not None and out.suffix.lower() not in allowed:
        raise UsageError(
            f"--out '{out}' ends in '{out.suffix}', which a result cannot be written as.",
            hint=f"Allowed: {', '.join(allowed)}.",
        )
    if out is not None and out.is_dir():
        raise UsageError(f"--out '{out}' is a folder.", hint=f"Name a file: {out / 'bench.json'}")


def _measured(stage: str, progress: Progress, *, quick: bool) -> StageResult:
    with (
        tempfile.TemporaryDirectory(prefix="facegen-bench-") as folder,
        progress.stage(f"Measuring {stage}") as bar,
    ):
        told = _asked_of_child(stage, Path(folder), bar, quick=quick)
    return from_plain(StageResult, told, Path(f"facegen bench {stage}"))


def _asked_of_child(stage: str, folder: Path, bar: ProgressTask, *, quick: bool) -> dict[str, Any]:
    """What `child` tells of a stage."""
    work = folder / "work"
    work.mkdir()
    command = [sys.executable, "-W", "ignore", "-m", "facegen.bench.child", stage, str(work)]
    environment = {
        **os.environ,
        **PASSIVE,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "FACEGEN_CACHE": str(folder / "cache"),
    }
    with (
        (folder / "stderr").open("w+", encoding="utf-8") as said,
        subprocess.Popen(
            [*command, *(["quick"] if quick else [])],
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
            encoding="utf-8",
        ) as child,
    ):
        try:
            for told in _lines(child):
                if "result" in told:
                    return told["result"]
                if "failed" in told:
                    name, message, hint = told["failed"]
                    raise getattr(errors, name)(message, hint=hint)
                bar.advance()
        finally:
            child.kill()
        child.wait()
        said.seek(0)
        raise RuntimeError(f"measuring '{stage}' ended with {child.returncode}:\n{said.read()[-4000:]}")


def _lines(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(MARK):
            yield json.loads(line.removeprefix(MARK))
