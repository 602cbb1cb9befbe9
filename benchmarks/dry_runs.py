"""Do dry runs tell the truth? Each command is run dry and then for real, and both are put side by side.

python benchmarks/dry_runs.py OUT                  some minutes
python benchmarks/dry_runs.py OUT --count 2000     fewer images of each

Time is that of the whole command, its start included; memory the most that one of its processes had resident;
disk the bytes in the files of its folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

BEGIN = [sys.executable, "-c", "from facegen.cli.app import main; main()"]
NAMES = ("seconds", "memory_bytes", "disk_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=4000, help="avatars to prepare, and an eighth to draw")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    lines = {
        "prepare": ["prepare", "avatars", "--count", str(asked.count)],
        "sample": ["sample", "box", "--prompt", "smiling, a hat", "--count", str(asked.count // 8)],
    }
    print("| command | seconds | memory | disk | dry run took |\n|---|---|---|---|---|")
    for name, line in lines.items():
        out = asked.out / name
        began = time.monotonic()
        dry = subprocess.run(
            [*BEGIN, *line, "--out", str(out), "--dry-run", "--json"], capture_output=True, check=True
        )
        dry_seconds = time.monotonic() - began
        told, taken = json.loads(dry.stdout), really(line, out)
        cells = [
            f"{told[figure] / scale:,.1f} : {taken[figure] / scale:,.1f} {unit}"
            for figure, scale, unit in zip(NAMES, (1.0, 1e6, 1e6), ("s", "MB", "MB"), strict=True)
        ]
        print(f"| `{' '.join(line)}` | {' | '.join(cells)} | {dry_seconds:.0f} s |", flush=True)


def really(line: list[str], out: Path) -> dict[str, float]:
    """What the command takes."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*BEGIN, *line, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"'{' '.join(line)}' ended with {os.waitstatus_to_exitcode(status)}.")
    files = (Path(parent, name) for parent, _, names in os.walk(out) for name in names)
    sizes = sum(path.stat().st_size for path in files)
    seconds, memory = time.monotonic() - began, used.ru_maxrss * 1024
    return dict(zip(NAMES, (seconds, memory, sizes), strict=True))


if __name__ == "__main__":
    main()
