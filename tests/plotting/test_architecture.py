"""`facegen plot architecture`: every parameter once, true shapes, and nothing that overlaps or is cut."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import Field
from support.figure_parts import numbers_of
from support.generator_parts import save_run, tiny_module, tiny_recipe
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.config.composition import compose, preset_names
from facegen.config.kinds import KindConfig
from facegen.config.recipe import Recipe
from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.plotting.architecture.architecture import Data, data_of, diagram_and_module, plot_architecture
from facegen.plotting.architecture.diagram import Box, Diagram
from facegen.plotting.architecture.drawing import architecture_plot, architecture_table
from facegen.plotting.subjects import subject_of

ON_CELEBA = Data(data_of(subject_of("celeba-attributes")).labels, 64, (4, 16, 16))
AUTOENCODERS = {
    "kl": ["autoencoder.kind=kl", "autoencoder.block_out_channels=[32,64]"],
    "tiny": ["autoencoder.kind=tiny"],
    "vae_gan": ["autoencoder.kind=vae_gan"],
}


@cache
def drawn(subject: str, depth: int = 2) -> tuple[Diagram, nn.Module]:
    """The diagram of a preset, or of the autoencoder preset with another autoencoder."""
    if subject in AUTOENCODERS:
        return diagram_and_module(
            compose("celeba-autoencoder", overrides=AUTOENCODERS[subject]), ON_CELEBA, depth
        )
    found = subject_of(subject)
    return diagram_and_module(found.recipe, data_of(found), depth)


def count(module: nn.Module) -> int:
    return sum({id(one): one.numel() for one in module.parameters()}.values())


def parameters_of(diagram: Diagram) -> int:
    return sum(box.parameters for box in diagram.boxes)


def boxes_of(diagram: Diagram) -> dict[str, Box]:
    return {box.key: box for box in diagram.boxes}


@pytest.mark.parametrize("subject", [*preset_names(), *AUTOENCODERS])
def test_every_parameter_is_in_exactly_one_box(subject: str):
    diagram, module = drawn(subject)
    assert parameters_of(diagram) == count(module) > 0
    assert sum(architecture_table(diagram)["parameters"].tolist()) == count(module)


@pytest.mark.parametrize(
    "subject", ["attribute-ldm", "celeba-attributes", "vae-gan", "latent-vector", "tiny"]
)
@pytest.mark.parametrize("depth", [1, 3])
def test_more_or_less_detail_has_the_same_parameters(subject: str, depth: int):
    diagram, module = drawn(subject, depth)
    assert parameters_of(diagram) == count(module)
    assert sum(architecture_table(diagram)["parameters"].tolist()) == count(module)
    for box in diagram.boxes:
        assert not box.parts or sum(part.parameters for part in box.parts) == box.parameters


def test_the_module_is_what_the_system_promises():
    _, module = drawn("attribute-ldm")
    assert count(module) == 5_060_388 + 40 * 3 * 256


def test_a_run_is_drawn_from_its_checkpoint(tmp_path: Path):
    run = save_run(tmp_path)
    summary = plot_architecture(str(run), tmp_path / "plot.svg")
    stored = load_checkpoint(run).weights()
    buffers = {name for name, _ in tiny_module(tiny_recipe()).named_buffers()}
    total = sum(value.numel() for name, value in stored.items() if name not in buffers)
    assert summary.facts["parameters"] == total
    text = summary.path.read_text()
    assert f"run: {total:,} parameters" in text
    assert "A preset has no data" not in text


@pytest.mark.parametrize("denoiser", ["dit", "unet", "attribute_unet", "unet2d", "unet2d_condition"])
def test_shapes_are_those_of_a_real_forward_pass(denoiser: str):
    diagram, module = diagram_and_module(small(denoiser), ON_CELEBA, 3)
    network: Any = module.get_submodule("denoiser")
    conditioner: Any = module.get_submodule("conditioner")
    seen: dict[str, tuple[int, ...]] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, given: Any, out: Any) -> None:
            if torch.is_tensor(out):
                seen.setdefault(name, tuple(out.shape[1:]))

        return hook

    for name, part in module.named_modules():
        part.register_forward_hook(remember(name))
    with torch.no_grad():
        network(torch.zeros(2, 4, 16, 16), torch.zeros(2), conditioner(conditioner.null_inputs(2)))
    blocks = [box for box in diagram.boxes if box.key in seen]
    assert len(blocks) >= 5
    for box in blocks:
        assert box.shape == seen[box.key]
        assert all(part.shape == seen.get(part.key) for part in box.parts)


def small(denoiser: str) -> Recipe:
    changes = {
        "dit": ["denoiser.kind=dit", "denoiser.width=32", "denoiser.depth=3", "denoiser.num_heads=2"],
        "unet": ["denoiser.kind=unet", "denoiser.base_channels=16", "denoiser.cross_attention_levels=[1]"],
        "attribute_unet": ["denoiser.kind=attribute_unet", "denoiser.base_channels=16"],
        "unet2d": ["denoiser.kind=unet2d", "denoiser.block_out_channels=[32,64]",
                   "denoiser.attention_levels=[1]"],
        "unet2d_condition": ["denoiser.kind=unet2d_condition", "denoiser.block_out_channels=[32,64]",
                             "denoiser.cross_attention_levels=[1]"],
    }[denoiser]  # fmt: skip
    tokens = "true" if denoiser != "dit" else "false"
    return compose("avatars", overrides=[*changes, f"conditioner.tokens={tokens}", "conditioner.dim=32"])


def test_repeats_are_folded_and_keep_their_sum():
    diagram, module = drawn("celeba-attributes")
    blocks: Any = module.get_submodule("denoiser.blocks")
    (box,) = [box for box in diagram.boxes if "TransformerBlock" in box.name]
    assert (box.name, box.note) == ("6 × TransformerBlock", "self-attention: 4 heads")
    assert box.parameters == 6 * count(blocks[0]) == count(blocks)


def test_blocks_that_take_turns_stay_in_one_frame():
    diagram, _ = drawn("pixel-class")
    runs = [run for group in diagram.columns["up"] for run in group.runs if len(run) > 1]
    assert [[(box.name, box.note) for box in run] for run in runs] == 2 * [
        [("3 × ResidualBlock", ""), ("3 × SpatialAttention", "self-attention: 4 heads")]
    ]


@pytest.mark.parametrize(
    ("subject", "says"),
    [("attribute-ldm", "cross-attention: 4 heads"), ("latent-vector", "self-attention: 4 heads"),
     ("text-ldm", "self-attention: 8 heads, cross-attention: 8 heads")],
)  # fmt: skip
def test_attention_is_told_with_its_heads(subject: str, says: str):
    notes = [box.note for box in drawn(subject)[0].boxes if box.kind == "attention"]
    assert set(notes) == {says}
    assert says in architecture_table(drawn(subject)[0])["name"].str.cat()


def test_the_skips_of_a_u_join_stages_of_one_resolution():
    diagram, _ = drawn("pixel-class")
    boxes = boxes_of(diagram)
    assert sum(diagram.skips.values()) == 4 * (2 + 1)  # blocks and what leads to the level
    assert all(sizes(boxes[a]) == sizes(boxes[b]) for a, b in diagram.skips)
    titles = {name: [group.title for group in groups] for name, groups in diagram.columns.items()}
    assert titles["down"] == ["", "64 × 64", "32 × 32", "16 × 16", "8 × 8"]
    assert titles["up"] == ["8 × 8", "16 × 16", "32 × 32", "64 × 64", ""]


def sizes(box: Box) -> tuple[int, ...]:
    assert box.shape is not None
    return box.shape[1:]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_u_turns_where_the_maps_are_smallest(depth: int):
    diagram, _ = drawn("attribute-ldm", depth)
    titles = [[group.title for group in diagram.columns[name]] for name in ("down", "up")]
    assert titles == [["", "32 × 32", "16 × 16", "8 × 8"], ["16 × 16", "32 × 32", ""]]


def test_a_network_without_skips_or_latent_is_one_column():
    wide = compose(
        "avatars", overrides=["denoiser.patch_size=8", "denoiser.width=32", "denoiser.num_heads=2"]
    )
    diagram, _ = diagram_and_module(wide, ON_CELEBA, 2)  # its tokens are smaller than its input and output
    assert diagram.columns["down"][-1].boxes[-1].name == "prediction"
    assert diagram.columns["up"] == ()


def test_an_autoencoder_turns_at_its_latents_and_judges_stand_aside():
    diagram, _ = drawn("vae-gan")
    assert diagram.columns["down"][-1].boxes[-1].name == "latent z (mean)"
    assert diagram.columns["up"][-1].boxes[-1].name == "reconstruction"
    assert [group.title for group in diagram.columns["aside"]] == ["discriminator", "class_head"]
    assert [link.words for link in diagram.links] == ["latent z (mean)", "reconstruction"]


def test_conditions_enter_where_the_module_takes_them():
    time, tokens = sorted(drawn("attribute-ldm")[0].links, key=lambda link: "time" not in link.words)
    assert tokens.words == "attributes: scaled dot product attention"
    assert tokens.targets == ("denoiser.inc.attention", "denoiser.down2.attention")
    assert time.words == "time step t: add"
    assert len(time.targets) == 5

    links = {frozenset(link.sources): link for link in drawn("celeba-attributes")[0].links}
    shared, last = (links[frozenset({f"denoiser.{name}"})] for name in ("modulation", "modulation_out"))
    assert shared.targets == ("denoiser.blocks.0",)  # the blocks are given the condition and ignore it
    assert last.targets == ("denoiser.patch_out",)
    assert {"attributes", "time step t"} <= set(shared.words.partition(":")[0].split(" and "))
    summed = links[frozenset({"denoiser.time", "denoiser.vector_in"})]
    assert set(summed.targets) == {"denoiser.modulation", "denoiser.modulation_out"}


def test_what_a_text_encoder_gives_is_an_input_and_needs_no_encoder():
    diagram, _ = drawn("text-ldm")
    assert boxes_of(diagram)["text"].shape == (77, 512)
    (link,) = [link for link in diagram.links if link.sources == ("text",)]
    assert link.words == "text: scaled dot product attention"
    assert not any("conditioner" in key for key in boxes_of(diagram))


def test_tokens_in_context_are_told_as_such():
    recipe = compose(
        "avatars",
        overrides=["denoiser.conditioning=in_context", "denoiser.depth=2", "conditioner.tokens=true"],
    )
    words = [link.words for link in diagram_and_module(recipe, ON_CELEBA, 2)[0].links]
    assert any(each.startswith("attributes: ") and "cat" in each for each in words)


class Tied(nn.Module):
    """Two layers of one weight, a parameter of its own, and a look at a number, which needs real numbers."""

    class Config(KindConfig, frozen=True):
        kind: str = "own"
        width: int = Field(default=3, ge=1)

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(3, 1, 1))
        self.into, self.out = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        self.out.weight = self.into.weight

    @staticmethod
    def build(config: Any, sample: Any, conditioning: Any) -> Tied:
        return Tied()

    def forward(self, x: torch.Tensor, timestep: torch.Tensor, conditioning: Any) -> torch.Tensor:
        return self.out(self.into(x + self.offset)) * (1 if float(x.sum()) == 0 else 2)


def test_shared_weights_count_once_and_somebodys_own_network_is_drawn():
    overrides = [f"denoiser.kind={__name__}:Tied", "conditioner.kind=none"]
    diagram, module = diagram_and_module(
        compose("pixel-32", overrides=overrides), data_of(subject_of("pixel-32")), 2
    )
    assert count(module) == 3 + 9 == parameters_of(diagram)
    assert boxes_of(diagram)["denoiser.offset"].parameters == 3
    assert boxes_of(diagram)["denoiser.into"].parameters == 9


PAGES = [*((name, 2) for name in preset_names()), ("kl", 2), ("attribute-ldm", 1), ("vae-gan", 1),
         ("attribute-ldm", 3), ("latent-vector", 3), ("vae-gan", 3)]  # fmt: skip


@pytest.mark.parametrize(("subject", "depth"), PAGES)
def test_texts_are_whole_and_boxes_and_lines_keep_clear_of_boxes(subject: str, depth: int):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    diagram, _ = drawn(subject, depth)
    figure = architecture_plot(diagram, "A title", "A subtitle of some length.").figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    page = figure.bbox
    outlines = {
        str(patch.get_label()).removeprefix("box "): patch.get_window_extent(renderer)
        for patch in axes.patches
        if str(patch.get_label()).startswith("box ")
    }
    assert set(outlines) == set(boxes_of(diagram))
    told = {key: [] for key in ("", *outlines)}
    for text in axes.texts:
        if text.get_text():
            told[str(text.get_label()) if text.get_label() in outlines else ""].append(
                text.get_window_extent(renderer)
            )
    for extents in told.values():
        assert all(within(extent, page) for extent in extents)
        assert not any(meet(a, b) for n, a in enumerate(extents) for b in extents[:n])
    assert all(within(extent, outlines[key]) for key in outlines for extent in told[key])
    keys = list(outlines)
    assert not any(meet(outlines[a], outlines[b]) for n, a in enumerate(keys) for b in keys[:n])
    for start, end in segments(axes):
        assert not any(crosses(start, end, box) for box in outlines.values()), (start, end)
    assert page.width / figure.dpi < 12
    assert page.height / figure.dpi < (13 if depth < 3 else 17)


def within(inner: Any, outer: Any) -> bool:
    return (
        inner.x0 >= outer.x0
        and inner.x1 <= outer.x1
        and inner.y0 >= outer.y0 - 1
        and inner.y1 <= outer.y1 + 1
    )


def meet(a: Any, b: Any) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2


def segments(axes: Any) -> list[tuple[Any, Any]]:
    """Every straight piece of every line and arrow, in pixels."""
    from matplotlib.patches import FancyArrowPatch

    arrows: list[Any] = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    lines = [line.get_xydata() for line in axes.lines] + [arrow._path_original.vertices for arrow in arrows]
    return [piece for points in lines for piece in pairwise(axes.transData.transform(points))]


def crosses(start: Any, end: Any, box: Any) -> bool:
    """Whether a level or upright piece runs through the inside of a box."""
    x0, x1, y0, y1 = box.x0 + 2, box.x1 - 2, box.y0 + 2, box.y1 - 2
    left, right = sorted((start[0], end[0]))
    low, high = sorted((start[1], end[1]))
    return left < x1 and right > x0 and low < y1 and high > y0


def test_the_png_has_600_dots_an_inch_and_the_table_a_row_a_box(tmp_path: Path):
    summary = plot_architecture("avatars-classifier", tmp_path / "net.png", csv=True)
    with Image.open(summary.path) as image:
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.1)
    table = numbers_of(summary)
    assert list(table) == ["name", "kind", "output_shape", "parameters"]
    assert len(table) == summary.facts["boxes"]
    assert table["parameters"].sum() == summary.facts["parameters"]


def test_the_command_prints_its_summary_as_json(tmp_path: Path):
    out = tmp_path / "net.pdf"
    result = CliRunner().invoke(
        app, ["plot", "architecture", "avatars-classifier", "--depth", "1", "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["path"] == str(out)
    assert told["parameters"] == count(drawn("avatars-classifier")[1])
    assert out.read_bytes().startswith(b"%PDF")


def test_the_same_figure_is_the_same_file(tmp_path: Path):
    files = [plot_architecture("avatars", tmp_path / f"{n}.svg").path.read_bytes() for n in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("subject", "depth", "says"),
    [("celeba-atributes", 2, "Did you mean 'celeba-attributes'"), ("celeba-attributes", 4, "1 (stages)"),
     ("celeba-attributes", 0, "--depth 0")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(tmp_path, monkeypatch, subject, depth, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        plot_architecture(subject, depth=depth)
    assert says in str(caught.value)
    assert not Path("plots").exists()


def test_a_run_that_never_saved_has_no_network_to_draw(tmp_path: Path):
    run = save_run(tmp_path)
    next(run.glob("checkpoints/*/checkpoint.json")).unlink()
    with pytest.raises(MissingModelError, match="no checkpoint"):
        plot_architecture(str(run), tmp_path / "plot.png")


def test_building_leaves_no_constants_without_numbers():
    import sys

    drawn("text-ldm")
    constants = (v for m in list(sys.modules.values()) if m for v in list(vars(m).values()))
    assert not any(
        isinstance(value, torch.Tensor) and (value.is_meta or isinstance(value, FakeTensor))
        for value in constants
    )


def test_diagrams_are_the_same_at_any_depth_but_for_detail():
    shapes = [{box.shape for box in drawn("avatars-classifier", depth)[0].boxes} for depth in (2, 3)]
    assert shapes[0] == shapes[1]


def test_a_long_subtitle_is_wrapped_but_never_within_a_size():
    diagram, _ = drawn("attribute-classifier")
    figure = architecture_plot(
        diagram, "A title", "A long subtitle of a net that sees " + "64 × 64, " * 9
    ).figure
    (told,) = [text for text in figure.axes[0].texts if "\N{NO-BREAK SPACE}" in text.get_text()]
    lines = told.get_text().splitlines()
    assert len(lines) > 1
    assert not any(line.endswith(("64", "×")) or line.startswith("×") for line in lines)


def test_a_network_narrower_than_its_page_stands_in_the_middle():
    diagram, _ = drawn("attribute-classifier")
    (axes,) = architecture_plot(diagram, "A title").figure.axes
    patches: list[Any] = [patch for patch in axes.patches if str(patch.get_label()).startswith("box ")]
    boxes = [patch.get_bbox() for patch in patches]
    left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    assert left - axes.get_xlim()[0] == pytest.approx(axes.get_xlim()[1] - right, abs=0.1)
