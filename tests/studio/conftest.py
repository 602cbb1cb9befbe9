"""One studio for the tests of a module that ask a real server."""

import asyncio
import gc
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from studio.studio_parts import running
from support.generator_parts import save_run

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def event_loops():
    """Gradio leaves event loops behind, one of them as this thread's own; later tests would be told."""
    yield
    with suppress(RuntimeError):
        asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def served(folder, tmp_path_factory):
    """The address of a studio that keeps its files in `folder`."""
    with running(save_run(tmp_path_factory.mktemp("run")), folder) as url:
        yield url


@pytest.fixture(scope="module")
def make_visitor(served):
    """Makes windows of that studio, and closes them."""
    sys.path.insert(0, str(BENCHMARKS))
    from studio_visitor import Visitor

    made = []

    def make():
        made.append(Visitor(served))
        return made[-1]

    yield make
    for visitor in made:
        visitor.close()
    sys.path.remove(str(BENCHMARKS))
