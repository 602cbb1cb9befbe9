"""`facegen slurm`: a script that a cluster's programs run as it says, the programs being stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.training_parts import denoising_recipe, write_latents
from typer.testing import CliRunner, Result

from facegen.cli.app import app
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.history import read_history
from facegen.formats.run import RunDirectory

SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do shift; done
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1
"$@" & child=$!
if [ ! -e signalled ]; then
  touch signalled
  until [ -s run/metrics.jsonl ]; do sleep 0.05; kill -0 $child 2>/dev/null || break; done
  kill -USR1 $child
fi
wait $child
"""
FACEGEN = """#!/bin/bash
echo "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT" >> ranks
exec {python} -m facegen "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> scontrol.log
[ "$1" = show ] && echo node1
exit 0
"""


def slurm(*words: str) -> Result:
    return CliRunner().invoke(app, ["slurm", *words])


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with latents, a recipe of many steps, and programs named srun, scontrol and facegen."""
    monkeypatch.chdir(tmp_path)
    write_latents(tmp_path / "latents")
    recipe = denoising_recipe(Path("latents"), max_steps=400, log_every_steps=1, validate_every_steps=400)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    (tmp_path / "bin").mkdir()
    facegen = FACEGEN.format(python=sys.executable)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "facegen": facegen}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def submit(script: str) -> int:
    environment = {**os.environ, "PATH": f"{Path.cwd() / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    environment |= {"SLURM_JOB_NODELIST": "node[1-2]", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(["bash", script], env=environment, check=False, capture_output=True).returncode


@pytest.mark.slow
def test_a_preempted_job_queues_again_and_the_same_script_ends_the_run(cluster: Path) -> None:
    assert slurm("--config", "my.yaml", "--run", "run", "--out", "job.sh").exit_code == 0
    subprocess.run(["bash", "-n", "job.sh"], check=True)
    assert submit("job.sh") == 143
    assert Path("scontrol.log").read_text().splitlines()[-1] == "requeue 7"
    assert load_checkpoint(Path("run"), "latest").info.step < 400
    assert submit("job.sh") == 0
    assert submit("job.sh") == 0  # done
    assert Path("scontrol.log").read_text().count("requeue") == 1
    assert load_checkpoint(Path("run"), "latest").info.step == 400
    assert read_history(Path("run")) == []
    assert set(Path("ranks").read_text().splitlines()) == {"0 0 1 node1 20007"}


@pytest.mark.slow
def test_a_job_that_fails_does_not_queue_again(cluster: Path) -> None:
    slurm("--config", "my.yaml", "--run", "run", "--out", "job.sh")
    Path("signalled").touch()
    Path("my.yaml").write_text("nonsense: 1")
    assert submit("job.sh") == 2
    assert "requeue" not in Path("scontrol.log").read_text()
    assert not RunDirectory(Path("run")).exists


def test_the_script_asks_for_what_was_asked_and_quotes_words() -> None:
    words = ("--preset", "avatars", "--data", "my latents", "--run", "runs/a", "--set", "ema.decay=0.9")
    script = slurm(
        *words, "--nodes", "2", "--gpus-per-node", "4", "--partition", "gpu", "--time", "2:00:00"
    ).stdout
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=facegen-a\n")
    for line in (
        "nodes=2",
        "ntasks-per-node=4",
        "gpus-per-node=4",
        "partition=gpu",
        "time=2:00:00",
        "requeue",
    ):
        assert f"#SBATCH --{line}\n" in script
    assert "account" not in script
    assert "--data 'my latents' \\\n" in script
    assert "--run runs/a \\\n  --resume auto\n" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_batch_that_the_processes_cannot_share_is_refused_with_the_nearest() -> None:
    words = ("--preset", "avatars", "--data", "latents", "--run", "run", "--set", "training.batch_size=64")
    refused = slurm(*words, "--nodes", "3")
    assert refused.exit_code == 2
    assert "64 cannot be shared by 3 processes" in refused.stderr
    assert "training.batch_size=63 or --set training.batch_size=66" in refused.stderr


@pytest.mark.parametrize("words", [("--nodes", "0"), ("--gpus-per-node", "-1")])
def test_no_processes_are_refused(words: tuple[str, str]) -> None:
    assert slurm("--preset", "avatars", "--run", "run", *words).exit_code == 2
