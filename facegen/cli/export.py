"""`facegen export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.options import Run
from facegen.cli.results import print_facts
from facegen.export.options import ExportOptions

if TYPE_CHECKING:
    from facegen.export.export import ExportSummary
    from facegen.protocols import Progress


def _print(summary: ExportSummary) -> None:
    print_facts(
        {
            "Exported": summary.out,
            "Open it": summary.opened_by,
            "Differs by": f"{summary.deviation:.2g} at most ({summary.compared})",
            "Note": summary.note,
        }
    )


@command(_print)
def export(
    run: Run,
    out: Annotated[Path, Argument(help="New folder.")],
    *,
    options: ExportOptions,
    progress: Progress,
) -> ExportSummary:
    """Write a model for other tools, and tell how far its pictures are from facegen's.

    'diffusers' is a folder that DiffusionPipeline.from_pretrained opens without facegen, 'safetensors' the
    weights with their description, 'onnx' graphs for onnxruntime (extra 'onnx'), 'page' a folder with an
    index.html by which a browser draws faces offline, without a program on a server (extra 'onnx').

        facegen export box --to diffusers exported
        facegen export runs/celeba --to safetensors weights
        facegen export box --to onnx graphs
        facegen export box --to page faces
    """
    from facegen.export.export import export

    return export(run, out, options, progress)
