"""Every denoiser and conditioner kind keeps its family's contract, whatever it is inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.draws import draws_of
from torch import nn

from facegen.config.kinds import kind_config, kinds_of, load_kind
from facegen.errors import UsageError
from facegen.formats.latents import ImageFeatures
from facegen.protocols import SampleConditioner
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, SampleSpec

LABELS = LabelSchema(
    attributes=("Smiling", "Eyeglasses"), classes={"age_group": ("child", "adult", "senior")}
)
SAMPLE = SampleSpec((4, 8, 8))
BATCH = 3
VECTOR_DIM, TOKEN_DIM, NUM_TOKENS = 12, 20, 5

DENOISERS = {
    "attribute_unet-cross-attention": {
        "kind": "attribute_unet",
        "base_channels": 8,
        "num_heads": 2,
        "time_dim": 24,
    },
    "dit-adaptive-norm": {"kind": "dit", "width": 32, "depth": 2, "num_heads": 2},
    "dit-cross-attention": {
        "kind": "dit",
        "width": 32,
        "depth": 2,
        "num_heads": 2,
        "conditioning": "cross_attention",
    },
    "dit-in-context": {
        "kind": "dit",
        "width": 32,
        "depth": 2,
        "num_heads": 2,
        "conditioning": "in_context",
        "modulation": "per_block",
        "mlp": "gelu",
        "qk_norm": False,
    },
    "unet": {"kind": "unet", "base_channels": 8, "channel_multipliers": [1, 2], "self_attention_levels": [1]},
    "unet-layer-norm": {
        "kind": "unet",
        "base_channels": 8,
        "channel_multipliers": [1, 2],
        "self_attention_levels": [1],
        "attention_norm": "layer",
    },
    "unet-cross-attention": {
        "kind": "unet",
        "base_channels": 8,
        "channel_multipliers": [1, 2],
        "num_res_blocks": 1,
        "self_attention_levels": [0],
        "cross_attention_levels": [0, 1],
        "num_heads": 2,
        "norm": "instance",
        "activation": "relu",
        "gradient_checkpointing": True,
    },
    "unet2d": {
        "kind": "unet2d",
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "attention_levels": [0],
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    },
    "unet2d_condition-cross-attention": {
        "kind": "unet2d_condition",
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "cross_attention_levels": [0],
        "num_heads": 2,
        "norm_num_groups": 4,
        "gradient_checkpointing": True,
    },
    "vector_mlp": {"kind": "vector_mlp", "width": 32, "depth": 2},
}
SAMPLES = {"vector_mlp": SampleSpec((24,))}  # all others take SAMPLE
POOLS_TOKENS = ["vector_mlp"]  # where there is no vector
NEEDS_TOKENS = ["attribute_unet-cross-attention"]
IGNORES_VECTOR = ["unet2d_condition-cross-attention"]
READS_TOKENS = [name for name in DENOISERS if "cross" in name or "context" in name]

CONDITIONERS = {
    "none": {"kind": "none"},
    "class_label": {"kind": "class_label", "dim": 16},
    "attributes": {"kind": "attributes", "dim": 16},
    "attributes-vector": {"kind": "attributes", "dim": 16, "tokens": False},
    "attributes-tokens": {"kind": "attributes", "dim": 16, "vector": False},
    "text": {"kind": "text"},
    "semantic_encoder": {"kind": "semantic_encoder", "dim": 16, "widths": [8, 16]},
    "image_features": {
        "kind": "image_features",
        "dim": 16,
        "feature_dim": 10,
        "encoder": "nothing/is-loaded",
    },
}


def build_denoiser(name: str, spec: ConditioningSpec) -> nn.Module:
    torch.manual_seed(0)
    config = kind_config("denoisers", DENOISERS[name])
    return load_kind("denoisers", config.kind).build(config, SAMPLES.get(name, SAMPLE), spec)


def spec_for(name: str) -> ConditioningSpec:
    tokens = name in READS_TOKENS
    return ConditioningSpec(VECTOR_DIM, TOKEN_DIM if tokens else None, NUM_TOKENS if tokens else None)


def conditioning_for(name: str) -> Conditioning:
    vector = torch.randn(BATCH, VECTOR_DIM)
    if name not in READS_TOKENS:
        return Conditioning(vector=vector)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])
    return Conditioning(vector, torch.randn(BATCH, NUM_TOKENS, TOKEN_DIM), mask)


def perturbed(module: nn.Module) -> nn.Module:
    """Zero-initialised parts hide everything before them; noise on every weight brings it to light."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module


