"""`benchmarks/gpu.py` in its smoke size, so that it runs the first time it meets a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STAGES = ("environment", "training_small", "sampling", "autoencoder", "number_formats", "features")
STEP_NUMBERS = {
    "images_per_second",
    "step_ms",
    "loading_share",
    "peak_memory_bytes",
    "flops_per_image",
    "kernels",
}
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that imports one of the script's modules."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: import_module(f"gpu_stages.{name}")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """What a card would leave, in part: one that failed a test, and whose graphs drew other faces."""
    step = {"images_per_second": 1000.0, "step_ms": 64.0, "precision": "bf16", "batch_size": 64}
    kernels = {
        "launches_per_step": 9.0,
        "kernel_ms_per_step": 50.0,
        "busy_share": 0.8,
        "shares": {"sums": 1.0},
    }
    facegen = {
        **step,
        "flops_per_image": 1e11,
        "parameters": 5_600_000,
        "peak_memory_bytes": 3_000_000_000,
        "first_step_seconds": 1.0,
        "loading_share": 0.05,
        "loading_host_share": 0.02,
        "micro_batch": 64,
        "kernels": kernels,
    }
    graphs = {"faces_per_second": 9.0, "equal": False, "largest_difference": 0.25}
    tests = {"closing_line": "1 failed in 9 s", "failed": ["FAILED a"], "measured": ["b: 1"], "skipped": []}
    device = {"type": "cuda", "name": "NVIDIA H100", "memory_bytes": 80 << 30, "data_sheet_tflops": 1000}
    compiled = {"failed": "no compiler"}
    drawn = {"faces": 8, "steps": 20, "eager_faces_per_second": 4.0, "graphs": graphs}
    found = {
        "environment": {"device": device, "software": {"torch": "2"}, "bf16_matmul_tflops": 500.0},
        "gpu_tests": {"pytest": tests},
        "training_small": {"facegen": facegen, "reference": step, "facegen compiled": compiled},
        "sampling": {"small, fp32": drawn},
    }
    staged = {name: {"status": "done", "seconds": 1.0, "results": each} for name, each in found.items()}
    return {"date": "2026-01-01", "smoke": False, "stages": staged}


@pytest.mark.slow
def test_the_smoke_size_measures_everything_that_a_cpu_has(tmp_path: Path) -> None:
    done = script("--smoke", "--out", tmp_path / "out", "--only", *STAGES)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["smoke"]
    assert [(name, told["status"]) for name, told in results["stages"].items()] == [
        (n, "done") for n in STAGES
    ]
    found = {name: told["results"] for name, told in results["stages"].items()}
    trained = found["training_small"]
    assert trained["facegen"].keys() >= STEP_NUMBERS
    assert all(trained[loop]["images_per_second"] > 0 for loop in ("facegen", "reference"))
    assert found["number_formats"].keys() == {"fp32", "fp32 with TF32 products", "fp16"}
    assert all(told["eager_faces_per_second"] > 0 for told in found["sampling"].values())
    assert all(
        told["images_per_second"] > 0
        for told in (*found["autoencoder"].values(), *found["features"].values())
    )
    page = (tmp_path / "out" / "performance.md").read_text()
    assert f"## {found['environment']['device']['name']} (smoke)" in page
    assert "CUDA graphs need CUDA" in page
    assert "failed" not in page.replace("Left out or failed", "")


def test_without_a_gpu_it_says_how_to_try_it(tmp_path: Path) -> None:
    done = script("--out", tmp_path / "out", "--only", "environment")
    assert done.returncode == 2
    assert "no CUDA device here; --smoke" in done.stderr


def test_a_smoke_test_never_writes_the_page(tmp_path: Path) -> None:
    done = script("--smoke", "--write", tmp_path / "page.md")
    assert done.returncode == 2
    assert "a smoke test makes none" in done.stderr


def test_a_stage_that_hangs_breaks_or_dies_costs_no_other_and_keeps_what_it_had(tmp_path: Path) -> None:
    module = tmp_path / "gpu_stages_of_a_test.py"
    module.write_text(
        "import os, time\n"
        "def hangs(context):\n    context.record('kept', 1)\n    time.sleep(60)\n"
        "def breaks(context):\n    context.part('bad', lambda: 1 / 0)\n    raise ValueError('broken')\n"
        "def dies(context):\n    os._exit(7)\n"
        "def works(context):\n    context.part('late', lambda: 1, needs_seconds=999)\n"
    )
    names = ("hangs", "breaks", "dies", "works")
    code = (
        "import json, sys, time; from pathlib import Path; import gpu, gpu_stages.context\n"
        f"import gpu_stages_of_a_test as stages; sys.modules['gpu_stages.test'] = stages\n"
        f"gpu.STAGES = {{name: ('test', 2) for name in {names!r}}}\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "run = lambda name: gpu._run(name, folder, folder, True, time.monotonic() + 60, 'fork')\n"
        "print('TOLD', json.dumps({name: run(name) for name in gpu.STAGES}))\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{BENCHMARKS}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.split("TOLD")[1])
    assert [told[name]["status"] for name in names] == ["stopped", "failed", "failed", "done"]
    assert told["hangs"]["results"] == {"kept": 1}
    assert told["hangs"]["reason"] == "after 2 s"
    assert told["breaks"]["reason"] == "ValueError: broken"
    assert told["breaks"]["results"]["bad"] == {"failed": "ZeroDivisionError: division by zero"}
    assert told["dies"]["reason"] == "ended with exit code 7"
    assert told["works"]["results"]["late"]["skipped"].endswith("999 s wanted")


def test_a_cards_section_shows_what_was_measured(stages: Any, results: dict[str, Any]) -> None:
    text = stages("page").section(results)
    lines = text.splitlines()
    assert lines[:2] == ["<!-- card: NVIDIA H100 -->", "## NVIDIA H100"]
    (row,) = [line for line in lines if line.startswith("| small | facegen | bf16")]
    # 1,000 images a second of 1e11 operations are 100 TFLOP/s: of 1,000 and of 500
    assert row == "| small | facegen | bf16 | 64 | 1,000 | 64.0 | 10.0 % | 20.0 % | 3.0 | 1.0 |"
    assert "- small: 5.6 M parameters, 100.00 GFLOP an image, forward and backward" in lines
    assert "| small | facegen | 5.0 % | 2.0 % | 9 | 50.0 | 80.0 % | 64 |" in lines
    assert "| small, fp32 | 8 | 20 | 4.0 | 9.0 | no, by 2.5e-01 |" in lines
    assert "`pytest -m gpu`: 1 failed in 9 s" in lines
    assert "- FAILED a" in lines
    assert "- training_small, facegen compiled: failed, no compiler" in lines


def test_a_section_takes_the_place_of_the_same_cards_and_leaves_the_others(
    stages: Any, results: dict[str, Any]
) -> None:
    page = stages("page")
    empty = f"# Performance\n\n{page.NO_CARDS}"
    other = {**results, "stages": {"environment": {**results["stages"]["environment"]}}}
    other["stages"]["environment"] = {"status": "done", "results": {"device": {"name": "NVIDIA A100"}}}
    first = page.with_section(empty, results)
    assert first.startswith("# Performance\n\n<!-- card: NVIDIA H100 -->")
    both = page.with_section(first, other)
    assert both.index("## NVIDIA H100") < both.index("## NVIDIA A100")
    newer = page.with_section(both, {**results, "date": "2027-02-03"})
    assert newer == both.replace("2026-01-01, facegen None, torch 2", "2027-02-03, facegen None, torch 2")
    assert newer.count("## NVIDIA") == 2


def test_the_page_holds_measurements_of_gpus_alone(stages: Any) -> None:
    text = (BENCHMARKS.parent / "docs" / "performance.md").read_text()
    assert "(smoke)" not in text
    assert (stages("page").NO_CARDS in text) != ("<!-- card: " in text)


def test_stages_run_again_take_their_places_among_the_others(tmp_path: Path, stages: Any) -> None:
    device = {"name": stages("card").cpu_name()}
    old = {"status": "done", "seconds": 9.0, "results": {"device": device}}
    file = tmp_path / "results.json"
    for smoke, kept in ((True, {"environment", "features"}), (False, {"environment"})):
        file.write_text(json.dumps({"smoke": smoke, "stages": {"environment": old, "features": old}}))
        assert script("--smoke", "--out", tmp_path, "--only", "environment").returncode == 0
        found = json.loads(file.read_text())["stages"]
        assert found.keys() == kept
        assert found["environment"]["results"].keys() > {"device", "software"}


def test_a_trace_is_summed_up_by_what_ran_on_the_device(stages: Any) -> None:
    def event(category: str, name: str, start: float, duration: float) -> dict[str, Any]:
        return {"cat": category, "name": name, "ts": start, "dur": duration}

    events = [
        event("cpu_op", "aten::mm", 0, 9000),
        event("kernel", "nvjet_tst_128x256_64x4", 1000, 3000),
        event("kernel", "pytorch_flash::flash_fwd_kernel", 4000, 1000),
        event("kernel", "void at::native::vectorized_elementwise_kernel<4>", 4500, 500),
        event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 8000, 1000),
        event("gpu_user_annotation", "Optimizer.step#AdamW.step", 0, 9000),
        {"cat": "kernel", "name": "without a duration", "ts": 0},
    ]
    told = stages("kernels").summed_up(events, steps=2)
    assert told["launches_per_step"] == 2
    assert told["kernel_ms_per_step"] == pytest.approx(2.75)
    assert told["busy_share"] == pytest.approx(5 / 8)
    assert told["shares"]["matrix products"] == pytest.approx(3 / 5.5)
    assert told["shares"]["attention"] == told["shares"]["copies and fills"] == pytest.approx(1 / 5.5)
    assert next(iter(told["longest_ms_per_step"])) == "nvjet_tst_128x256_64x4"
    assert stages("kernels").summed_up(events[:1], 1) == {"launches_per_step": 0}


def test_pytests_output_is_read_for_what_counts(stages: Any) -> None:
    output = (
        ".\nmeasured: cuda, losses: 1e-3\n.F\n== short test summary info ==\n"
        "FAILED tests/gpu/test_limits.py::test_x[cuda] - assert 1\nSKIPPED [2] a.py:1: why\n"
        "1 failed, 2 passed, 2 skipped in 9.1s\n"
    )
    told = stages("suite").told(output, code=1)
    assert told["closing_line"] == "1 failed, 2 passed, 2 skipped in 9.1s"
    assert told["measured"] == ["cuda, losses: 1e-3"]
    assert told["failed"] == ["FAILED tests/gpu/test_limits.py::test_x[cuda] - assert 1"]
    assert told["skipped"] == ["SKIPPED [2] a.py:1: why"]
    assert stages("suite").told(output, code=None)["closing_line"] == "stopped: no time left"
