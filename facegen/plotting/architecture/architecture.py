"""`facegen plot architecture`: the network of a run or preset, drawn from the module itself."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.plotting.architecture.diagram import Diagram
from facegen.plotting.architecture.drawing import architecture_plot
from facegen.plotting.architecture.module_diagram import DEPTHS, diagram_of
from facegen.plotting.architecture.module_units import units_of
from facegen.plotting.architecture.traced_subject import Built, Known, build, import_kinds, known_of, trace
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.subjects import subject_of

PRINT_DPI = 600
DEFAULT_DEPTH = 2


def plot_architecture(
    subject: str, out: Path | None = None, *, depth: int = DEFAULT_DEPTH, csv: bool = False
) -> PlotSummary:
    """Draw what a run, checkpoint or preset trains; every parameter is in exactly one box.

    `depth` 1 shows stages, 2 their blocks, 3 the parts of the blocks. A PNG has 600 dots an inch.

    Raises:
        UsageError: neither a run nor a preset, another depth, or a recipe that does not fit its data.
        MissingModelError, StorageError: the run has no checkpoint, or it cannot be read.
    """
    path = figure_path(out, subject, "architecture")
    if depth not in DEPTHS:
        raise UsageError(f"--depth {depth}: allowed are 1 (stages), 2 (blocks) and 3 (parts of blocks).")
    found = subject_of(subject)
    diagram, built = diagram_and_module(found.recipe, known_of(found), depth)
    total = sum(parameter.numel() for parameter in built.module.parameters())
    title = f"{found.name}: {total:,} parameters"
    plot = architecture_plot(diagram, title, _subtitle(found.recipe, built))
    boxes = sum(1 for _ in diagram.boxes())
    return save_plot(plot, path, csv=csv, dpi=PRINT_DPI, facts={"parameters": total, "boxes": boxes})


def diagram_and_module(recipe: Recipe, known: Known, depth: int) -> tuple[Diagram, Built]:
    """The diagram of what the recipe trains, and the module that it was drawn from.

    The module is built without numbers in it, on torch's meta device; one of somebody's own that needs
    numbers to run is built with them.
    """
    import_kinds(recipe)
    try:
        return _drawn_from(recipe, known, depth, "meta")
    except (NotImplementedError, RuntimeError):
        return _drawn_from(recipe, known, depth, "cpu")


def _drawn_from(recipe: Recipe, known: Known, depth: int, device: str) -> tuple[Diagram, Built]:
    with torch.device(device):
        built = build(recipe, known)
        modules = {name for name, _ in built.module.named_modules()}
        units = units_of(built.module)
        flow = trace(
            built,
            [unit.path for unit in units if unit.path in modules],
            [unit.path for unit in units if unit.path not in modules],
        )
    return diagram_of(units, flow, depth), built


def _subtitle(recipe: Recipe, built: Built) -> str:
    sections = [(name, getattr(recipe, name)) for name in ("denoiser", "conditioner", "autoencoder")]
    if recipe.task["kind"] == "denoising":
        sections.pop()
    kinds = [f"{name} {section['kind']}" for name, section in sections if section is not None]
    words = f"{', '.join(kinds) or recipe.task['kind'].replace('_', ' ')}."
    if built.assumed:
        words += f" A preset has no data, so this is for {', '.join(built.assumed)}."
    return words[:1].upper() + words[1:]
