"""Every reader is given what nobody would write: valid files and words, changed, and anything at all.

python benchmarks/fuzz.py OUT                                    20,000 inputs a reader
python benchmarks/fuzz.py OUT --inputs 500 --reader prompts --seed 7

A reader ends with success or a `FacegenError`. Any other exception is a fault, as is an input that takes
longer than 10 seconds of computing or 60 in all, one that needs 3 GiB of memory more than before, and one
that ends the process. Inputs are hypothesis' (`tests/support/fuzzed`), the same for the same seed. Each
reader has a process of its own. OUT keeps `table.md`, `readers.json` and under `failing/` the first inputs of
each kind of fault; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

INPUTS = 20_000
LONGEST_SECONDS, LONGEST_WAIT_SECONDS = 10, 60
MORE_BYTES = 3 << 30
KEPT = 3  # inputs of one kind of fault
RESULT, CURRENT = "result.json", "current.pickle"


@dataclass
class Count:
    """What became of one reader's inputs; `faults` are kinds of exceptions, with where they were raised."""

    reader: str
    inputs: int = 0
    successes: int = 0
    refusals: int = 0
    faults: dict[str, int] = field(default_factory=dict[str, int])
    told: dict[str, str] = field(default_factory=dict[str, str])
    slowest_seconds: float = 0.0
    seconds: float = 0.0
    peak_mb: int = 0

    def row(self) -> str:
        told = f"{self.inputs:,} | {self.successes:,} | {self.refusals:,} | {sum(self.faults.values()):,}"
        return f"| {self.reader} | {told} | {self.slowest_seconds:.2f} | {self.peak_mb} |"


HEAD = (
    "| reader | inputs | read | refused | other | slowest, s | peak, MB |\n"
    "|---|---|---|---|---|---|---|"
)  # fmt: skip


class TooSlow(BaseException):
    """The time that one input may take is over."""


def fuzz(name: str, inputs: int, seed: int, out: Path) -> None:
    """Give one reader its inputs; `out` gets the count and what failed. Ends with the process."""
    import hypothesis
    import torch
    from support.fuzzed import READERS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    reader, count = READERS[name], Count(name)
    settings = hypothesis.settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.data_too_large,
            hypothesis.HealthCheck.large_base_example,
        ],
    )
    with tempfile.TemporaryDirectory() as place, reader.opened(Path(place)) as read:
        _limit()

        @hypothesis.seed(seed)
        @settings
        @hypothesis.given(reader.inputs)
        def each(one: Any) -> None:
            (out / CURRENT).write_bytes(pickle.dumps(one))
            started = time.process_time()
            fault, told = _fault_of(read, one, count)
            seconds = time.process_time() - started
            count.inputs += 1
            count.seconds += seconds
            count.slowest_seconds = max(count.slowest_seconds, seconds)
            if fault:
                count.faults[fault] = count.faults.get(fault, 0) + 1
                count.told.setdefault(fault, told)
                _keep(out, name, fault, one, count.faults[fault])

        each()
        count.peak_mb = _peak_mb()
    (out / RESULT).write_text(json.dumps(asdict(count)))


def _fault_of(read: Any, one: Any, count: Count) -> tuple[str, str]:
    """What was raised that is no `FacegenError`: its type and place, and its words; empty for all else."""
    from facegen.errors import FacegenError

    _let_run(LONGEST_SECONDS, LONGEST_WAIT_SECONDS)
    try:
        read(one)
    except FacegenError as error:
        count.refusals += 1
        return ("", "") if str(error) else (f"an empty {type(error).__name__}", "")
    except (Exception, TooSlow) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/facegen/" in frame.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return f"{type(error).__name__} at {place}", str(error)[:150]
    finally:
        _let_run(0, 0)
    count.successes += 1
    return "", ""


def _keep(out: Path, name: str, fault: str, one: Any, number: int) -> None:
    """Keep an input; of a kind of fault (its type and place) the first few."""
    kind = "".join(letter if letter.isalnum() else "-" for letter in f"{name} {fault}")
    folder = out.parent.parent / "failing"
    folder.mkdir(exist_ok=True)
    if number <= KEPT and not (folder / f"{kind}-{number}.pickle").exists():
        (folder / f"{kind}-{number}.pickle").write_bytes(pickle.dumps(one))


def _let_run(computing_seconds: int, seconds: int) -> None:
    """Stop what goes on for longer, again every second: some code goes on after an exception. 0: no limit."""
    signal.setitimer(signal.ITIMER_PROF, computing_seconds, 1)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)


def _limit() -> None:
    """From here on memory and the time of an input are bounded."""
    import resource

    def over(number: int, frame: Any) -> None:
        raise TooSlow(f"more than {LONGEST_SECONDS} seconds, or {LONGEST_WAIT_SECONDS} of waiting")

    signal.signal(signal.SIGALRM, over)
    signal.signal(signal.SIGPROF, over)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _peak_mb() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def run(name: str, inputs: int, seed: int, out: Path) -> Count:
    """One reader in a process of its own."""
    place = out / "work" / "".join(letter if letter.isalnum() else "-" for letter in name)
    place.mkdir(parents=True, exist_ok=True)
    (place / RESULT).unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=fuzz, args=(name, inputs, seed, place))
    process.start()
    process.join()
    if (place / RESULT).is_file():
        return Count(**json.loads((place / RESULT).read_text()))
    fault = f"the process ended with {process.exitcode}"
    if (place / CURRENT).is_file():
        _keep(place, name, fault, pickle.loads((place / CURRENT).read_bytes()), 1)
    return Count(name, faults={fault: 1})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--reader", nargs="*", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from support.fuzzed import READERS

    unknown = set(options.reader or ()) - set(READERS)
    if unknown:
        parser.error(f"no reader {', '.join(unknown)}; there are: {', '.join(READERS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    counts: list[Count] = []
    print(HEAD, flush=True)
    for name in options.reader or READERS:
        counts.append(run(name, options.inputs, options.seed, options.out))
        print(counts[-1].row(), flush=True)
        for fault, times in counts[-1].faults.items():
            print(f"    {times} x {fault}: {counts[-1].told.get(fault, '')}", flush=True)
        (options.out / "readers.json").write_text(json.dumps([asdict(one) for one in counts], indent=1))
        (options.out / "table.md").write_text("\n".join([HEAD, *(one.row() for one in counts), ""]))
    return int(any(one.faults for one in counts))


if __name__ == "__main__":
    sys.exit(main())
