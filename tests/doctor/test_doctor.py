"""The doctor finds planted problems with the real command, in processes whose surroundings are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facegen.doctor.card import Driver, installed_driver, torch_and_card
from facegen.doctor.diagnosis import Diagnosis, Problem
from facegen.doctor.libraries import failed_imports, installed_version, probed
from facegen.doctor.surroundings import caches, disk_problems, network
from facegen.formats.disk import size_of

ROOT = Path(__file__).resolve().parents[2]
SMI = """#!/bin/sh
if [ -n "$1" ]; then echo "NVIDIA H200, 470.57.02"; else echo "CUDA Version: 11.4"; fi
"""


def facegen(*words: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join(map(str, filter(None, (path, ROOT))))
    surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": places, **environment}
    command = [sys.executable, "-m", "facegen", *words]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings)


def problems(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(done.stdout)["problems"]}


def plant(folder: Path, name: str, body: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body, "utf-8")


def distribution(folder: Path, name: str, version: str) -> None:
    told = folder / f"{name}-{version}.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")


def test_planted_problems_are_found_and_each_has_its_mend(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    plant(planted, "torch", "raise OSError('libcudart.so.12: cannot open shared object file')\n")
    distribution(planted, "pandas", "1.0")
    (tmp_path / "file").write_text("", "utf-8")
    done = facegen(
        "doctor",
        "--json",
        "--quiet",
        path=planted,
        FACEGEN_CACHE=str(tmp_path / "file" / "cache"),
        PYTHONIOENCODING="ascii",
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    found = problems(done)
    assert "libcudart.so.12" in found["import of torch"]["told"]
    assert "pip install --force-reinstall" in found["import of torch"]["mend"]
    if installed_version("facegen"):  # a checkout that was not installed does not know what it needs
        assert found["version of pandas"]["told"].startswith("pandas is 1.0, and facegen needs pandas>=2.2")
    assert "FACEGEN_CACHE" in found["writing to the cache"]["mend"]
    assert "C.UTF-8" in found["encoding of output"]["mend"]
    assert "HF_HUB_OFFLINE=1" in found["network"]["mend"]
    assert done.returncode == 2
    assert "keep" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_torchvision_of_this_computer_is_judged_as_its_import_says() -> None:
    imported = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    done = facegen("doctor")
    assert done.returncode == 0, done.stdout
    trapped = "operator torchvision::" in imported.stderr
    assert ("was built for another torch" in done.stdout) == trapped
    assert ("--force-reinstall --no-deps 'torchvision==" in done.stdout) == trapped
    assert "training takes" in done.stdout


def test_the_mend_of_the_trap_fits_the_torch_that_is_there() -> None:
    failed = {"torchvision": "RuntimeError: operator torchvision::nms does not exist", "diffusers": None}
    (plain,) = failed_imports({"imports": failed, "torch": {"cuda": None}})
    (cuda,) = failed_imports({"imports": failed, "torch": {"cuda": "12.8"}})
    assert plain.name == cuda.name == "torchvision trap"
    assert plain.mend.endswith("/cpu")
    assert cuda.mend.endswith("/cu128")


def test_an_import_that_fails_sends_to_the_doctor(tmp_path: Path) -> None:
    plant(tmp_path, "torch", "raise OSError('libcudart.so.12: cannot open shared object file')\n")
    done = facegen("sample", "nowhere", path=tmp_path)
    assert done.returncode == 4
    assert "libcudart.so.12" in done.stderr
    assert done.stderr.rstrip().endswith("facegen doctor")
    assert "Traceback" not in done.stderr


def test_a_bug_of_our_own_is_not_taken_for_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from facegen.cli import app

    monkeypatch.setattr(app, "OURS", str(Path(__file__).parent))  # where the bug is compiled to stand
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", __file__, "exec"))
    assert app._failed_import(raised.value) is None
    assert app._failed_import(ImportError("no such name", name="facegen.models")) is None
    assert "'pandas' cannot be imported" in (app._failed_import(ImportError("gone", name="pandas")) or "")


def test_an_old_driver_a_hidden_card_and_a_torch_without_cuda_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI, "utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = installed_driver()
    assert driver == Driver(("NVIDIA H200",), "470.57.02", (11, 4))

    def named(cuda: str | None, driver: Driver | None, device: str = "cpu") -> list[Problem]:
        told = {"torch": {"cuda": cuda, "hip": None, "device": device, "warned": []}}
        return list(torch_and_card(told, driver))

    (old,) = named("12.8", driver)
    assert (old.name, "runs CUDA up to 11.4" in old.told) == ("driver too old", True)
    newer = Driver(("NVIDIA H200",), "570.1", (12, 8))
    assert "whl/cu128" in named("13.0", newer)[0].mend
    assert [one.name for one in named(None, newer)] == ["card without CUDA torch"]
    assert [one.name for one in named("12.8", None)] == ["CUDA torch without a card"]
    assert [one.name for one in named("12.8", newer)] == ["card not seen"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [one.mend for one in named("12.8", newer)] == ["unset CUDA_VISIBLE_DEVICES"]
    assert named("12.8", newer, "cuda") == named(None, None) == []


def test_a_probe_that_crashes_is_a_problem_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "torch", "import os\nos._exit(9)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = failed_imports(probed())
    assert "exit code 9" in problem.told
    assert problem.gravity == "breaks"


def test_caches_are_where_the_environment_says_and_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "weights").write_bytes(b"x" * 1000)
    assert caches()["Hugging Face"] == tmp_path
    assert size_of(tmp_path) == 1000
    monkeypatch.setattr("facegen.doctor.surroundings.LOW_BYTES", 10**18)
    assert any(one.name.startswith("disk of") for one in disk_problems())


def test_offline_the_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert network() == ("not asked: HF_HUB_OFFLINE is set", None)


def test_only_what_breaks_changes_the_exit_code() -> None:
    note, breaks = (Problem("n", gravity, "told", "mend") for gravity in ("note", "breaks"))
    assert Diagnosis.of({}, [note]).refusal is None
    diagnosis = Diagnosis.of({}, [note, breaks])
    assert diagnosis.problems[0] is breaks
    assert diagnosis.refusal is not None
