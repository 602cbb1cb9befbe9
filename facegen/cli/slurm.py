"""`facegen slurm`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from facegen.cli.command import command
from facegen.cli.train import RecipeOptions, composed
from facegen.options import Option

JOB = "Job: what the cluster is asked for"
SCRIPT = """#!/bin/bash
{directives}

# Stopped by the cluster, facegen saves a checkpoint and ends with 143: the job queues again and goes on from
# there. After any other failure it stays down; srun stops no process, as that would look the same.
MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"
export MASTER_ADDR MASTER_PORT

# shellcheck disable=SC2016  # expanded by each process
srun --kill-on-bad-exit=0 --wait=0 bash -c '
export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" WORLD_SIZE="$SLURM_NTASKS"
exec facegen "$@"' facegen \\
  {words}
code=$?

if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True)
class JobOptions:
    """What a batch job asks for."""

    nodes: Annotated[int, Option("Computers.", JOB, min=1)] = 1
    gpus_per_node: Annotated[int, Option("GPUs of each, and processes on it.", JOB, min=1)] = 1
    time: Annotated[str, Option("Longest time before it queues again, D-HH:MM:SS.", JOB)] = "24:00:00"
    partition: Annotated[str | None, Option("Partition of the cluster.", JOB)] = None
    account: Annotated[str | None, Option("Account that pays.", JOB)] = None


@command(opens_models=False)
def slurm(
    run: Annotated[Path, Option("Folder of the run.", completes="runs")],
    asked: RecipeOptions,
    job: JobOptions,
    out: Annotated[Path | None, Option("File for the script; left out, it is printed.")] = None,
) -> None:
    """Write a batch script that trains on a Slurm cluster and goes on whenever it was stopped.

    It starts one process a GPU. Shortly before the time is over, or the job is preempted, a checkpoint is
    saved and the job queues again; the same script starts the run, goes on with it, or says it is done.

        facegen slurm --preset pixel-class --data data/me --run run --out job.sh
        facegen slurm --config my.yaml --run run --nodes 2 --gpus-per-node 4
    """
    from facegen.formats.files import atomic_write

    begun = (run / "recipe.yaml").is_file()
    recipe = composed(asked, run if begun else None)
    _check_batch(recipe.training.batch_size, job.nodes * job.gpus_per_node)
    script = SCRIPT.format(directives="\n".join(_directives(run, job)), words=_words(run, asked))
    if out is None:
        print(script, end="")
    else:
        atomic_write(out, script)


def _check_batch(batch_size: int, processes: int) -> None:
    """Refuse a batch that processes cannot share evenly.

    Raises:
        UsageError: it is no multiple of them; names the nearest ones that are.
    """
    from facegen.errors import UsageError

    left = batch_size % processes
    if left:
        sizes = [size for size in (batch_size - left, batch_size - left + processes) if size]
        raise UsageError(
            f"A batch of {batch_size} cannot be shared by {processes} processes.",
            hint="The nearest that can: "
            + " or ".join(f"--set training.batch_size={size}" for size in sizes)
            + "; or ask for other --nodes and --gpus-per-node.",
        )


def _directives(run: Path, job: JobOptions) -> list[str]:
    asked = {
        "job-name": f"facegen-{run.resolve().name}".replace(" ", "-"),
        "nodes": job.nodes,
        "ntasks-per-node": job.gpus_per_node,
        "gpus-per-node": job.gpus_per_node,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "output": "slurm-%x-%j.log",
        "open-mode": "append",
        "signal": "USR1@120",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in asked.items() if value is not None]
    return [*lines, "#SBATCH --requeue"]


def _words(run: Path, asked: RecipeOptions) -> str:
    """The command line of the training, an option a line."""
    options = [("--preset", asked.preset), ("--config", asked.config)]
    options += [("--set", override) for override in asked.overrides]
    options += [("--data", asked.data), ("--size", None if asked.size == "full" else asked.size)]
    options += [("--run", run), ("--resume", "auto")]
    lines = [f"{name} {shlex.quote(str(value))}" for name, value in options if value is not None]
    return " \\\n  ".join(["train", *lines])
