"""How long a command takes to begin: programs of their own, from nothing to their end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from facegen.bench.result import Finding, Role, StageResult, Way
from facegen.bench.targets import finding
from facegen.bench.timing import Bench, Subject
from facegen.errors import UsageError

HELP, COMPLETION, SAMPLE = "facegen --help", "completing 'facegen tr'", "facegen sample --count 1"
PYTHON, TYPER, TORCH = "python", "import typer", "import torch"
COMPLETING = {"_FACEGEN_COMPLETE": "complete_bash", "COMP_WORDS": "facegen tr", "COMP_CWORD": "1"}
COMMANDS = (  # those with their own subcommands by the one that is asked for most
    *(
        "prepare",
        "encode",
        "train",
        "sweep",
        "sample",
        "edit",
        "make",
        "demo",
        "label",
        "slurm",
        "ema",
        "replay",
        "verify",
    ),
    *(
        "studio",
        "reproduce",
        "eval fid",
        "compare",
        "report",
        "export",
        "push",
        "pull",
        "plot samples",
        "config list",
        "runs",
        "clean",
        "doctor",
    ),
    *("bench", "version"),
)


def measure(bench: Bench) -> StageResult:
    """The help of every command, completion, the first face of the model in the box, and bare Python."""
    commands = ("train",) if bench.quick else COMMANDS
    helps = {f"facegen {words} --help": ("-m", "facegen", *words.split(), "--help") for words in commands}
    subjects = [
        _program(HELP, "facegen", "-m", "facegen", "--help"),
        _program(COMPLETION, "facegen", "-m", "facegen", environment=COMPLETING),
        *(_program(name, "facegen", *words) for name, words in helps.items()),
        _program(PYTHON, "limit", "-c", "pass"),
        _program(TYPER, "limit", "-c", "import typer"),
    ]
    if not bench.quick:
        subjects.append(_program(TORCH, "limit", "-c", "import torch"))
        subjects.append(Subject(SAMPLE, "facegen", _first_face(bench.folder), item="start"))
    ways = bench.interleaved(*subjects)
    slowest = max(helps, key=lambda name: median(ways[name].cpu_seconds))
    findings = [
        _processor_seconds("startup/help", HELP, ways[HELP]),
        _processor_seconds("startup/completion", COMPLETION, ways[COMPLETION]),
        _processor_seconds("startup/command", f"{slowest}, the slowest", ways[slowest]),
    ]
    if SAMPLE in ways:
        taken = ways[SAMPLE]
        findings.append(
            finding(
                "startup/sample",
                f"{SAMPLE}, from nothing",
                taken.seconds,
                cpu_values=taken.cpu_seconds,
                unit="s",
                better="lower",
            )
        )
    return StageResult("startup", {"commands": len(commands)}, tuple(ways.values()), tuple(findings))


def _processor_seconds(key: str, name: str, way: Way) -> Finding:
    """By the processor's clock alone: waiting for other programs is not facegen's."""
    seconds = way.cpu_seconds
    return finding(key, f"{name}, on the processor", seconds, cpu_values=seconds, unit="s", better="lower")


def _program(name: str, role: Role, *words: str, environment: Mapping[str, str] | None = None) -> Subject:
    return Subject(name, role, partial(_run, words, environment or {}), item="start")


def _first_face(folder: Path) -> Callable[[], None]:
    """Draws one face, into another folder every time: in the same one nothing would be left to do."""
    numbers = count()

    def act() -> None:
        out = folder / f"face-{next(numbers)}"
        _run(("-m", "facegen", "sample", "--count", "1", "--quiet", "--out", str(out)), {})

    return act


def _run(words: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        raise UsageError(
            f"'python {' '.join(words)}' ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
