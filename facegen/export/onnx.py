"""A model as ONNX graphs, which onnxruntime runs without torch.

OUT/
  denoiser.onnx      x_t (B, *S), timestep (B,), and what it is told by -> output (B, *S)
  conditioner.onnx   of attribute models: inputs (B, A), -1 no, 0 open, 1 yes -> what the denoiser is told
                     of class models: inputs (B,) int64, the number of a class, or of classes for none
  decoder.onnx       x0 (B, *S) as the walk ends -> images (B, 3, H, W) in [-1, 1], about
  config.json        recipe, sampling, names; what the walk between them needs

Letters: B batch, any number; S shape of a sample; A attributes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.errors import MissingModelError, UsageError
from facegen.export.model import Exported
from facegen.types import Conditioning

NEEDED = ("onnx", "onnxscript", "onnxruntime")
PARTS = tuple(one.name for one in fields(Conditioning))


def check_onnx(model: Exported) -> None:
    """Refuse what there is no graph for.

    Raises:
        MissingModelError: what writes and runs graphs is not installed.
        UsageError: a model of few steps, whose walks tell the network how many there are.
    """
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingModelError(
            f"ONNX needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed.",
            hint="Install it: pip install 'facegen[onnx]'",
        )
    if model.is_led_by_weak:
        raise UsageError(
            "This model's guidance comes from itself early in its run, which these graphs do not hold.",
            hint="--to diffusers holds it.",
        )
    if model.generator.few_steps:
        raise UsageError(
            "A model that draws in few steps is told how many in a way that no graph holds.",
            hint="--to diffusers holds it, or export the model it was taught by.",
        )


def write_onnx(model: Exported, folder: Path) -> None:
    """Fill `folder`."""
    generator = model.generator
    asked: Any = generator.conditioner
    told = generator.conditioning(asked.null_inputs(2))
    names = [name for name in PARTS if getattr(told, name) is not None]
    parts = [getattr(told, name) for name in names]
    x_t, timestep = torch.zeros(2, *generator.sample_spec.shape), torch.full((2,), 500.0)
    network = _Denoiser(generator.network, names)
    _save(network, (x_t, timestep, *parts), ["x_t", "timestep", *names], ["output"], folder / "denoiser.onnx")
    _save(_Decoder(model), (x_t,), ["x0"], ["images"], folder / "decoder.onnx")
    if generator.attributes or generator.classes:
        inputs = as_graph_inputs(asked.null_inputs(2))
        _save(_Asked(asked, names), (inputs,), ["inputs"], names, folder / "conditioner.onnx")
    described = {
        **model.description(),
        "sampling": generator.sampling.model_dump(mode="json"),
        "image_size": generator.image_size,
        "told_by": names,
    }
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def by_graphs(model: Exported, folder: Path) -> Exported:
    """The same model, its network, conditioner and decoder run by onnxruntime."""
    generator = model.generator
    asked: Any = generator.conditioner
    if (folder / "conditioner.onnx").is_file():
        asked = _AskedGraph(asked, folder / "conditioner.onnx")
    module = nn.ModuleDict({"denoiser": _NetworkGraph(folder / "denoiser.onnx"), "conditioner": asked})
    decoder: Any = _DecoderGraph(model, folder / "decoder.onnx")
    return replace(model, generator=replace(generator, module=module, autoencoder=decoder))


def as_graph_inputs(inputs: Tensor) -> Tensor:
    """Condition inputs in the type that `conditioner.onnx` takes: numbers of classes as they are."""
    return inputs if inputs.dtype == torch.int64 else inputs.float()


class _Denoiser(nn.Module):
    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, x_t: Tensor, timestep: Tensor, *parts: Tensor) -> Tensor:
        return self.network(x_t, timestep, Conditioning(**dict(zip(self.names, parts, strict=True))))


class _Asked(nn.Module):
    def __init__(self, conditioner: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.conditioner, self.names = conditioner, names

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        told = self.conditioner(inputs)
        return tuple(getattr(told, name) for name in self.names)


class _Decoder(nn.Module):
    """Scaled samples to images: what `FaceGenerator.decode` does before it rounds."""

    shift: Tensor
    scale: Tensor

    def __init__(self, model: Exported) -> None:
        super().__init__()
        scaling, shape = model.generator.scaling, model.generator.sample_spec.shape
        column = (1, -1, *[1] * (len(shape) - 1))
        self.autoencoder: Any = model.generator.autoencoder
        self.register_buffer("shift", torch.tensor(scaling.shift).view(column))
        self.register_buffer("scale", torch.tensor(scaling.scale).view(column))

    def forward(self, x0: Tensor) -> Tensor:
        return self.autoencoder.decode(x0 / self.scale + self.shift)


class Graph:
    """A graph, of a file or what one holds, as a function of tensors by name."""

    def __init__(self, file: Path | bytes) -> None:
        import onnxruntime

        runtime: Any = onnxruntime
        source = str(file) if isinstance(file, Path) else file
        self._session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])
        self.inputs = {one.name for one in self._session.get_inputs()}
        self.outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, **given: Tensor | None) -> dict[str, Tensor]:
        arrays = {
            name: each.numpy() for name, each in given.items() if each is not None and name in self.inputs
        }
        return dict(zip(self.outputs, map(torch.from_numpy, self._session.run(None, arrays)), strict=True))


class _NetworkGraph(nn.Module):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.graph = Graph(file)

    def forward(self, x_t: Tensor, timestep: Tensor, told: Conditioning) -> Tensor:
        named = {name: getattr(told, name) for name in PARTS}
        return self.graph(x_t=x_t, timestep=timestep, **named)["output"]


class _AskedGraph(nn.Module):
    def __init__(self, conditioner: Any, file: Path) -> None:
        super().__init__()
        self.graph = Graph(file)
        self.spec = conditioner.spec
        self.attributes = getattr(conditioner, "attributes", ())
        self.classes = getattr(conditioner, "classes", ())
        self.null_inputs, self.inputs_from = conditioner.null_inputs, conditioner.inputs_from

    def forward(self, inputs: Tensor) -> Conditioning:
        return Conditioning(**self.graph(inputs=as_graph_inputs(inputs)))


class _DecoderGraph(nn.Module):
    def __init__(self, model: Exported, file: Path) -> None:
        super().__init__()
        self.graph, self._scaling = Graph(file), model.generator.scaling

    def decode(self, latents: Tensor) -> Tensor:
        return self.graph(x0=self._scaling.apply(latents))["images"]


def _save(
    module: nn.Module, given: tuple[Tensor, ...], names: list[str], outputs: list[str], file: Path
) -> None:
    """Write a graph that takes any number of rows."""
    rows = torch.export.Dim("batch")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own, of its parts
        program = torch.onnx.export(
            module.eval(),
            given,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=_dynamic(module, len(given), rows),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(file, external_data=False)


def _dynamic(module: nn.Module, count: int, rows: Any) -> tuple[Any, ...]:
    """Which axis of each argument is free: the first."""
    axis = {0: rows}
    if isinstance(module, _Denoiser) and count > 2:  # its last arguments are one, as far as the exporter sees
        return (axis, axis, tuple(axis for _ in range(count - 2)))
    return (axis,) * count
