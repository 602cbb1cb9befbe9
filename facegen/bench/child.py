"""Run as a program: one stage, in a process of its own; how far it is and what it found go to stdout.

A line of JSON each after `MARK`: {"round": true}, at last {"result": ...} or {"failed": [error, message,
hint]}.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from facegen.bench.timing import Bench
from facegen.errors import FacegenError
from facegen.formats.plain import plain

MARK = "facegen-bench:"


def tell(**told: Any) -> None:
    """One line to who started this."""
    print(MARK + json.dumps(told), flush=True)


def main(stage: str, folder: Path, *, quick: bool) -> None:
    """Measure `stage` in `folder`, which is empty."""
    began = time.perf_counter()
    bench = Bench(folder, quick, lambda: tell(round=True))
    try:
        found = import_module(f"facegen.bench.stages.{stage}").measure(bench)
    except FacegenError as error:
        tell(failed=[type(error).__name__, error.args[0], error.hint])
    else:
        tell(result={**plain(found), "seconds": round(time.perf_counter() - began, 1)})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), quick="quick" in sys.argv[3:])
