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
RANDOM = ("--features", "random-inception")
NAMES = ("seconds", "memory_bytes", "disk_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--count",
        type=int,
        default=4000,
        help="avatars to prepare and encode; an eighth to draw, and steps to train",
    )
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    os.environ["FACEGEN_CACHE"] = str(asked.out / "cache")  # nothing is kept from before
    subprocess.run([*BEGIN, "sample", "box", "--count", "1", "--out", str(asked.out / "one")], check=True)
    autoencoder = next((asked.out / "cache" / "box").rglob("checkpoints/*/autoencoder"))
    faces, latents = asked.out / "prepare", asked.out / "encode"
    few = str(asked.count // 8)
    lines = {
        "prepare": ["prepare", "avatars", "--size", "128", "--variety", "rich", "--count", str(asked.count)],
        "encode": ["encode", str(faces), "--autoencoder", str(autoencoder)],
        "train": [
            "train",
            "--preset",
            "avatars",
            "--data",
            str(latents),
            "--set",
            f"training.max_steps={few}",
        ],
        "sample": ["sample", "box", "--prompt", "smiling, a hat", "--count", few],
        "eval": ["eval", "fid", "box", "--reference", str(faces), *RANDOM, "--num-samples", few],
    }
    print("| command | seconds | memory | disk | dry run took |\n|---|---|---|---|---|")
    for name, line in lines.items():
        out = asked.out / ("cache/features" if name == "eval" else name)
        if name != "eval":
            line += ["--run" if name == "train" else "--out", str(out)]
        began = time.monotonic()
        dry = subprocess.run([*BEGIN, *line, "--dry-run", "--json"], capture_output=True, check=True)
        dry_seconds = time.monotonic() - began
        told, taken = json.loads(dry.stdout), really(line, out)
        cells = [
            f"{told[figure] / scale:,.1f} : {taken[figure] / scale:,.1f} {unit}"
            for figure, scale, unit in zip(NAMES, (1.0, 1e6, 1e6), ("s", "MB", "MB"), strict=True)
        ]
        words = " ".join(word for word in line if str(asked.out) not in word)
        print(f"| `{words}` | {' | '.join(cells)} | {dry_seconds:.0f} s |", flush=True)


def really(line: list[str], out: Path) -> dict[str, float]:
    """What the command takes."""
    began = time.monotonic()
    process = subprocess.Popen([*BEGIN, *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"'{' '.join(line)}' ended with {os.waitstatus_to_exitcode(status)}.")
    files = (Path(parent, name) for parent, _, names in os.walk(out) for name in names)
    sizes = sum(path.stat().st_size for path in files)
    seconds, memory = time.monotonic() - began, used.ru_maxrss * 1024
    return dict(zip(NAMES, (seconds, memory, sizes), strict=True))


if __name__ == "__main__":
    main()
