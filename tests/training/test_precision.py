"""The number format: what is chosen where, and what is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from facegen.errors import UsageError
from facegen.training.precision import choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("listed", "allowed", "name"), [(True, True, "bf16"), (True, False, "fp32"), (False, True, "fp32")]
)
def test_a_cpu_trains_in_bf16_if_it_has_amx_and_may_use_it(
    monkeypatch: pytest.MonkeyPatch, listed: bool, allowed: bool, name: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: listed)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: allowed)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    chosen = choose_precision("auto", CPU)
    assert chosen.name == name
    assert "AMX" in chosen.reason if name == "bf16" else "nothing" in chosen.reason


@pytest.mark.parametrize(
    ("listed", "maker", "name"),
    [(True, "AuthenticAMD", "bf16"), (True, "GenuineIntel", "fp32"), (False, "AuthenticAMD", "fp32")],
)
def test_avx512_bf16_counts_on_amds_alone(
    monkeypatch: pytest.MonkeyPatch, listed: bool, maker: str, name: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: listed)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"vendor_id\t: {maker}\n")
    assert choose_precision("auto", CPU).name == name


def test_no_clock_is_asked_for_the_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> float:
        raise AssertionError("the choice depends on the time")

    for clock in ("perf_counter", "monotonic", "time", "process_time"):
        monkeypatch.setattr(time, clock, asked)
    assert choose_precision("auto", CPU) == choose_precision("auto", CPU)


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


def test_fp64_is_refused_where_there_is_none() -> None:
    assert choose_precision("fp64", CPU).dtype == torch.float64
    with pytest.raises(UsageError, match="MPS"):
        choose_precision("fp64", torch.device("mps"))
