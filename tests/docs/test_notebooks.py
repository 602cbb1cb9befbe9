"""The notebooks in examples/ run as they are committed, show pictures and complain of nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import default

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))
by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


class ThisPython(AsyncKernelManager):
    """Runs "python3" with the interpreter of the tests, whichever kernels are installed elsewhere."""

    @default("kernel_spec_manager")
    def _only_native(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def run(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run the notebook's cells in `folder`, also the home of Jupyter and IPython; return the outputs."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("FACEGEN_SMOKE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)  # warnings are those that a reader would see
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(folder)}},
        timeout=240,  # of a cell, in seconds
        startup_timeout=120,
    )
    asyncio.run(client.async_execute())
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
@by_notebook
def test_a_notebook_runs_and_shows_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = run(nbformat.read(path, as_version=4), tmp_path, monkeypatch)
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output for output in outputs if "image/png" in output.get("data", {})]


@by_notebook
def test_a_notebook_is_committed_without_what_a_run_leaves(path: Path) -> None:
    text = path.read_text("utf-8")
    content = json.loads(text)
    nbformat.validate(content, version=4, version_minor=5)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in content["cells"]:
        assert cell["metadata"] == {}
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
    assert text == json.dumps(content, indent=1, ensure_ascii=False) + "\n"  # so that changes are small


def test_notebooks_run_in_the_python_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "elsewhere" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {
        "argv": ["/nonexistent/python", "{connection_file}"],
        "display_name": "Another",
        "language": "python",
    }
    (other / "kernel.json").write_text(json.dumps(spec), "utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere"))
    cell = nbformat.v4.new_code_cell("import os, sys\nprint(sys.executable)\nprint(os.getcwd())")
    (output,) = run(nbformat.v4.new_notebook(cells=[cell]), tmp_path, monkeypatch)
    assert output.text.split() == [sys.executable, str(tmp_path)]


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"core", "first_faces", "own_photos"}
