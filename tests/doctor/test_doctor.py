"""The doctor finds planted problems with the real command, in processes whose surroundings are broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from facegen.doctor.card import Driver, installed_driver, torch_and_card
from facegen.doctor.diagnosis import Diagnosis, Problem
from facegen.doctor.imports import failed_imports, probed
from facegen.doctor.machine import machine_facts, precision_facts, thread_problems
from facegen.doctor.probe import LIBRARIES
from facegen.doctor.surroundings import caches, disk_problems, language_problems, network
from facegen.doctor.versions import conflicts, requirements
from facegen.doctor.wheels import again, fitting_torchvision, index_of, installed_version
from facegen.failed_imports import failed_import
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


def distribution(folder: Path, name: str, version: str, *needs: str) -> None:
    told = folder / f"{name}-{version}.dist-info"
    told.mkdir(parents=True)
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {one}" for one in needs),
    ]
    (told / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")


def test_planted_problems_are_found_and_each_has_its_mend(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    plant(planted, "torch", "raise OSError('libcudart.so.12: cannot open shared object file')\n")
    plant(planted, "numpy", "raise ImportError('planted')\n")
    plant(planted, "matplotlib", "raise ImportError('libGL.so.1: cannot open shared object file')\n")
    distribution(planted, "torch", "2.12.0")
    distribution(planted, "torchvision", "0.26.0", "torch==2.11.0")
    distribution(planted, "diffusers", "0.20.0")
    distribution(planted, "gradio", "4.0", "pillow<1")
    (tmp_path / "file").write_text("", "utf-8")
    done = facegen(
        "doctor",
        "--json",
        "--quiet",
        path=planted,
        FACEGEN_CACHE=str(tmp_path / "file" / "cache"),
        PYTHONIOENCODING="ascii",
        LC_ALL="xx_XX.UTF-8",
        OMP_NUM_THREADS="640",
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
        HTTPS_PROXY="",
        https_proxy="",
    )
    found = problems(done)
    assert "libcudart.so.12" in found["import of torch"]["told"]
    assert "safetensors" in found["import of torch"]["told"]
    assert "pandas" in found["import of numpy"]["told"]
    assert found.keys().isdisjoint({"import of pandas", "import of safetensors", "import of diffusers"})
    assert found["import of torch"]["mend"].endswith("pip install --force-reinstall 'torch==2.12.0'")
    assert found["import of matplotlib"]["mend"] == "apt-get install libgl1"
    if installed_version("facegen"):  # a checkout that was not installed does not know what it needs
        assert (
            found["version of diffusers"]["told"] == "diffusers is 0.20.0, and facegen needs diffusers>=0.36."
        )
        assert found["version of diffusers"]["mend"].endswith("pip install 'diffusers>=0.36'")
        assert found["version of gradio"]["mend"].endswith("pip install 'gradio>=6.16'")
        assert "gradio and pillow" not in found
        assert "'torchvision==0.27.*'" in found["torchvision of another torch"]["mend"]
    assert found["threads"]["mend"].startswith("export OMP_NUM_THREADS=")
    assert "FACEGEN_CACHE" in found["writing to the cache"]["mend"]
    assert "C.UTF-8" in found["encoding of output"]["mend"]
    assert "LC_ALL=xx_XX.UTF-8 names a locale" in found["locale"]["told"]
    assert "HF_HUB_OFFLINE=1" in found["network"]["mend"]
    assert done.returncode == 2
    assert "keep" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_takes_no_byte_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        found = {one.name: one for one in disk_problems()}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found["writing to temporary files"].mend.startswith("export TMPDIR=DIR")
    assert found["writing to the cache of Hugging Face"].mend.startswith("export HF_HOME=DIR")
    assert "cannot be written to: File too large" in found["writing to the working folder"].told
    assert list(tmp_path.iterdir()) == []


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
    assert plain.mend.endswith(
        f"--no-deps '{fitting_torchvision()}' --index-url https://download.pytorch.org/whl/cpu"
    )
    assert cuda.mend.endswith("/cu128")
    assert index_of({"cuda": None, "hip": "6.4.43482"}) == "rocm6.4"


@pytest.mark.parametrize("library", ["torch", "typer", "pydantic"])
def test_an_import_that_fails_is_named_and_sends_to_the_doctor(library: str, tmp_path: Path) -> None:
    plant(tmp_path, library, "raise OSError('libcudart.so.12: cannot open shared object file')\n")
    done = facegen("sample", "nowhere", path=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: '{library}' cannot be imported: OSError: libcudart.so.12")
    assert done.stderr.rstrip().endswith("facegen doctor")
    assert "Traceback" not in done.stderr


def test_the_doctor_needs_nothing_of_what_the_command_line_stands_on(tmp_path: Path) -> None:
    broken = ("typer", "pydantic", "rich", "packaging", "yaml", "PIL", "numpy", "torch")
    for library in broken:
        plant(tmp_path, library, "raise ImportError('planted')\n")
    done = facegen("doctor", "--json", path=tmp_path)
    assert done.returncode == 2, done.stderr
    owners = {"yaml": "pyyaml", "PIL": "pillow"}
    assert {f"import of {owners.get(one, one)}" for one in broken} <= set(problems(done))
    assert "Traceback" not in done.stderr


def test_a_bug_of_our_own_is_not_taken_for_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from facegen import failed_imports

    monkeypatch.setattr(failed_imports, "OURS", str(Path(__file__).parent))  # where the bug stands
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", __file__, "exec"))
    assert failed_import(raised.value) is None
    assert failed_import(ImportError("no such name", name="facegen.models")) is None
    assert "'pandas' cannot be imported" in (failed_import(ImportError("gone", name="pandas")) or "")


def test_everything_that_facegen_needs_is_imported_by_the_probe() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.split(r"[<>=!~ \[]", one)[0] for one in needed}
    assert names - set(LIBRARIES) == {"dicebear-styles"}  # which has no code
    assert set(LIBRARIES) - names == {"torchvision"}


def test_libraries_that_do_not_fit_each_other_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "asker", "1.0", "numpy<1", "nowhere-to-be-found>=3")
    distribution(tmp_path, "torch", "2.10.1+cu126")
    distribution(tmp_path, "torchvision", "0.28.0", "torch==2.13.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    needed = [Requirement(one) for one in ("asker", "torchvision", "numpy>=0.5")]
    asker, absent, vision = conflicts(needed, "cu126")
    assert asker.told == f"asker 1.0 needs numpy<1, and numpy is {installed_version('numpy')}."
    assert asker.mend.endswith("pip install 'asker' 'numpy>=0.5'")
    assert absent.mend.endswith("pip install 'asker' 'nowhere-to-be-found>=3'")
    assert vision.mend.endswith("'torchvision==0.25.*' --index-url https://download.pytorch.org/whl/cu126")
    assert again("torch", "OSError: ?").endswith(
        "'torch==2.10.1+cu126' --index-url https://download.pytorch.org/whl/cu126"
    )
    assert "--no-deps 'asker==1.0'" in again("asker", "SyntaxError: ?")
    assert requirements("nowhere-to-be-found") == []


def test_limits_of_a_container_are_told_and_threads_beyond_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.doctor.machine.CGROUPS", tmp_path)
    monkeypatch.setattr("facegen.doctor.machine.usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(thread_problems()) == []
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert list(thread_problems()) == []
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("2000000000\n")
    (problem,) = thread_problems()
    assert (problem.told[:30], problem.mend) == ("8 threads share 1.5 cores, whi", "export OMP_NUM_THREADS=2")
    facts = machine_facts({}, None)
    assert facts["memory"].endswith("limited to 2.0 GB")
    assert facts["cores"].endswith("limited to the time of 1.5")


def test_precisions_worth_using_are_those_that_are_faster() -> None:
    speeds = {"fp32": 100.0, "bf16": 250.0, "fp16": 110.0}
    assert precision_facts({"speeds": speeds})["worth using"] == "bf16, 2.5 times as fast as fp32"
    assert precision_facts({"speeds": {"fp32": 100.0, "bf16": None}})["worth using"].startswith("fp32")


def test_a_bare_terminal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert "export TERM=xterm-256color" in [one.mend for one in language_problems()]
    monkeypatch.setenv("TERM", "xterm")
    assert list(language_problems()) == []


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
    assert problem.name == "import of torch"
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
