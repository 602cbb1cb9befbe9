"""What a second process brings on this machine, and what is lost on the way; many GPUs on paper.

python benchmarks/scaling.py            some minutes on two cores that have nothing else to do
python benchmarks/scaling.py --smoke    seconds: a tiny model, two windows
python benchmarks/scaling.py --paper    at once: 8 and 64 GPUs by arithmetic (see scaling_paper.py)

The same recipe trains with facegen's own trainer in one process, in two that meet as torchrun's do, and in
two that never meet, each process with one thread on a core of its own. They take turns, some steps each, so
that a machine that drifts is unfair to none; what is printed are medians over these windows.

Three tables: images a second; where the rest of twice one process went; milliseconds of a step by process.
Two processes that never meet show what the machine has to give: all they share is its memory and caches.

  compute     forward and backward, up to the last gradient of this process
  gradients   from there until all gradients are averaged: the others' delay, and what was not sent meanwhile
  finite      whether the step is finite in all processes: two numbers, and whoever is behind is waited for
  optimizer   optimizer and average of the weights, which every process does whole
  loading     the next batch
  other       norm and clipping of the gradients, logs
  idle        of the step, without a processor: waiting, or other programs had the core (if it is much in one
              process alone, the machine is not quiet enough to measure)
  threads     processor time of other threads, which are those of the collectives
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.process
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from scaling_paper import paper

BATCH = 32  # images a step: of all processes (strong scaling), or of each (weak scaling)
SHAPE, NUM_IMAGES, ATTRIBUTES = (4, 16, 16), 2048, ("Smiling", "Eyeglasses")  # as of 64x64 pixels
PHASES = ("compute", "gradients", "finite", "optimizer", "loading", "other")
STEP, IDLE, THREADS = "step", "idle", "threads"


@dataclass(frozen=True)
class Setup:
    """`processes` with `images` a step each, which `meet` after every step or train runs of their own."""

    name: str
    processes: int
    images: int
    meet: bool = False


ALONE, ALONE_HALF = Setup("one", 1, BATCH), Setup("one-half", 1, BATCH // 2)
APART, APART_HALF = Setup("apart", 2, BATCH), Setup("apart-half", 2, BATCH // 2)
WEAK, STRONG = Setup("weak", 2, BATCH, meet=True), Setup("strong", 2, BATCH // 2, meet=True)
SETUPS = (ALONE, ALONE_HALF, STRONG, APART_HALF, WEAK, APART)
NAMES = {
    ALONE: f"1 process, {ALONE.images} images",
    ALONE_HALF: f"1 process, {ALONE_HALF.images} images",
    STRONG: f"2 processes, {STRONG.images} images each (strong scaling)",
    APART_HALF: f"2 that never meet, {APART_HALF.images} images each",
    WEAK: f"2 processes, {WEAK.images} images each (weak scaling)",
    APART: f"2 that never meet, {APART.images} images each",
}

Step = dict[str, float]
"""Seconds a step, by phase, of one process in one window."""


def main(*, smoke: bool) -> None:
    """Measure and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is to end as well
    with tempfile.TemporaryDirectory() as folder:
        steps = measured(Path(folder), smoke=smoke)
    print("\n\n".join([speeds(steps), losses(steps), profile(steps)]))


def measured(folder: Path, *, smoke: bool) -> dict[Setup, list[Step]]:
    """Of every setup the steps of each of its processes: medians over the windows."""
    import scaling_process  # takes seconds, as the next, and --paper needs none of it

    from facegen.bench.made_up import write_latents

    size, windows, window_steps = ("smoke", 2, 4) if smoke else ("full", 7, 8)
    latents = write_latents(folder / "latents", SHAPE, NUM_IMAGES, ATTRIBUTES)
    started: dict[Setup, list[Started]] = {}
    try:
        for setup in SETUPS:
            batch_size = setup.images * (setup.processes if setup.meet else 1)
            recipe = scaling_process.recipe_of(latents, batch_size, size)
            started[setup] = start(setup, (recipe, folder / setup.name, window_steps))
        pipes = {setup: [one.pipe for one in processes] for setup, processes in started.items()}
        (parameters, precision), *_ = [pipe.recv() for ends in pipes.values() for pipe in ends]
        print(
            f"{parameters / 1e6:.2f} M parameters, {precision}; {windows} windows of {window_steps} steps.\n"
        )
        return in_turns(pipes, windows)
    finally:
        for processes in started.values():
            for one in reversed(processes):  # the first one's store goes last
                one.process.kill()  # their runs have no end of their own
                one.process.join()


