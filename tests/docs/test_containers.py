"""The container, compose, Slurm and Kubernetes files: what they run is what the command line takes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from support.command_lines import parse_command_line
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.config.composition import preset_names
from facegen.doctor.wheels import INDEX, TORCH
from facegen.errors import (
    DataError,
    LostProcessError,
    MissingModelError,
    StorageError,
    TrainingDivergedError,
    UsageError,
)

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
CLAIM, JOB = yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "train.yaml").read_text("utf-8"))
POD = JOB["spec"]["template"]["spec"]
SLURM = ROOT / "examples" / "slurm" / "train.sbatch"
WORDS = {  # of a Dockerfile, those that it uses
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR")
}


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each of the Dockerfile's instructions."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's stages by name; the last, which is built where none is named, by ""."""
    found: dict[str, list[tuple[str, str]]] = {"before": []}
    name = "before"
    for word, rest in instructions():
        if word == "FROM":
            name = rest.partition(" AS ")[2]
            found[name] = []
        found[name].append((word, rest))
    return found


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a facegen command, its variables at their defaults."""
    plain = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in words]
    _, parameters = parse_command_line(shlex.join(["facegen", *plain]))
    assert parameters.get("preset") in (None, *preset_names())
    return parameters


def test_the_dockerfile_is_one_and_its_commands_are_ours() -> None:
    assert {word for word, _ in instructions()} == WORDS
    found = stages()
    assert ("ENTRYPOINT", '["facegen"]') in found["base"]
    ((_, command),) = [one for one in found["studio"] if one[0] == "CMD"]
    assert parsed(json.loads(command))["port"] == 7860
    assert ("CMD", '["--help"]') in found[""]


def test_the_image_runs_as_nobody_in_particular_and_keeps_no_cache() -> None:
    found = stages()
    users = [rest for word, rest in found["base"] if word == "USER"]
    assert users == ["1000:1000"]
    for word, rest in found["build"]:
        assert word != "RUN" or "pip install" not in rest or "--mount=type=cache" in rest
    assert ("COPY", "--from=build /opt/facegen /opt/facegen") in found["base"]


def test_torch_is_what_the_project_asks_for_from_torchs_own_index() -> None:
    installs = " ".join(rest for word, rest in stages()["build"] if word == "RUN")
    assert f'"{TORCH}" torchvision' in installs
    assert f"ARG TORCH_INDEX={INDEX}${{TORCH}}" in (ROOT / "Dockerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert TORCH in project["dependencies"]
    ((_, extras),) = [one for one in stages()["build"] if one[1].startswith("EXTRAS=")]
    assert set(extras.removeprefix("EXTRAS=").split(",")) <= set(project["optional-dependencies"])


def test_the_image_gets_what_it_is_built_from_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in stages()["build"] if word == "COPY"]
    assert lines[1] == "*"
    assert kept == {name for names in copied for name in names}
    assert all((ROOT / name).exists() for name in kept)


def test_health_is_asked_of_the_studios_port() -> None:
    ((_, told),) = [one for one in stages()["studio"] if one[0] == "HEALTHCHECK"]
    asked = json.loads(told.partition("CMD ")[2])
    assert asked[:2] == ["python", "-c"]
    assert ("EXPOSE", "7860") in stages()["studio"]

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(statuses.pop())

        def log_message(self, format: str, *args: Any) -> None: ...

    statuses = [500, 401, 200]
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        code = asked[2].replace("7860", str(server.server_port))
        codes = [subprocess.run([sys.executable, "-c", code]).returncode for _ in "123"]
        server.shutdown()
        thread.join()
    assert codes == [0, 0, 1]


def test_composed_services_run_commands_of_ours() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["command"][0] == name
        parsed(service["command"])
        assert service["build"].get("target", "") in stages()
        assert service["init"] is True  # or SIGTERM would not end a command that has no handler for it
    assert parsed(COMPOSE["services"]["train"]["command"])["resume"] == "auto"


def test_the_composed_studio_is_reached_from_here_alone_and_asks_for_a_password() -> None:
    studio = COMPOSE["services"]["studio"]
    assert studio["ports"] == ["127.0.0.1:7860:7860"]
    given = parsed(studio["command"])
    assert (given["host"], given["port"]) == ("0.0.0.0", 7860)
    (secret,) = studio["secrets"]
    assert str(given["password_file"]) == f"/run/secrets/{secret}"
    file = COMPOSE["secrets"][secret]["file"].removeprefix("./")
    assert f"/{file}" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_the_job_of_kubernetes_trains_and_goes_on() -> None:
    (container,) = POD["containers"]
    given = parsed(container["args"])
    assert given["resume"] == "auto"
    assert (CLAIM["apiVersion"], CLAIM["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (JOB["apiVersion"], JOB["kind"]) == ("batch/v1", "Job")
    assert POD["restartPolicy"] == "Never"  # the only one that podFailurePolicy takes
    assert POD["terminationGracePeriodSeconds"] >= 120
    assert POD["volumes"][0]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert mounted == dict.fromkeys(["/work", "/cache"], POD["volumes"][0]["name"])


def test_only_failures_that_another_try_may_mend_are_tried_again() -> None:
    ignore, fail = JOB["spec"]["podFailurePolicy"]["rules"]
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget"}]
    assert fail["onExitCodes"]["containerName"] == POD["containers"][0]["name"]
    final = (UsageError, DataError, MissingModelError, TrainingDivergedError)
    assert fail["onExitCodes"]["values"] == [one.exit_code for one in final]
    assert {StorageError.exit_code, LostProcessError.exit_code}.isdisjoint(fail["onExitCodes"]["values"])


def test_the_user_is_the_same_everywhere() -> None:
    made = next(rest for word, rest in stages()["base"] if word == "RUN")
    assert "--uid 1000 " in made
    assert {POD["securityContext"][name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {1000}
    assert COMPOSE["services"]["studio"]["user"] == "${UID:-1000}:${GID:-1000}"


def test_the_example_for_slurm_is_what_the_command_writes() -> None:
    words = list(_training(SLURM.read_text("utf-8")))
    assert words[-2:] == ["--resume", "auto"]
    written = CliRunner().invoke(app, ["slurm", *words[1:-2]])
    assert written.stdout == SLURM.read_text("utf-8")
    subprocess.run(["bash", "-n", str(SLURM)], check=True)


def _training(script: str) -> Iterator[str]:
    command = script.partition("facegen \\\n")[2].partition("\ncode=")[0]
    yield from shlex.split(command.replace("\\\n", " "))