@pytest.fixture
def batch(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of the shape that the test's denoiser takes, and timesteps."""
    parameters = request.node.callspec.params
    sample = SAMPLES.get(parameters.get("denoiser_name", parameters["name"]), SAMPLE)
    torch.manual_seed(2)
    return torch.randn(BATCH, *sample.shape), torch.tensor([0.0, 333.3, 1000.0])


def test_every_denoiser_kind_is_under_contract() -> None:
    assert {config["kind"] for config in DENOISERS.values()} == set(kinds_of("denoisers"))


def test_every_conditioner_kind_is_under_contract() -> None:
    assert {config["kind"] for config in CONDITIONERS.values()} == set(kinds_of("conditioners"))


@pytest.mark.parametrize("kind", kinds_of("conditioners"))
def test_a_conditioner_says_how_it_is_asked(kind: str) -> None:
    asking = getattr(load_kind("conditioners", kind), "ASKING", None)
    assert isinstance(asking, Asking)
    assert set(asking.options) <= {"prompt", "attributes", "class", "negative", "blend", "like", "between"}
    assert asking.trained_on
    assert asking.instead
    assert bool(asking.options) == bool(asking.condition)


@pytest.mark.parametrize("name", DENOISERS)
def test_denoiser_keeps_the_shape_and_starts_at_zero(name: str, batch) -> None:
    answer = build_denoiser(name, spec_for(name))(*batch, conditioning_for(name))
    assert answer.shape == batch[0].shape
    assert answer.dtype == torch.float32
    assert answer.abs().max() == 0


@pytest.mark.parametrize("name", DENOISERS)
def test_denoiser_is_deterministic_and_reads_time_and_condition(name: str, batch) -> None:
    x_t, timestep = batch
    denoiser = perturbed(build_denoiser(name, spec_for(name))).eval()
    conditioning = conditioning_for(name)
    answer = denoiser(x_t, timestep, conditioning)
    assert torch.equal(answer, denoiser(x_t, timestep, conditioning))
    assert not torch.allclose(answer, denoiser(x_t, timestep + 50, conditioning))
    assert conditioning.vector is not None
    other = Conditioning(-conditioning.vector, conditioning.tokens, conditioning.token_mask)
    assert torch.allclose(answer, denoiser(x_t, timestep, other)) == (name in IGNORES_VECTOR)


@pytest.mark.parametrize("name", DENOISERS)
def test_denoiser_answers_each_sample_by_itself(name: str, batch) -> None:
    x_t, timestep = batch
    denoiser = perturbed(build_denoiser(name, spec_for(name))).eval()
    conditioning = conditioning_for(name)
    together = denoiser(x_t, timestep, conditioning)
    parts = (conditioning.vector, conditioning.tokens, conditioning.token_mask)
    for i in range(BATCH):
        alone = Conditioning(*(None if part is None else part[i : i + 1] for part in parts))
        assert torch.allclose(
            denoiser(x_t[i : i + 1], timestep[i : i + 1], alone), together[i : i + 1], atol=1e-5
        )


@pytest.mark.parametrize("name", DENOISERS)
def test_gradients_reach_every_parameter_of_a_denoiser(name: str, batch) -> None:
    denoiser = perturbed(build_denoiser(name, spec_for(name)))
    denoiser(*batch, conditioning_for(name)).square().mean().backward()
    for parameter_name, parameter in denoiser.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", DENOISERS)
def test_denoiser_comes_back_from_its_state_dict(name: str, batch) -> None:
    denoiser = perturbed(build_denoiser(name, spec_for(name))).eval()
    copy = build_denoiser(name, spec_for(name)).eval()
    copy.load_state_dict(denoiser.state_dict(), strict=True)
    conditioning = conditioning_for(name)
    assert torch.equal(copy(*batch, conditioning), denoiser(*batch, conditioning))


@pytest.mark.parametrize("name", READS_TOKENS)
def test_masked_tokens_have_no_influence_and_visible_ones_do(name: str, batch) -> None:
    denoiser = perturbed(build_denoiser(name, spec_for(name))).eval()
    told = conditioning_for(name)
    assert told.tokens is not None
    assert told.token_mask is not None
    answer = denoiser(*batch, told)
    assert answer.isfinite().all()  # the last row's tokens are all masked
    noise = 10 * torch.randn_like(told.tokens)
    hidden = torch.where(told.token_mask[:, :, None], told.tokens, noise)
    assert torch.allclose(
        denoiser(*batch, Conditioning(told.vector, hidden, told.token_mask)), answer, atol=1e-5
    )
    shown = torch.where(told.token_mask[:, :, None], noise, told.tokens)
    changed = denoiser(*batch, Conditioning(told.vector, shown, told.token_mask))
    assert (changed - answer)[:2].abs().amax(dim=(1, 2, 3)).min() > 1e-4
    assert torch.allclose(changed[2], answer[2], atol=1e-5)


@pytest.mark.parametrize("name", DENOISERS)
def test_every_denoiser_is_also_unconditional_or_says_that_it_is_not(name: str, batch) -> None:
    if name in NEEDS_TOKENS:
        with pytest.raises(UsageError, match="this conditioner gives none"):
            build_denoiser(name, ConditioningSpec())
        return
    denoiser = build_denoiser(name, ConditioningSpec())
    assert denoiser(*batch, Conditioning()).shape == batch[0].shape


@pytest.fixture
def build_conditioner(tiny_text_encoder: Path):
    def build(name: str) -> nn.Module:
        torch.manual_seed(0)
        section = dict(CONDITIONERS[name])
        if section["kind"] == "text":
            section["encoder"] = str(tiny_text_encoder)
        config = kind_config("conditioners", section)
        conditioner = load_kind("conditioners", config.kind).build(config, LABELS, SAMPLE)
        if section["kind"] == "image_features":
            conditioner.attach(None, image_features(section["encoder"], section["feature_dim"]))
        return conditioner

    return build


def image_features(encoder: str, width: int) -> ImageFeatures:
    features = torch.randn(BATCH, width, generator=torch.Generator().manual_seed(3)).half()
    return ImageFeatures(encoder, "ab" * 32, list("abc"), features, [0.5] * width, [2.0] * width)


def inputs_of(conditioner: Any, frame: pd.DataFrame) -> torch.Tensor:
    """From the labels, or from the samples themselves where the conditioner looks at those."""
    if isinstance(conditioner, SampleConditioner):
        samples = torch.randn(len(frame), *SAMPLE.shape, generator=torch.Generator().manual_seed(4))
        return conditioner.inputs_of(samples)
    return conditioner.inputs(frame)


def same(rows: torch.Tensor, others: torch.Tensor) -> bool:
    """Equal, where a condition on pictures has NaN for none."""
    return torch.equal(rows.isnan(), others.isnan()) and torch.equal(rows.nan_to_num(), others.nan_to_num())


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "Smiling": pd.array([1, 0, None], dtype="Int8"),
            "Eyeglasses": pd.array([None, 1, 1], dtype="Int8"),
            "age_group": pd.array(["child", None, "senior"], dtype="string"),
            "caption": ["a smiling child", "a face", "a senior with glasses"],
        }
    )