@dataclass(frozen=True)
class Started:
    """A process, and this end of the pipe to it."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection


def start(setup: Setup, words: tuple[Any, ...]) -> list[Started]:
    """The processes of a setup; `words` are told to each."""
    from scaling_process import train_in_windows

    started, port = [], free_port()
    for rank in range(setup.processes):
        here, there = multiprocessing.Pipe()
        launched = launcher_variables(rank, setup.processes, port) if setup.meet else {}
        # forked, so that torch is imported once
        process = multiprocessing.get_context("fork").Process(
            target=train_in_windows, args=(there, core(rank), launched, *words), daemon=True
        )
        process.start()
        there.close()
        started.append(Started(process, here))
    return started


def in_turns(pipes: dict[Setup, list[Connection]], windows: int) -> dict[Setup, list[Step]]:
    """Let the setups train a window each in turn; the first round, which warms up, is not counted."""
    rounds: dict[Setup, list[list[Step]]] = {setup: [] for setup in pipes}
    for number in range(1 + windows):
        for setup, ends in pipes.items():
            for pipe in ends:
                pipe.send(True)
            steps = [pipe.recv() for pipe in ends]
            if number > 0:
                rounds[setup].append(steps)
    return {
        setup: [
            {name: median(step[name] for step in of_one) for name in of_one[0]}
            for of_one in zip(*taken, strict=True)
        ]
        for setup, taken in rounds.items()
    }


def launcher_variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def core(rank: int) -> int | None:
    """The core of a process; None where the system does not let one choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[rank % len(cores)]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def images_per_second(setup: Setup, steps: list[Step]) -> float:
    """Of all its processes together."""
    return sum(setup.images / step[STEP] for step in steps)


def speeds(steps: dict[Setup, list[Step]]) -> str:
    """Images a second of every setup, and their part of as many times the first one's."""
    one = images_per_second(ALONE, steps[ALONE])
    lines = [f"{'':48}{'images/s':>10}{'speed-up':>10}{'efficiency':>12}"]
    for setup in SETUPS:
        speed = images_per_second(setup, steps[setup])
        speed_up = speed / one
        lines.append(
            f"{NAMES[setup]:48}{speed:10.1f}{speed_up:10.2f}{100 * speed_up / setup.processes:10.1f} %"
        )
    return "\n".join(lines)


def losses(steps: dict[Setup, list[Step]]) -> str:
    """Where the rest of twice one process went, in per cent of it."""
    share = {
        setup: 100 * images_per_second(setup, steps[setup]) / setup.processes / (ALONE.images / one)
        for one in [steps[ALONE][0][STEP]]
        for setup in SETUPS
    }
    columns = {
        "strong": (
            100 - share[ALONE_HALF],
            share[ALONE_HALF] - share[APART_HALF],
            share[APART_HALF] - share[STRONG],
        ),
        "weak": (0.0, 100 - share[APART], share[APART] - share[WEAK]),
    }
    rows = (
        "fewer images a step, in one process",
        "the machine: a second process beside it",
        "the meeting: two that meet, not two apart",
    )
    lines = [f"{'Lost of twice one process, %':48}" + "".join(f"{name:>10}" for name in columns)]
    for number, row in enumerate(rows):
        lines.append(f"{row:48}" + "".join(f"{column[number]:10.1f}" for column in columns.values()))
    lines.append(f"{'together':48}" + "".join(f"{sum(column):10.1f}" for column in columns.values()))
    return "\n".join(lines)


def profile(steps: dict[Setup, list[Step]]) -> str:
    """Milliseconds of a step in every process, by phase."""
    columns = (*PHASES, STEP, IDLE, THREADS)
    lines = [f"{'ms a step':22}" + "".join(f"{name:>10}" for name in columns)]
    for setup in SETUPS:
        for rank, step in enumerate(steps[setup]):
            numbers = "".join(f"{abs(1000 * step[name]):10.1f}" for name in columns)
            lines.append(f"{f'{setup.name}, process {rank}':22}{numbers}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a tiny model for seconds")
    parser.add_argument("--paper", action="store_true", help="8 and 64 GPUs, by arithmetic")
    arguments = parser.parse_args()
    if arguments.paper:
        print(paper())
    else:
        main(smoke=arguments.smoke)
