"""docs/errors.md is what its script makes of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("errors_page", DOCS / "errors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(script: Any) -> str:
    return script.page()


def test_the_page_is_that_of_the_code(page: str) -> None:
    assert (DOCS / "errors.md").read_text("utf-8") == page, "python docs/errors.py makes it anew"


def test_every_kind_of_error_is_on_it_with_its_exit_code(script: Any, page: str) -> None:
    for name, kind in script.KINDS.items():
        assert f"## {name}\n" in page
        assert f"exit code {kind.exit_code}" in kind.__doc__ or name == "Terminated"
    assert page.count("\n- ") > 500


def test_messages_are_told_with_gaps_constants_and_their_mend(page: str) -> None:
    assert "- Unknown preset '…'.… *Presets: …*\n" in page
    assert "it is not a prepared data set. *Make one: facegen prepare KIND SOURCE --out …*\n" in page
    assert "or set FACEGEN\\_ALLOW\\_OUTSIDE\\_CODE=1 for all" in page