@pytest.mark.parametrize("name", CONDITIONERS)
def test_conditioner_gives_what_its_spec_says(name: str, build_conditioner, frame) -> None:
    conditioner = build_conditioner(name)
    inputs = inputs_of(conditioner, frame)
    null = conditioner.null_inputs(BATCH)
    assert len(inputs) == len(null) == BATCH
    assert inputs.dtype == null.dtype
    assert inputs.shape[1:] == null.shape[1:]
    for rows in (inputs, null):
        told, spec = conditioner(rows), conditioner.spec
        shape = None if told.vector is None else tuple(told.vector.shape)
        assert shape == (None if spec.vector_dim is None else (BATCH, spec.vector_dim))
        if spec.token_dim is None:
            assert told.tokens is None
        else:
            assert told.tokens.dtype == torch.float32
            assert told.tokens.shape[::2] == (BATCH, spec.token_dim)
            assert told.tokens.shape[1] <= spec.num_tokens


@pytest.mark.parametrize("name", CONDITIONERS)
def test_conditioner_drops_reproducibly_from_none_to_all(name: str, build_conditioner, frame) -> None:
    conditioner = build_conditioner(name)
    inputs = inputs_of(conditioner, frame)
    inputs = inputs.repeat(40, *[1] * (inputs.ndim - 1))
    null = conditioner.null_inputs(len(inputs))

    def dropped(seed: int) -> torch.Tensor:
        return conditioner.drop(inputs, draws_of(len(inputs), seed))

    assert same(dropped(3), dropped(3))
    if name == "none":
        return
    assert not same(dropped(3), dropped(4))
    conditioner.dropout = 1.0
    assert same(dropped(3), null)
    conditioner.dropout = 0.0
    assert same(dropped(3), inputs)


