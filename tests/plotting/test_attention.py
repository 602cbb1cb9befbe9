"""`facegen plot attention`: the face that is sampled anyway, distributions, words by name, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.figure_parts import Drawn, numbers_of
from support.generator_parts import DIT, UNET, save_run, tiny_recipe
from support.tiny_text_encoder import tiny_text_encoder  # noqa: F401

from facegen.errors import UsageError
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.nn.attention_recording import attention_layers, record_attention
from facegen.plotting import attention as module
from facegen.plotting.attention import AttentionOptions, heat, overlay, plot_attention, recorded_walk
from facegen.plotting.requested import Requested
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions

CONDITION_UNET = {"kind": "unet2d_condition", "block_out_channels": [8, 16], "layers_per_block": 1,
                  "cross_attention_levels": [0, 1], "num_heads": 2, "norm_num_groups": 4}  # fmt: skip
TEXT_NETWORKS = {
    "unet2d_condition": CONDITION_UNET,
    "dit-cross": {**DIT, "conditioning": "cross_attention"},
    "dit-in-context": {**DIT, "conditioning": "in_context"},
}
LABELLED = SampleOptions(attributes="Smiling=1,Male=0", seed=3)
ASKED = SampleOptions(prompt="an old man", seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DiT whose condition enters the norms."""
    return save_run(tmp_path_factory.mktemp("dit"))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UNet in which cells attend to each other and to attributes."""
    denoiser = {**UNET, "cross_attention_levels": [1]}
    return save_run(tmp_path_factory.mktemp("unet"), tiny_recipe(denoiser=denoiser))


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: Path):  # noqa: F811
    """Makes a run on captions from its network's name, once each."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            condition: Any = {"kind": "text", "encoder": str(tiny_text_encoder)}
            recipe = tiny_recipe(condition, TEXT_NETWORKS[name])
            made[name] = save_run(tmp_path_factory.mktemp(name), recipe)
        return made[name]

    return make


def draw(run: Path, out: Path, options: SampleOptions, **attention: Any) -> tuple[Any, Any]:
    wanted = AttentionOptions(**{"frames": 2, **attention})
    summary = plot_attention(run, out, options=options, attention=wanted, csv=True)
    return summary, numbers_of(summary)


@pytest.mark.parametrize("name", ["run", "unet"])
def test_what_a_cell_sees_sums_to_one(name: str, request, tmp_path: Path):
    summary, table = draw(request.getfixturevalue(name), tmp_path / "a.png", LABELLED, kind="self")
    sums = table.groupby(["layer", "of", "step"])["share"].sum()
    assert len(sums) == 2 * 2 * len(summary.facts["Layers"].split(", "))
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert set(table["of"]) == {"from 0.38, 0.48", "from 0.49, 0.7"}
    assert table["x"].between(0, 1).all()


def test_recording_leaves_the_face_as_it_is(run: Path, monkeypatch):
    requested = Requested.open(run, LABELLED, None)
    generator = requested.generator
    inputs = requested.plan(1).inputs
    *_, plain = generator.trajectory(inputs, [3], requested.settings)
    seen = []

    def decode(self: FaceGenerator, x0: torch.Tensor) -> torch.Tensor:
        seen.append(x0)
        return torch.zeros(1, 3, 4, 4)

    monkeypatch.setattr(FaceGenerator, "decode", decode)
    recorded_walk(requested, inputs, 3, "self", 2, requested.settings.steps)
    assert len(seen) == requested.settings.steps + 1
    largest = plain.x0.abs().max()  # far above 1, as this network is not trained
    torch.testing.assert_close(seen[-1] / largest, plain.x0 / largest, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_NETWORKS)
def test_words_of_a_prompt_are_columns_by_their_names(name: str, text_run, tmp_path: Path, monkeypatch):
    drawn = Drawn(module, monkeypatch)
    _, table = draw(text_run(name), tmp_path / "a.png", ASKED, layers="2", kind="cross")
    names = ["(start)", "an", "old", "man", "(end)"]
    assert table["of"].drop_duplicates().tolist() == names
    assert set(names) < set(drawn.texts)
    sums = table.groupby(["layer", "step", "x", "y"])["share"].sum()
    if name == "dit-in-context":  # cells look at each other besides
        assert sums.between(0.01, 0.99).all()
    else:
        np.testing.assert_allclose(sums, 1, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_NETWORKS)
