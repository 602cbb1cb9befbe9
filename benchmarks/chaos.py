"""The way from nothing to scores, killed and out of disk at random moments, beside one undisturbed.

python benchmarks/chaos.py OUT                              60 kills, 20 full disks, 20 and 20 of both
python benchmarks/chaos.py OUT --kills 6 --full-disks 3 --only kills

Each stage is a `facegen` command, in its smallest size, in a process of its own. After each kill or full disk
the same command comes again, until all stages are done; then come the next moments, in a new folder. The end
is compared byte for byte: data set, labels, latents, weights, pictures; and every score. What differs is
named, and the exit code is 1.

A moment is drawn evenly from the time that the stage took undisturbed. Processes are forked from one that has
imported everything, or half of all kills would meet an import. The disk is a tmpfs in a mount namespace of
this program alone (Linux; root, or a system that lets users have such), filled to its last byte at the moment
and freed when the command has ended; it must then have ended with 0 or with 5, and no traceback.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

INSIDE = "FACEGEN_CHAOS_INSIDE"
DISK_MB = 256
FULL = 5  # exit code
MOST_TRIES = 200  # of one stage
RESUMED = ("--size", "smoke", "--resume", "auto", "--device", "cpu")
IMPORTED = (
    "preparation.prepare",
    "preparation.label",
    "training.train",
    "encoding.encode",
    "sampling.sample",
    "evaluation.distribution",
    "evaluation.attributes",
    "report.report",
    "plotting.curves",
)
ASKED = ("--prompt", "a smiling man with glasses", "--count", "24", "--batch-size", "4")
STAGES: dict[str, tuple[str, ...]] = {
    "prepare": ("prepare", "avatars", "--out", "data", "--count", "96", "--size", "32", "--workers", "1"),
    "train judge": ("train", "--preset", "avatars-classifier", "--data", "data", "--run", "judge", *RESUMED),
    "label": ("label", "data", "--classifier", "judge", "--out", "labelled", "--device", "cpu"),
    "train autoencoder": (
        *("train", "--preset", "avatars-autoencoder", "--data", "labelled", "--run", "autoencoder"),
        *("--set", "training.checkpoint_every_steps=1", *RESUMED),
    ),
    "encode": (
        *("encode", "labelled", "--autoencoder", "autoencoder", "--out", "latents", "--flips"),
        *("--shard-size", "8", "--batch-size", "4", "--device", "cpu"),
    ),
    "train": (
        *("train", "--preset", "avatars", "--data", "latents", "--run", "run"),
        *("--set", "training.max_steps=12", *RESUMED),
    ),
    "sample": ("sample", "run", *ASKED, "--out", "faces", "--device", "cpu"),
    "eval": (
        *("eval", "fid", "run", "--reference", "data", "--features", "classifier:judge"),
        *("--num-samples", "24", "--device", "cpu"),
    ),
    "plot": ("plot", "curves", "run", "--out", "curves.png"),
    "report": ("report", "run"),
}
COMPARED = ("data", "labelled", "latents", "faces", "*/checkpoints", "run/samples", "curves.png")
VOLATILE = ("seconds", "saved_to", "made", "images_per_second")


class Ended(NamedTuple):
    """What a command came to."""

    code: int  # negative for the signal that ended it
    seconds: float
    told: str


@dataclass
class Tally:
    """What was injected, by stage, and what came of it."""

    kills: Counter[str] = field(default_factory=Counter[str])
    full_disks: Counter[str] = field(default_factory=Counter[str])
    felt: int = 0  # full disks that ended the command
    ways: int = 0
    complaints: list[str] = field(default_factory=list[str])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--full-disks", type=int, default=20)
    parser.add_argument("--only", choices=("kills", "full-disks", "both"), nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    kinds = asked.only or ("kills", "full-disks", "both")
    if {*kinds} - {"kills"} and INSIDE not in os.environ:
        return _again_in_a_namespace(sys.argv[1:] if arguments is None else arguments)
    for module in IMPORTED:
        importlib.import_module(f"facegen.{module}")
    out = Path(os.path.abspath(asked.out))
    seconds, expected = undisturbed(out / "undisturbed")
    print(f"Undisturbed: {sum(seconds.values()):.0f} s, {len(expected)} files and scores.", flush=True)
    wanted = {"kills": (asked.kills, 0), "full-disks": (0, asked.full_disks)}
    differences = 0
    for kind in kinds:
        with_disk = kind != "kills"
        kills, full_disks = wanted.get(kind, (asked.full_disks, asked.full_disks))
        chaos = Chaos(out / kind, seconds, expected, random.Random(f"{asked.seed}/{kind}"), with_disk)
        differences += chaos.run(kills, full_disks)
    return 1 if differences else 0


def _again_in_a_namespace(arguments: Sequence[str]) -> int:
    """This program once more, where it may mount a small disk that nobody else sees."""
    inside = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        sys.executable,
        str(Path(__file__).resolve()),
    ]
    can = (
        shutil.which("unshare") and subprocess.run([*inside[:4], "true"], capture_output=True).returncode == 0
    )
    if not can:
        print("This system lets nobody mount a disk of their own: --only kills is what runs here.")
        return 2
    return subprocess.run([*inside, *arguments], env={**os.environ, INSIDE: "1"}).returncode


def undisturbed(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """The seconds of each stage, and what it all came to."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seconds = {}
    for name, words in STAGES.items():
        ended = start(folder, words)()
        assert ended.code == 0, ended.told
        seconds[name] = ended.seconds
    return seconds, contents(folder)


