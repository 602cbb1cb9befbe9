"""Everything about a GPU in one command: its tests, how fast it trains and draws, and the page that says so.

python benchmarks/gpu.py                                 12 minutes on one card; writes gpu-results/
python benchmarks/gpu.py --write docs/performance.md     the same, and the card's section of that page
python benchmarks/gpu.py --smoke                         the same code in tiny sizes, on a CPU too

Where packages are missing and nothing can be fetched, `--wheels DIR` installs the wheels in DIR first.
Each stage is a process of its own with a time of its own: one that fails or hangs costs no other. After
every stage results.json and performance.md, the section so far, are written anew. Needs Linux.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FORMAT_VERSION = 1
STAGES = {  # in this order; seconds that each may take at most
    "environment": ("card", 45),
    "training_small": ("training", 150),
    "sampling": ("drawing", 75),
    "gpu_tests": ("suite", 230),
    "training_large": ("training", 150),
    "autoencoder": ("images", 40),
    "number_formats": ("training", 40),
    "features": ("images", 40),
}
LAST_SECONDS = 5.0  # of all: to write the page


def main() -> int:
    """Run the stages that were asked for; 0 if all of them were done or do not apply here."""
    chosen = _arguments()
    ends = time.monotonic() + 60 * chosen.minutes - LAST_SECONDS
    out: Path = chosen.out.resolve()
    with tempfile.TemporaryDirectory(prefix="gpu-") as scratch:
        sys.path.insert(0, str(ROOT))
        if chosen.wheels is not None:
            install(chosen.wheels, Path(scratch) / "site")
        names = [name for name in STAGES if not chosen.only or name in ("environment", *chosen.only)]
        _import_stages(names)
        out.mkdir(parents=True, exist_ok=True)
        results: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "smoke": chosen.smoke,
            "stages": {},
        }
        start = "fork"  # with everything imported already
        for name in names:
            told = _run(name, out, Path(scratch), chosen.smoke, ends, start)
            if "forked subprocess" in told.get("reason", ""):  # torch's: an import has begun to use CUDA
                start = "spawn"
                told = _run(name, out, Path(scratch), chosen.smoke, ends, start)
            if name == "environment":
                device = told["results"].get("device", {})
                if device.get("type") == "cpu" and not chosen.smoke:
                    print(
                        "There is no CUDA device here; --smoke tries the script without one.", file=sys.stderr
                    )
                    return 2
                results["stages"] = _standing(out, device, chosen.smoke) if chosen.only else {}
            results["stages"][name] = told
            _write(out, results)
            print(f"{name}: {told['status']} in {told['seconds']} s. {told.get('reason', '')}", flush=True)
    if chosen.write is not None:
        from gpu_stages.page import with_section

        page: Path = chosen.write
        page.write_text(with_section(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"Results: {out / 'results.json'}, {out / 'performance.md'}")
    return int(any(told["status"] not in ("done", "skipped") for told in results["stages"].values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything (default: 12)")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of the results")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace or add the card's section there")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install these wheels first, offline")
    parser.add_argument(
        "--only", nargs="+", choices=list(STAGES), help="these stages alone; others stay as they are"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on whatever device there is")
    chosen = parser.parse_args()
    if chosen.smoke and chosen.write is not None:
        parser.error("--write is for measurements; a smoke test makes none")
    if chosen.write is not None and not chosen.write.is_file():
        parser.error(f"there is no page '{chosen.write}'")
    return chosen


def install(wheels: Path, site: Path) -> None:
    """Put the wheels where this process and all that it starts find them first."""
    files = [str(file) for file in sorted(wheels.glob("*.whl"))]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(site), *files], check=True)
    sys.path.insert(0, str(site))


def _import_stages(names: list[str]) -> None:
    """Import what stages need once for all of them, not touching CUDA, which forks could not use then.

    What cannot be imported fails again in the stage that needs it, and is told there.
    """
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # so that a library may ask whether there is a GPU
    for module in dict.fromkeys(STAGES[name][0] for name in names):
        with suppress(Exception):
            importlib.import_module(f"gpu_stages.{module}")


def _run(name: str, out: Path, scratch: Path, smoke: bool, ends: float, start: str) -> dict[str, Any]:
    """Run one stage in a process of its own; how it ended, and what it had recorded."""
    began, file = time.monotonic(), scratch / f"{name}.json"
    limit = min(STAGES[name][1], ends - began)
    file.unlink(missing_ok=True)
    if limit < 1:
        return {"status": "skipped", "reason": "no time left", "seconds": 0.0, "results": {}}
    told_to = (name, STAGES[name][0], file, out, scratch, smoke, began + limit)
    processes: Any = multiprocessing.get_context(start)
    process = processes.Process(target=_stage, args=told_to)
    process.start()
    process.join(limit)
    stopped = process.is_alive()
    if stopped:
        process.kill()
        process.join()
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has left running
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"results": {}}
    if stopped:
        told |= {"status": "stopped", "reason": f"after {limit:.0f} s"}
    elif told.get("status", "begun") == "begun":
        told |= {"status": "failed", "reason": f"ended with exit code {process.exitcode}"}
    return {**told, "seconds": round(time.monotonic() - began, 1)}


def _stage(name: str, module: str, file: Path, out: Path, scratch: Path, smoke: bool, ends: float) -> None:
    os.setsid()  # so that it is stopped together with what it started
    from gpu_stages.context import Context, Skipped

    context = Context(file, out, scratch, smoke, ends)
    print(f"\n== {name}", flush=True)
    try:
        getattr(importlib.import_module(f"gpu_stages.{module}"), name)(context)
        context.write(status="done")
    except Skipped as reason:
        context.write(status="skipped", reason=str(reason))
    except BaseException as error:
        traceback.print_exc()
        context.write(status="failed", reason=f"{type(error).__name__}: {error}"[:1000])


def _standing(out: Path, device: dict[str, Any], smoke: bool) -> dict[str, Any]:
    """What an earlier call measured on the same device; stages run now take their places among it."""
    file = out / "results.json"
    if not file.is_file():
        return {}
    before = json.loads(file.read_text(encoding="utf-8"))
    its = before["stages"].get("environment", {}).get("results", {}).get("device", {})
    return before["stages"] if (before["smoke"], its.get("name")) == (smoke, device.get("name")) else {}


def _write(out: Path, results: dict[str, Any]) -> None:
    from gpu_stages.page import section

    (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (out / "performance.md").write_text(section(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
