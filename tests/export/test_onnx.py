"""Graphs draw facegen's pictures in onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.exported_runs import save_run
from support.generator_parts import UNET, tiny_generator

from facegen.errors import MissingModelError, UsageError
from facegen.export import onnx
from facegen.export.export import TOLERANCE, export
from facegen.export.model import Exported
from facegen.export.options import ExportOptions
from facegen.nn.strides import Strides
from facegen.progress import SilentProgress

ATTRIBUTE_UNET = {"kind": "attribute_unet", "base_channels": 8, "num_heads": 2, "time_dim": 16}
DIT = {"kind": "dit", "patch_size": 2, "width": 32, "depth": 2, "num_heads": 2, "value_maps": True}
VECTOR = {"kind": "attributes", "dim": 32, "tokens": False}
NETWORKS = {
    "dit": (DIT, VECTOR),
    "attribute_unet": (ATTRIBUTE_UNET, {"kind": "attributes", "dim": 16}),
    "unet": (UNET, {"kind": "class_label", "dim": 16}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_of_any_batch_draw_the_same_in_onnxruntime(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="graphs are run by onnxruntime: pip install 'facegen[onnx]'")
    denoiser, conditioner = NETWORKS[name]
    scaling, sampling = ((0.1, 0.2, 0.3), (0.5, 2.0, 1.5)), {"steps": 4, "guidance_scale": 2.0}
    settings: Any = {"scaling": scaling, "sampling": sampling, "diffusion": {"parameterisation": "v"}}
    run = save_run(tmp_path / "run", denoiser, conditioner, **settings)
    told = export(run, tmp_path / "out", ExportOptions("onnx"), SilentProgress())
    assert told.deviation <= TOLERANCE
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"denoiser.onnx", "decoder.onnx", "conditioner.onnx", "config.json"}
    described = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert "vector" in described["told_by"]


def test_without_its_packages_onnx_says_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "NEEDED", ("json", "no_such_package"))
    run = save_run(tmp_path / "run", DIT, VECTOR)
    with pytest.raises(MissingModelError, match="no_such_package, which is not installed") as told:
        export(run, tmp_path / "out", ExportOptions("onnx"), SilentProgress())
    assert "facegen[onnx]" in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_model_of_few_steps_has_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "NEEDED", ())
    generator = tiny_generator()
    module: Any = generator.module
    module["stride"] = Strides(32)
    onnx.check_onnx(Exported(generator, None))
    with pytest.raises(UsageError, match="few steps"):
        onnx.check_onnx(Exported(replace(generator, module=module), None))
