"""Devices by name, and float32 that is float32."""

from __future__ import annotations

import pytest
import torch

from facegen.errors import UsageError
from facegen.models.devices import full_float32, resolve_device


def with_gpus(monkeypatch: pytest.MonkeyPatch, kind: str, count: int) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device(kind))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


@pytest.fixture(autouse=True)
def precision_as_before() -> object:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_auto_finds_a_device_that_works() -> None:
    assert torch.ones(1, device=resolve_device("auto")).item() == 1.0


@pytest.mark.parametrize("name", ["abacus", "cuda:999", "meta"])
def test_a_device_this_machine_lacks_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        resolve_device(name)


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    assert resolve_device("auto") == torch.device("cpu")
    with_gpus(monkeypatch, "xpu", 1)
    assert resolve_device("auto") == torch.device("xpu")
    with_gpus(monkeypatch, "cuda", 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["cuda:2", "xpu", "cpu:1", "mps"])
def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with_gpus(monkeypatch, "cuda", 2)
    with pytest.raises(UsageError, match=name):
        resolve_device(name)


def test_scores_are_calculated_in_full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, "cuda", 1)
    resolve_device("cuda")
    assert torch.get_float32_matmul_precision() == "high"
    before = torch.backends.cudnn.allow_tf32
    with full_float32():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32 is before
