"""A model as a page: a browser draws its faces, offline and without a program on a server.

OUT/
  index.html  page.css     what is seen
  page.js                  the form and the pictures
  walk.js                  the walk from noise to a face, in a worker
  noise.js                 torch's random numbers
  licence.txt              that of onnxruntime-web
  model/
    config.js              what `onnx` writes as config.json, with the form and tables of walks
    NAME-0.js, ...         the graphs of `onnx`, and onnxruntime-web: gzip and base64, in pieces

Browsers forbid a page that was opened as a file to fetch one, and let it load scripts: so all are scripts.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from facegen import __version__
from facegen.errors import UsageError
from facegen.export.model import COMPARED, Exported
from facegen.export.onnx import Graph, as_graph_inputs, write_onnx
from facegen.export.runtime import KERNELS, SCRIPT, onnxruntime_web
from facegen.export.tables import walk_table, walked
from facegen.models.noise import noise_source
from facegen.protocols import Progress
from facegen.vocabulary.headings import under_headings

STATIC = ("page.css", "page.js", "walk.js", "noise.js", "licence.txt")
GRAPHS = ("denoiser", "decoder", "conditioner")
STEPS = (4, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)  # offered beside the run's own
PIECE_BYTES = 12_000_000  # of a file packed; a browser's string holds some 500 MB
SMALLEST = 16  # numbers of a sample: fewer are drawn in another order by torch
HELD = re.compile(r'held\("[^"]*", \d+, "([^"]*)"\);\n')
CONFIG = re.compile(r"const CONFIG = (.*);\n", re.DOTALL)


def check_page(model: Exported) -> None:
    """Refuse what no page can ask, beyond what `onnx` refuses.

    Raises:
        UsageError: captions, or samples of very few numbers.
    """
    if model.kind("conditioner") == "text":
        raise UsageError(
            "This model is asked with captions, and a page holds no text encoder.",
            hint="--to diffusers holds it; in a browser it is asked with: facegen studio RUN",
        )
    size = model.generator.sample_spec.shape
    if torch.Size(size).numel() < SMALLEST:
        raise UsageError(
            f"Samples of {size} are fewer than {SMALLEST} numbers, whose noise no page draws.",
            hint="--to diffusers holds this model.",
        )


def write_page(model: Exported, folder: Path, progress: Progress) -> None:
    """Fill `folder`.

    Raises:
        MissingModelError, DataError, StorageError: as `onnxruntime_web`.
    """
    runtime = onnxruntime_web(progress)
    held = {"runtime": runtime[SCRIPT], "kernels": runtime[KERNELS]}
    with TemporaryDirectory() as scratch:
        write_onnx(model, Path(scratch))
        config = json.loads((Path(scratch) / "config.json").read_text("utf-8"))
        for name in GRAPHS:
            if (graph := Path(scratch) / f"{name}.onnx").is_file():
                held[name] = graph.read_bytes()
    (folder / "model").mkdir()
    pieces = {name: _hold(name, content, folder) for name, content in held.items()}
    write_form(model, config, pieces, folder)


def write_form(model: Exported, config: dict[str, Any], pieces: dict[str, int], folder: Path) -> None:
    """Put beside the `pieces` of each file what is seen, with the `config` that `onnx` writes."""
    size = sum(file.stat().st_size for file in (folder / "model").iterdir())
    page = {**_form(model), "pieces": pieces, "bytes": size, "walks": _walks(model)}
    text = json.dumps({**config, "page": page})
    (folder / "model" / "config.js").write_text(f"const CONFIG = {text};\n", encoding="utf-8")
    ours = files("facegen.export")
    (folder / "index.html").write_bytes((ours / "page.html").read_bytes())
    for name in STATIC:
        (folder / name).write_bytes((ours / name).read_bytes())


def by_page(model: Exported, folder: Path, seed: int) -> Tensor:
    """What the page in `folder` draws for the request of `Exported.pictures`, (B, 3, H, W) in [0, 1]: its own
    graphs and its own table, by onnxruntime and torch in place of onnxruntime-web and JavaScript."""
    read = CONFIG.fullmatch((folder / "model" / "config.js").read_text("utf-8"))
    assert read is not None
    config: dict[str, Any] = json.loads(read[1])
    graphs = {name: Graph(_unpacked(name, folder)) for name in GRAPHS if name in config["page"]["pieces"]}
    sampling, generator = config["sampling"], model.generator
    rows = [as_graph_inputs(each) for each in (model.inputs(), generator.conditioner.null_inputs(COMPARED))]
    told = graphs["conditioner"](inputs=torch.cat(rows)) if "conditioner" in graphs else {}
    scale = sampling["guidance_scale"]
    shape = generator.sample_spec.shape
    noises = [noise_source(seed + number, shape) for number in range(COMPARED)]

    def network(x: Tensor, timestep: Tensor, guided: bool) -> Tensor:
        if not guided or scale == 1:
            alone = {name: part[:COMPARED] for name, part in told.items()}
            return graphs["denoiser"](x_t=x, timestep=timestep, **alone)["output"]
        both = {"x_t": torch.cat([x, x]), "timestep": torch.cat([timestep, timestep])}
        condition, other = graphs["denoiser"](**both, **told)["output"].chunk(2)
        return other + scale * (condition - other)

    def draw() -> Tensor:
        return torch.stack([noise() for noise in noises])

    x0 = walked(config["page"]["walks"][str(sampling["steps"])], network, draw, sampling["clip_x0"])
    return (graphs["decoder"](x0=x0)["images"] / 2 + 0.5).clamp(0, 1)


def _form(model: Exported) -> dict[str, Any]:
    """What the page asks: "headings" [[words, [[place of an attribute, words], ...]], ...], or "classes"."""
    generator = model.generator
    column, nothing = generator.class_column, generator.conditioner.null_inputs(1)
    return {
        "title": generator.source.absolute().name if generator.source is not None else "a model",
        "by": f"facegen {__version__}",
        "headings": under_headings(generator.attributes),
        "classes": list(generator.classes),
        "class_words": (column or "class").replace("_", " "),
        "inputs": str(as_graph_inputs(nothing).dtype).removeprefix("torch."),
        "nothing": nothing.flatten().tolist(),
    }


def _walks(model: Exported) -> dict[str, Any]:
    """A table for each number of steps that is offered."""
    generator = model.generator
    path = generator.objective.path
    most = path.num_timesteps if path.is_discrete else max(STEPS)
    offered = {*(steps for steps in STEPS if steps <= most), generator.sampling.steps}
    return {
        str(steps): walk_table(generator.objective, generator.sampling, steps) for steps in sorted(offered)
    }


def _hold(name: str, content: bytes, folder: Path) -> int:
    """Write the scripts that hold `content`, and say how many there are."""
    packed = gzip.compress(content, mtime=0)
    starts = range(0, len(packed), PIECE_BYTES)
    for number, start in enumerate(starts):
        text = base64.b64encode(packed[start : start + PIECE_BYTES]).decode()
        script = f'held("{name}", {number}, "{text}");\n'
        (folder / "model" / f"{name}-{number}.js").write_text(script, encoding="ascii")
    return len(starts)


def _unpacked(name: str, folder: Path) -> bytes:
    """What the scripts of `name` hold."""
    packed = b""
    for number in range(len(list((folder / "model").glob(f"{name}-*.js")))):
        read = HELD.fullmatch((folder / "model" / f"{name}-{number}.js").read_text("ascii"))
        assert read is not None
        packed += base64.b64decode(read[1])
    return gzip.decompress(packed)