@pytest.mark.parametrize("name", CONDITIONERS)
def test_conditioner_reads_nothing_as_its_null(name: str, build_conditioner) -> None:
    conditioner = build_conditioner(name)
    reading = conditioner.read("")
    assert not reading.labels
    assert same(conditioner.inputs_from(reading).float(), conditioner.null_inputs(1).float())


@pytest.mark.parametrize("name", CONDITIONERS)
def test_gradients_reach_every_parameter_of_a_conditioner(name: str, build_conditioner, frame) -> None:
    conditioner: Any = perturbed(build_conditioner(name))
    rows = torch.cat([inputs_of(conditioner, frame), conditioner.null_inputs(2)])
    told = conditioner(rows)
    parts = [(part * torch.randn_like(part)).sum() for part in (told.vector, told.tokens) if part is not None]
    parameters = dict(conditioner.named_parameters())
    if not parameters:
        assert not any(part.requires_grad for part in parts)
        return
    torch.stack(parts).sum().backward()
    for parameter_name, parameter in parameters.items():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", CONDITIONERS)
def test_conditioner_comes_back_from_its_state_dict(name: str, build_conditioner, frame) -> None:
    conditioner, copy = build_conditioner(name), build_conditioner(name)
    perturbed(conditioner)
    copy.load_state_dict(conditioner.state_dict(), strict=True)
    told, again = conditioner(inputs_of(conditioner, frame)), copy(inputs_of(copy, frame))
    for part, other in ((told.vector, again.vector), (told.tokens, again.tokens)):
        if part is None or other is None:
            assert part is other
        else:
            assert torch.equal(part, other)


@pytest.mark.parametrize("denoiser_name", DENOISERS)
@pytest.mark.parametrize("name", CONDITIONERS)
def test_conditioners_and_denoisers_fit_or_refuse_in_words(
    name: str, denoiser_name: str, build_conditioner, frame, batch
) -> None:
    conditioner = build_conditioner(name)
    reads_tokens, has_tokens = denoiser_name in READS_TOKENS, conditioner.spec.token_dim is not None
    tokens_alone = has_tokens and conditioner.spec.vector_dim is None
    unread = tokens_alone and not reads_tokens and denoiser_name not in POOLS_TOKENS
    missed = reads_tokens and not has_tokens and (name != "none" or denoiser_name in NEEDS_TOKENS)
    if unread or missed:
        with pytest.raises(UsageError, match="tokens"):
            build_denoiser(denoiser_name, conditioner.spec)
        return
    denoiser = build_denoiser(denoiser_name, conditioner.spec)
    told = conditioner(inputs_of(conditioner, frame))
    assert denoiser(*batch, told).shape == batch[0].shape
