"""The same run, whatever the number of processes: a table that shows what differs, and by how much.

python examples/many_processes.py OUT            three to four minutes on two CPU cores
python examples/many_processes.py OUT --smoke    a minute: fewer steps, and two processes at most

Everything is done by `facegen` commands, in 1, 2 and 4 processes as torchrun starts them. Training is in
float64, where sums in another order differ by 1e-16 and a real difference would show.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
RECIPE = """
task: {kind: denoising, validation_examples: 32}
denoiser: {kind: dit, patch_size: 2, width: 64, depth: 2, num_heads: 2}
conditioner: {kind: attributes, dim: 32}
diffusion: {parameterisation: flow, timesteps: logit_normal}
optimizer: {lr: 0.001, lr_schedule: cosine, warmup_steps: 20}
ema: {decay: 0.99}
training: {batch_size: 24, precision: fp64, log_every_steps: 1, validate_every_steps: 50,
           checkpoint_every_steps: 50}
"""


def facegen(*words: str | Path, processes: int = 1) -> str:
    """What a command prints as data; of several processes the first one's."""
    done = start(*words, processes=processes).communicate()
    return done[0]


def start(*words: str | Path, processes: int = 1) -> subprocess.Popen[str]:
    """A command in `processes`, which torchrun starts where they are several."""
    launcher = [sys.executable, "-m", "facegen"]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launcher += [str(processes), "-m", "facegen", "--"]
    command = [*launcher, *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )


def main(out: Path, *, smoke: bool) -> None:
    """Do everything below `out` and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    steps, counts = (40, (1, 2)) if smoke else (200, (1, 2, 4))
    (out / "recipe.yaml").write_text(RECIPE)
    facegen("prepare", "avatars", "--out", out / "avatars", "--count", "240", "--size", "32", "-q")
    for preset, run in (("avatars-classifier", "judge"), ("avatars-autoencoder", "ae")):
        words = ("--data", out / "avatars", "--run", out / run, "--size", "smoke", "-q")
        facegen("train", "--preset", preset, *words)
    told = [f"{'':24}" + "".join(f"{count} process{'es' * (count > 1):4}".rjust(16) for count in counts)]
    rows = [measured(out, count, steps) for count in counts]
    told += [f"{name:24}" + "".join(row[name].rjust(16) for row in rows) for name in rows[0]]
    print("\n".join(told))
    print(killed(out, steps))


def measured(out: Path, count: int, steps: int) -> dict[str, str]:
    """A column of the table: everything with `count` processes, compared with one."""
    here, one = out / f"with-{count}", out / "with-1"
    latents = here / "latents"
    words = ("--autoencoder", out / "ae", "--out", latents, "--shard-size", "32", "-q")
    facegen("encode", out / "avatars", *words, processes=count)
    began = time.monotonic()
    facegen(*training(out, here / "run", steps), processes=count)
    seconds = time.monotonic() - began
    facegen("sample", one / "run", "--count", "12", "--out", here / "faces", "-q", processes=count)
    words = ("--reference", out / "avatars", "--features", f"classifier:{out / 'judge'}")
    score = facegen("eval", "fid", one / "run", *words, "--num-samples", "96", "--json", processes=count)
    (here / "score.json").write_text(json.dumps(json.loads(score)["scores"]))
    scores = [(folder / "score.json").read_bytes() for folder in (one, here)]
    losses = [[entry["loss"] for entry in log(run / "run")] for run in (one, here)]
    weights = [load_file(last(run / "run") / "model.safetensors") for run in (one, here)]
    largest = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    return {
        "training losses": difference(max(abs(a - b) for a, b in zip(*losses, strict=True))),
        "trained weights": difference(largest),
        "latents, files": same(one / "latents", latents),
        "pictures, files": same(one / "faces", here / "faces"),
        "Fréchet distance": "equal" if scores[0] == scores[1] else "DIFFERS",
        "seconds of training": f"{seconds:.1f}",
    }


def training(out: Path, run: Path, steps: int) -> tuple[str | Path, ...]:
    """The command that trains the run; on the latents of one process: one thing is compared at a time."""
    words = ("train", "--config", out / "recipe.yaml", "--data", out / "with-1" / "latents", "--run", run)
    return (*words, "--set", f"training.max_steps={steps}", "-q")


def killed(out: Path, steps: int) -> str:
    """One of two processes is killed; the run goes on in one and in three, and ends as it would have."""
    run = out / "killed"
    words = (*training(out, run, steps), "--resume", "auto")
    started = start(*words, processes=2)
    while not (run / "checkpoints" / "step-00000050").exists() and started.poll() is None:
        time.sleep(0.02)
    victim = subprocess.run(
        ["pgrep", "-g", str(started.pid), "-f", "facegen"], capture_output=True, text=True, check=False
    ).stdout.split()
    if started.poll() is None and victim:
        os.kill(int(victim[-1]), signal.SIGKILL)
    began = time.monotonic()
    started.communicate()
    stopped = time.monotonic() - began
    facegen(*words, processes=3)
    weights = [load_file(last(each) / "model.safetensors") for each in (out / "with-1" / "run", run)]
    largest = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    return (
        f"\nOne of two processes killed: the other stopped after {stopped:.1f} s; gone on with in three, "
        f"the weights differ by {difference(largest)}."
    )


def last(run: Path) -> Path:
    """The newest checkpoint."""
    return sorted((run / "checkpoints").glob("step-*"))[-1]


def log(run: Path) -> list[dict[str, float]]:
    """The training losses."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["group"] == "train"]


def difference(value: float) -> str:
    """For people."""
    return "0" if value == 0 else f"{value:.0e}"


def same(one: Path, other: Path) -> str:
    """Whether two folders hold the same files, byte for byte."""
    files, others = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    )
    different = [name for name in files.keys() | others.keys() if files.get(name) != others.get(name)]
    return f"{len(different)} DIFFER" if different else f"{len(files)} equal"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    main(arguments.out, smoke=arguments.smoke)
