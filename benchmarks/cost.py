"""What commands cost as their work grows: processor seconds and memory, as tables and as a picture.

python benchmarks/cost.py OUT                                               some ten minutes on one core
python benchmarks/cost.py OUT --counts 20 40 --sides 32 64 --batches 1 4    a try

Each command is a process of its own, its start included; memory is the most that it had resident. They
prepare rendered avatars, encode them by the autoencoder in the box, draw with the model in the box, and
score avatars against others in EfficientNet-Lite0's features: as many images as `--counts` say, of which
a tenth is drawn and an eighth scored; `FIXED` images of other sizes, and at other batch sizes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

BEGIN = [sys.executable, "-c", "from facegen.cli.app import main; main()"]
FIXED = 256
COLOURS = {"prepare": "#2a6f97", "encode": "#e07a1f", "sample": "#4d9221", "eval": "#8e44ad"}
AXES = ("images", "pixels a side", "batch")
Cost = tuple[str, str, int, float, float]  # command, axis, how much of it, processor seconds, bytes


def main() -> None:
    """Print the table and write `cost.png` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 4000, 16_000])
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    os.environ["FACEGEN_CACHE"] = str(asked.out.resolve() / "cache")
    print("| command | of | how much | processor, s | memory, MB |\n|---|---|---|---|---|")
    found: list[Cost] = []
    for cost in measured(asked.out, asked.counts, asked.sides, asked.batches):
        command, axis, amount, seconds, memory = cost
        print(f"| {command} | {axis} | {amount:,} | {seconds:.1f} | {memory / 1e6:,.0f} |", flush=True)
        found.append(cost)
    draw(found, asked.out / "cost.png")


def measured(
    out: Path, counts: Sequence[int], sides: Sequence[int], batches: Sequence[int]
) -> Iterator[Cost]:
    """One command after the other, smallest first."""
    taken("sample", "box", "--count", "1", "--out", str(out / "first"))
    autoencoder = str(next((out / "cache" / "box").rglob("checkpoints/*/autoencoder")))
    avatars = ("prepare", "avatars", "--workers", "1", "--seed", "1")
    for count in counts:
        faces, drawn = str(out / f"faces-{count}"), str(out / f"drawn-{count}")
        few, some = str(max(1, count // 10)), str(max(20, count // 8))
        lines = {
            "prepare": [*avatars, "--size", "64", "--count", str(count), "--out", faces],
            "encode": ["encode", faces, "--autoencoder", autoencoder, "--out", f"{faces}-latents"],
            "sample": ["sample", "box", "--prompt", "smiling", "--count", few, "--out", drawn],
        }
        for command, line in lines.items():
            yield command, "images", int(few) if command == "sample" else count, *taken(*line)
        images = ["prepare", "avatars", "--seed", "2", "--size", "64", "--count", some, "--out"]
        taken(*images, f"{faces}-others", "--splits", "1,0,0")
        subject = ["eval", "fid", f"{faces}-others", "--reference", faces, "--num-samples", some]
        yield "eval", "images", int(some), *taken(*subject, "--features", "efficientnet-lite0")
    for side in sides:
        faces = str(out / f"side-{side}")
        line = [*avatars, "--size", str(side), "--count", str(FIXED), "--out", faces]
        yield "prepare", "pixels a side", side, *taken(*line)
        line = ["encode", faces, "--autoencoder", autoencoder, "--out", f"{faces}-latents"]
        yield "encode", "pixels a side", side, *taken(*line)
    for batch in batches:
        more = ("--batch-size", str(batch), "--out", str(out / f"batch-{batch}"))
        line = ["encode", str(out / f"side-{sides[-1]}"), "--autoencoder", autoencoder, *more]
        yield "encode", "batch", batch, *taken(*line)
        more = (*more[:-1], str(out / f"batch-{batch}-drawn"))
        yield "sample", "batch", batch, *taken("sample", "box", "--count", "64", *more)


def taken(*line: str) -> tuple[float, float]:
    """Processor seconds and bytes of memory of a command and what it started."""
    process = subprocess.Popen([*BEGIN, *line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"'facegen {' '.join(line)}' failed:\n{said}")
    return used.ru_utime + used.ru_stime, 1024.0 * used.ru_maxrss


def draw(found: Sequence[Cost], file: Path) -> None:
    """Seconds above (both scales logarithmic), memory below, a column for each of what grows."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(12, 6), dpi=110, layout="constrained")
    rows = (("processor seconds", 3, 1.0), ("memory, MB", 4, 1e6))
    for row, (label, place, scale) in enumerate(rows):
        for column, axis in enumerate(AXES):
            axes = figure.add_subplot(2, 3, 1 + 3 * row + column)
            for command, colour in COLOURS.items():
                points = [cost for cost in found if cost[:2] == (command, axis)]
                if points:
                    values = [float(cost[place]) / scale for cost in points]
                    axes.plot([cost[2] for cost in points], values, "o-", color=colour, label=command)
            axes.set_xscale("log")
            amounts = sorted({cost[2] for cost in found if cost[1] == axis})
            axes.set_xticks(amounts if axis != "images" else [100, 1000, 10_000])
            axes.xaxis.set_minor_formatter(NullFormatter())
            if row == 0:
                axes.set_yscale("log")
                axes.set_ylim(1, 1000)
            else:
                axes.set_ylim(0, 1.15 * max(cost[4] for cost in found) / 1e6)
            for scale_of in (axes.xaxis, axes.yaxis):
                scale_of.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.set_xlabel(axis)
            axes.set_ylabel(label)
            axes.grid(alpha=0.2, which="both")
            if row == 0:
                axes.legend(fontsize=8)
    figure.savefig(file)


if __name__ == "__main__":
    main()
