"""From a run to a folder that other tools open, compared with what facegen draws."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from facegen.compat import guard_torchvision
from facegen.errors import UsageError
from facegen.export import own, stock
from facegen.export.model import COMPARED, Exported, opened
from facegen.export.onnx import by_graphs, check_onnx, write_onnx
from facegen.export.options import ExportOptions
from facegen.export.page import by_page, check_page, write_page
from facegen.formats.files import storage_errors, whole_folder
from facegen.formats.plain import plain
from facegen.protocols import Progress

GRAPH_OPENED = "onnxruntime.InferenceSession({folder!r} + '/denoiser.onnx')"
PAGE_OPENED = "{folder}/index.html, in a browser"
TOLERANCE = 1e-4  # of pictures in [0, 1]


@dataclass(frozen=True)
class ExportSummary:
    """`deviation` is the largest difference of a pixel, 0 to 1, between its pictures and facegen's, or of a
    number where weights alone were written. `note` says what was done in place of what there is not."""

    out: Path
    to: str
    opened_by: str
    deviation: float
    compared: str
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return plain(self)

    @property
    def refusal(self) -> UsageError | None:
        """Where the pictures are not facegen's."""
        if self.deviation <= TOLERANCE:
            return None
        return UsageError(
            f"Those of '{self.out}' differ from facegen's by {self.deviation:.2g}, not by {TOLERANCE:g}.",
            hint="It was left there to be looked at. Please report it: CONTRIBUTING.md says how.",
        )


def export(run: Path, out: Path, options: ExportOptions, progress: Progress) -> ExportSummary:
    """Write the model of `run` to the folder `out` in the format `options.to`.

    Raises:
        UsageError: something is in the way at `out`, or no such format can hold this model.
        MissingModelError, StorageError, DataError: as `load`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"'{out}' is in the way: it is not an empty folder.", hint="Give another OUT.")
    guard_torchvision()
    model = opened(run, options.weights)
    if options.to == "page":
        check_page(model)
    if options.to in ("onnx", "page"):
        check_onnx(model)
    with progress.stage(f"Exporting to {options.to}"), storage_errors(out):
        with whole_folder(out) as folder:
            note = _write(model, folder, options, progress)
        return _compared(model, out, options, note)


def _write(model: Exported, folder: Path, options: ExportOptions, progress: Progress) -> str | None:
    if options.to == "safetensors":
        save_file(model.weights(), folder / "model.safetensors", metadata={"format": "pt"})
        told = {**model.description(), "sampling": model.generator.sampling.model_dump(mode="json")}
        (folder / "config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        return None
    if options.to == "onnx":
        write_onnx(model, folder)
        return None
    if options.to == "page":
        write_page(model, folder, progress)
        return None
    why = stock.without_stock(model)
    if why is None:
        stock.write_stock(model, folder)
        return None
    own.write_own(model, folder)
    return (
        f"diffusers has no pipeline for this model: {why}. The folder brings its own, one file to read "
        f"({own.code_file(folder).relative_to(folder)}), allowed by trust_remote_code=True."
    )


def _compared(model: Exported, out: Path, options: ExportOptions, note: str | None) -> ExportSummary:
    if options.to == "safetensors":
        kept, read = model.weights(), load_file(out / "model.safetensors")
        deviation = max(float((kept[name].float() - read[name].float()).abs().max()) for name in kept)
        how = f"safetensors.torch.load_file({str(out / 'model.safetensors')!r})"
        return ExportSummary(out, options.to, how, deviation, f"{len(kept)} tensors")
    seeds = range(options.seed, options.seed + COMPARED)
    if options.to == "onnx":
        form, drawn = GRAPH_OPENED, by_graphs(model, out).pictures(options.seed)
    elif options.to == "page":
        form, drawn = PAGE_OPENED, by_page(model, out, options.seed)
    else:
        form = own.OPENED if note else stock.OPENED
        drawn = _drawn(model, out, options.seed, trusted=note is not None)
    deviation = float((drawn - model.pictures(options.seed)).abs().max())
    told = f"{COMPARED} pictures, seeds {', '.join(map(str, seeds))}"
    return ExportSummary(out, options.to, form.format(folder=str(out)), deviation, told, note)


def _drawn(model: Exported, out: Path, seed: int, *, trusted: bool) -> torch.Tensor:
    """What the exported folder draws for the same request and seeds, opened as anybody opens it."""
    import diffusers

    library: Any = diffusers
    library.utils.logging.disable_progress_bar()
    generators = [torch.Generator().manual_seed(seed + number) for number in range(COMPARED)]
    steps = model.generator.sampling.steps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers' own, of how it is used inside
        pipeline = library.DiffusionPipeline.from_pretrained(
            out, trust_remote_code=trusted, low_cpu_mem_usage=False
        )
        pipeline.set_progress_bar_config(disable=True)
        asked = model.request() if trusted else {"batch_size": COMPARED}
        told = pipeline(**asked, generator=generators, num_inference_steps=steps, output_type="np")
    return torch.from_numpy(told.images).permute(0, 3, 1, 2)