@dataclass
class Chaos:
    """Ways through all stages in `folder`, with trouble at moments that `rng` draws."""

    folder: Path
    seconds: dict[str, float]
    expected: dict[str, str]
    rng: random.Random
    with_disk: bool
    tally: Tally = field(default_factory=Tally)

    def run(self, kills: int, full_disks: int) -> int:
        """Go way after way until all trouble has been; the number of differences and complaints."""
        differences: list[str] = []
        while sum(self.tally.kills.values()) < kills or sum(self.tally.full_disks.values()) < full_disks:
            self._begin()
            for name, words in STAGES.items():
                self._stage(name, words, kills, full_disks)
            found = contents(self.folder)
            names = sorted(
                name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)
            )
            differences += [
                f"way {self.tally.ways}: {name} {_how(found.get(name), self.expected.get(name))}"
                for name in names
            ]
            differences += [f"way {self.tally.ways}: left: {name}" for name in leftovers(self.folder)]
            self.tally.ways += 1
            self._end(keep=bool(names))
        for line in (*differences, *self.tally.complaints):
            print(line, flush=True)
        print(self._summary(len(differences)), flush=True)
        return len(differences) + len(self.tally.complaints)

    def _summary(self, differences: int) -> str:
        tally, kills, full = self.tally, sum(self.tally.kills.values()), sum(self.tally.full_disks.values())
        return (
            f"{self.folder.name}: {kills} kills, {full} full disks ({tally.felt} ended the command), "
            f"{tally.ways} ways; {differences} differences, {len(tally.complaints)} complaints.\n"
            f"  kills: {_told(tally.kills)}\n  full disks: {_told(tally.full_disks)}"
        )

    def _begin(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.with_disk:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(self.folder)]
            subprocess.run(mount, check=True)

    def _end(self, *, keep: bool) -> None:
        if keep:
            kept = self.folder.with_name(f"{self.folder.name}-way-{self.tally.ways}")
            shutil.copytree(self.folder, kept, symlinks=True, dirs_exist_ok=True)
        if self.with_disk:
            subprocess.run(["umount", str(self.folder)], check=True)

    def _stage(self, name: str, words: Sequence[str], kills: int, full_disks: int) -> None:
        """Repeat one command until it ends well; the first two times there is trouble on the way."""
        for attempt in range(MOST_TRIES):
            trouble: list[Callable[[int], bool]] = []
            if attempt < 2 and sum(self.tally.kills.values()) < kills:
                trouble.append(lambda pid: self._kill(name, pid))
            if attempt < 2 and sum(self.tally.full_disks.values()) < full_disks:
                trouble.append(lambda pid: self._fill(name, pid))
            ended = self._disturbed(name, words, trouble)
            if "Traceback" in ended.told:
                self.tally.complaints.append(f"{name}: traceback: {ended.told[-1500:]}")
            if ended.code == 0:
                return
            self.tally.felt += ended.code == FULL
            if ended.code not in (-signal.SIGKILL, FULL):
                self.tally.complaints.append(f"{name}: exit code {ended.code}: {ended.told[-1500:]}")
                if attempt > 2:
                    raise SystemExit(f"'{name}' does not end any more: {ended.told}")
        raise SystemExit(f"'{name}' was not done after {MOST_TRIES} tries.")

    def _disturbed(self, name: str, words: Sequence[str], trouble: list[Callable[[int], bool]]) -> Ended:
        wait = start(self.folder, words)
        pid, begun = wait.pid, time.monotonic()
        if not trouble:
            return wait()
        make, delay = self.rng.choice(trouble), self.rng.uniform(0, self.seconds[name])
        while time.monotonic() - begun < delay and not wait.is_over():
            time.sleep(0.002)
        if not wait.is_over():
            make(pid)
        ended = wait()
        (self.folder / ".filler").unlink(missing_ok=True)
        return ended

    def _kill(self, name: str, pid: int) -> bool:
        os.kill(pid, signal.SIGKILL)
        self.tally.kills[name] += 1
        return True

    def _fill(self, name: str, pid: int) -> bool:
        """Take what is free, stopped meanwhile so that nothing is written before the disk is full."""
        os.kill(pid, signal.SIGSTOP)
        with (self.folder / ".filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                left = os.statvfs(self.folder)
                file.write(b"x" * max(1, left.f_bavail * left.f_frsize))
        os.kill(pid, signal.SIGCONT)
        self.tally.full_disks[name] += 1
        return True


class start:
    """A `facegen` command begun in a forked process in `folder`; called, it is waited for."""

    def __init__(self, folder: Path, words: Sequence[str]) -> None:
        self._log = folder.with_name(f"{folder.name}.log")
        self._log.write_bytes(b"")
        self._began, self._status = time.monotonic(), None
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(_run(folder, self._log, words))

    def is_over(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def __call__(self) -> Ended:
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return Ended(code, time.monotonic() - self._began, self._log.read_text("utf-8", "replace"))


def _run(folder: Path, log: Path, words: Sequence[str]) -> int:
    """The command's exit code; what it prints goes to `log`."""
    from facegen.cli.app import main as facegen

    os.chdir(folder)
    with log.open("wb", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ["FACEGEN_CACHE"] = str(folder / "cache")
    sys.argv = ["facegen", *words]
    try:
        facegen()
        code: Any = 0
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def contents(folder: Path) -> dict[str, str]:
    """What is compared: the sha256 of each file by name, and the scores."""
    from facegen.formats.files import sha256_of

    found: dict[str, str] = {}
    for pattern in COMPARED:
        for path in folder.glob(pattern):
            files = [path] if path.is_file() else path.rglob("*")
            found |= {str(one.relative_to(folder)): sha256_of(one) for one in files if one.is_file()}
    scores = {_plain(path.read_text("utf-8")) for path in folder.glob("run/evaluations/*.json")}
    found["scores"] = "\n".join(sorted(scores))  # one, however often it was written
    metrics = (folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    found["metrics"] = "\n".join(map(_plain, metrics))
    return found


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders that nothing will remove."""
    names = (path.relative_to(folder) for path in folder.rglob(".*"))
    return sorted(str(name) for name in names if not str(name).startswith("cache/"))


def _plain(text: str) -> str:
    return json.dumps(_timeless(json.loads(text)), sort_keys=True)


def _timeless(data: Any) -> Any:
    """Without what says how long something took, and when."""
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in VOLATILE}  # pyright: ignore
    return [_timeless(one) for one in data] if isinstance(data, list) else data  # pyright: ignore


def _how(found: str | None, expected: str | None) -> str:
    return "is missing" if found is None else "is left over" if expected is None else "differs"


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())