def test_a_word_gets_the_shares_of_its_tokens_in_the_conditional_row(name: str, text_run, tmp_path: Path):
    """Against the network asked once, outside the sampler, for the conditional row alone."""
    run = text_run(name)
    _, table = draw(run, tmp_path / "a.png", ASKED, layers="1", words=("man",))
    requested = Requested.open(run, ASKED, SilentProgress())
    generator: Any = requested.generator
    told = generator.conditioning(requested.plan(1).inputs)
    step = next(generator.trajectory(requested.plan(1).inputs, [3], requested.settings))
    first = table[table["step"] == 1]
    with torch.no_grad(), record_attention(generator.network, layers=[first["layer"].iloc[0]]) as recording:
        timestep = torch.tensor([first["noise_level"].iloc[0] * generator.objective.path.num_timesteps])
        generator.network(generator.noise([3]), timestep.to(step.x_t.dtype), told)
    weights = recording.maps[0].weights[0].mean(0)  # (Q, K)
    tokens = slice(6, 9)  # a start mark, "an", "old", then a token for each letter of "man"
    if name == "dit-in-context":
        weights = weights[: len(first), len(first) :]
    np.testing.assert_allclose(first["share"], weights[: len(first), tokens].sum(1), atol=1e-5)
    assert set(table["of"]) == {"man"}


def test_labels_say_whether_they_were_asked_for(unet: Path, tmp_path: Path, monkeypatch):
    drawn = Drawn(module, monkeypatch)
    draw(unet, tmp_path / "a.png", LABELLED)
    assert {"Smiling\nyes", "Male\nno", "Eyeglasses\nleft open"} < set(drawn.texts)
    assert drawn.texts.count("face") == 1
    draw(unet, tmp_path / "b.png", LABELLED, words=("smiling",))
    assert any(text.endswith("Smiling\nyes") for text in drawn.texts)
    assert {"step 1\nt/T 1.00", "step 4\nt/T 0.25"} < set(drawn.texts)


def test_one_layer_is_the_middle_one_and_names_choose(unet: Path, tmp_path: Path):
    denoiser: Any = load(unet).network
    known = [name for name, kind in attention_layers(denoiser).items() if kind == "self"]
    for layers in (",".join(known[:2]), known[1]):
        summary, _ = draw(unet, tmp_path / "a.png", LABELLED, kind="self", layers=layers)
        assert summary.facts["Layers"] == layers.replace(",", ", ")
    assert module._spread(5, 1) == [2]
    assert module._spread(5, 3) == [0, 2, 4]
    assert module._spread(2, 9) == [0, 1]


def test_places_that_look_may_be_chosen(run: Path, tmp_path: Path):
    _, table = draw(run, tmp_path / "a.png", LABELLED, at=((1.0, 0.0),), layers="1")
    assert set(table["of"]) == {"from 1, 0"}


def test_without_cross_attention_it_is_said_what_is_drawn(run: Path, tmp_path: Path):
    progress = SilentProgress()
    wanted = AttentionOptions(frames=2)
    plot_attention(run, tmp_path / "a.png", options=LABELLED, attention=wanted, progress=progress)
    assert any("no cross-attention" in line for line in progress.said)


@pytest.mark.parametrize(
    ("name", "attention", "says"),
    [
        ("run", {"kind": "cross"}, "--kind self"),
        ("run", {"words": ("Smiling",)}, "--kind self"),
        ("run", {"frames": 1}, "at least 2"),
        ("run", {"frames": 9}, "--frames 4 or fewer"),
        ("run", {"layers": "0"}, "at least 1"),
        ("run", {"layers": "blocks.0.atention"}, "Did you mean 'blocks.0.attention'"),
        ("run", {"at": ((0.5, 1.5),)}, "outside the picture"),
        ("unet", {"words": ("Smilling",)}, "Did you mean 'Smiling'"),
        ("unet", {"words": ("Smiling",), "kind": "self"}, "--word follows"),
        ("unet", {"at": ((0.5, 0.5),), "kind": "cross"}, "--kind cross leaves out"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    name: str, attention: dict[str, Any], says: str, request, tmp_path: Path
):
    with pytest.raises(UsageError) as caught:
        draw(request.getfixturevalue(name), tmp_path / "a.png", LABELLED, **attention)
    assert says in str(caught.value)
    assert not (tmp_path / "a.png").exists()


def test_a_network_without_attention_is_refused(tmp_path: Path):
    bare = save_run(tmp_path, tiny_recipe(denoiser={**UNET, "self_attention_levels": []}))
    with pytest.raises(UsageError, match="has no attention"):
        draw(bare, tmp_path / "a.png", LABELLED)


def test_heat_is_where_the_values_are_and_the_face_shows_through():
    face = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    values = np.zeros((4, 4))
    values[1, 3] = 0.2  # the largest of a map gets the last colour, however little it is
    heat = overlay(face, values).astype(int) - overlay(face, np.zeros((4, 4))).astype(int)
    yellow = heat[..., 0]
    assert yellow[8:16, 24:].mean() > 50
    assert abs(yellow[20:, :16]).max() == 0
    assert overlay(face, values).std(axis=(0, 1)).min() > 10


def test_the_cell_that_looks_is_framed():
    face = np.zeros((192, 192, 3), np.uint8)
    plain, framed = (heat(face, np.ones((4, 4)), mark).astype(int) for mark in (None, (1, 3)))
    rows, columns = np.nonzero((plain != framed).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 95, 144, 191)
