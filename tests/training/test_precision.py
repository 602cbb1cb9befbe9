"""The number format: what is chosen where, and what is refused."""

from __future__ import annotations

import pytest
import torch

from facegen.errors import UsageError
from facegen.training import precision
from facegen.training.precision import choose_precision

CPU = torch.device("cpu")


def test_a_cpu_without_bf16_instructions_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_claims_bf16", lambda: False)
    chosen = choose_precision("auto", CPU)
    assert chosen.name == "fp32"
    assert "neither AVX512-bf16 nor AMX" in chosen.reason


@pytest.mark.parametrize(("speedup", "name"), [(0.1, "fp32"), (1.1, "fp32"), (3.0, "bf16")])
def test_claimed_bf16_is_used_only_if_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, speedup: float, name: str
) -> None:
    monkeypatch.setattr(precision, "cpu_claims_bf16", lambda: True)
    monkeypatch.setattr(precision, "measured_bf16_speedup", lambda: speedup)
    assert choose_precision("auto", CPU).name == name


@pytest.mark.parametrize(
    ("capability", "name"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_cuda_precision_follows_the_tensor_cores(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    chosen = choose_precision("auto", torch.device("cuda"))
    assert chosen.name == name
    assert chosen.uses_scaler == (name == "fp16")


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(UsageError, match="CUDA"):
        choose_precision("fp16", CPU)


def test_the_probe_measures_a_ratio() -> None:
    assert precision.measured_bf16_speedup(size=32, rounds=1) > 0
