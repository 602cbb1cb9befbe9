"""Makes the pictures of docs/seeing.md anew, by the commands that stand beside them on the page.

facegen demo --out demo                          what the commands are about
python examples/docs_pictures.py                 all pictures, some minutes on two CPU cores
python examples/docs_pictures.py curves latents  these alone
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageSequence

DOCS = Path(__file__).resolve().parents[1] / "docs"
LARGEST_BYTES = 150_000  # of one picture, so that the pages stay quick
WIDEST_PIXELS = 1600
QUALITY = 88  # of WebP


def commands_of(page: str) -> dict[str, list[str]]:
    """The words of every command on the page that writes a picture, by the picture's name."""
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.S) for line in block.splitlines()]
    plots = [shlex.split(line) for line in lines if line.startswith("facegen plot ") and " --out " in line]
    return {Path(words[words.index("--out") + 1]).stem: words for words in plots}


def make(name: str, words: list[str], demo: Path, target: Path) -> Path:
    """Run one command where `demo` is called demo, and keep its picture small: NAME.webp in `target`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "demo").symlink_to(demo.resolve())
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True)
        made = Path(folder) / words[words.index("--out") + 1]
        small = target / f"{name}.webp"
        _shrink(made, small)
    size = small.stat().st_size
    if size > LARGEST_BYTES:
        raise SystemExit(f"{small} has {size:,} bytes; at most {LARGEST_BYTES:,} are wanted: show less.")
    return small


def _shrink(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            scale = min(1.0, WIDEST_PIXELS / frame.width)
            size = round(frame.width * scale), round(frame.height * scale)
            frames.append(frame.convert("RGB").resize(size, Image.Resampling.LANCZOS))
            durations.append(frame.info.get("duration", 0))
    first, *others = frames
    moving = {"save_all": True, "append_images": others, "duration": durations, "loop": 0} if others else {}
    first.save(target, "WEBP", quality=QUALITY, method=6, **moving)


def main(names: list[str], demo: Path, target: Path) -> list[Path]:
    """Make the pictures `names`, or all; returns their files."""
    commands = commands_of((DOCS / "seeing.md").read_text("utf-8"))
    unknown = sorted(set(names) - set(commands))
    if unknown:
        raise SystemExit(
            f"No command of the page makes {', '.join(unknown)}; it makes {', '.join(commands)}."
        )
    target.mkdir(parents=True, exist_ok=True)
    return [make(name, commands[name], demo, target) for name in names or commands]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="pictures to make; left out: all")
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what 'facegen demo' made")
    parser.add_argument("--out", type=Path, default=DOCS / "pictures")
    arguments = parser.parse_args()
    for path in main(arguments.names, arguments.demo, arguments.out):
        print(f"{path}  {path.stat().st_size:,} bytes")
