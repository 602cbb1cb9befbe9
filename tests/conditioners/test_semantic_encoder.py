import pandas as pd
import pytest
import torch
from support.draws import draws_of

from facegen.conditioners import semantic_encoder
from facegen.errors import UsageError
from facegen.types import LabelSchema, PromptReading, SampleSpec

SHAPE = (4, 16, 16)


def build(shape=SHAPE, **options):
    torch.manual_seed(0)
    config = semantic_encoder.Config(**{"dim": 24, "widths": [8, 16], **options})
    return semantic_encoder.build(config, LabelSchema(), SampleSpec(shape))


def test_a_vector_is_made_of_the_sample_and_all_have_one_length():
    conditioner = build()
    samples = torch.randn(5, *SHAPE)
    vectors = conditioner(conditioner.inputs_of(samples)).vector
    assert vectors.shape == (5, 24)
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((5,), 24**0.5), rtol=1e-3, atol=0)
    assert torch.pdist(vectors).min() > 0.1
    assert conditioner.spec.vector_dim == 24


@pytest.mark.parametrize("shape", [(3, 64, 64), (4, 16, 16), (1, 28, 28), (4, 6, 6)])
def test_any_map_can_be_looked_at(shape):
    assert build(shape)(torch.randn(2, *shape)).vector.shape == (2, 24)


def test_a_dropped_sample_gets_the_learned_vector_and_a_finite_gradient():
    conditioner = build(dropout=0.5)
    samples = torch.randn(40, *SHAPE)
    dropped = conditioner.drop(conditioner.inputs_of(samples), draws_of(40))
    missing = dropped.flatten(1).isnan().all(1)
    assert 10 < missing.sum() < 30
    assert torch.equal(dropped[~missing], samples[~missing])
    told = conditioner(dropped).vector
    assert torch.equal(told[missing], conditioner.null.expand(int(missing.sum()), -1))
    told.square().sum().backward()
    assert all(
        parameter.grad.isfinite().all()
        for parameter in conditioner.parameters()
        if parameter.grad is not None
    )
    assert conditioner.null.grad is not None
    assert conditioner.null.grad.abs().min() > 0


def test_labels_and_words_are_refused_with_what_to_do():
    conditioner = build()
    with pytest.raises(UsageError, match="label rows hold none"):
        conditioner.inputs(pd.DataFrame({"id": ["a"]}))
    with pytest.raises(UsageError, match="--between A B"):
        conditioner.read("a smiling woman")
    with pytest.raises(UsageError, match="cannot be asked for Male"):
        conditioner.inputs_from(PromptReading({"Male": 1.0}))


def test_a_vector_has_no_picture_to_look_at():
    with pytest.raises(UsageError, match=r"looks at samples \(C, H, W\)"):
        build((256,))
