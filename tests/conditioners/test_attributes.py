import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from support.draws import draws_of
from support.known import known

from facegen.conditioners import attributes
from facegen.config.kinds import kind_config
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.types import LabelSchema, PromptReading, SampleSpec

SAMPLE = SampleSpec((4, 8, 8))

LABELS = LabelSchema(attributes=("Smiling", "Eyeglasses", "Male", "Young"))


def build(**options) -> attributes.AttributeConditioner:
    torch.manual_seed(0)
    return attributes.build(attributes.Config(**{"dim": 8, **options}), LABELS, SAMPLE)


def test_columns_become_yes_no_and_unknown_in_the_order_asked_for() -> None:
    frame = pd.DataFrame(
        {
            "Smiling": pd.array([1, 0, None], dtype="Int8"),
            "Male": pd.array([None, 1, 0], dtype="Int8"),
        }
    )
    inputs = build(attributes=["Male", "Smiling"]).inputs(frame)
    assert inputs.dtype == torch.int8
    assert inputs.tolist() == [[0, 1], [1, -1], [-1, 0]]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column Eyeglasses, Male, Young"):
        build().inputs(pd.DataFrame({"Smiling": pd.array([1], dtype="Int8")}))


def test_unknown_repeated_and_absent_attributes_are_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'Eyeglasses'"):
        build(attributes=["Eyeglases"])
    with pytest.raises(UsageError, match="none twice"):
        build(attributes=["Male", "Male"])
    with pytest.raises(UsageError, match="at least one"):
        build(attributes=[])
    with pytest.raises(UsageError, match="this data has none"):
        attributes.build(attributes.Config(), LabelSchema(classes={"age": ("old",)}), SAMPLE)


def test_dropout_hides_whole_samples_at_its_rate() -> None:
    rows = torch.ones(20_000, 4, dtype=torch.int8)
    kept = build(dropout=0.25).drop(rows, draws_of(len(rows)))
    assert set(kept.sum(dim=1).tolist()) == {0, 4}
    assert abs((kept.sum(dim=1) == 0).float().mean() - 0.25) < 0.01


def test_partial_dropout_hides_subsets_of_every_size() -> None:
    rows = -torch.ones(20_000, 4, dtype=torch.int8)
    kept = build(dropout=0.0, partial_dropout=0.5).drop(rows, draws_of(len(rows)))
    counts = torch.bincount(kept.abs().sum(dim=1), minlength=5) / len(rows)
    # A keeping probability drawn uniformly makes each of the five sizes equally likely.
    assert torch.allclose(counts, torch.tensor([0.1, 0.1, 0.1, 0.1, 0.6]), atol=0.01)
    assert set(kept.unique().tolist()) == {-1, 0}


def test_a_sample_is_dropped_alike_in_any_batch_of_the_same_draws() -> None:
    conditioner = build(dropout=0.5, partial_dropout=0.5)
    rows = torch.randint(-1, 2, (64, 4), dtype=torch.int8)
    all_rows = conditioner.drop(rows, Draws(1, torch.arange(64)))
    halves = [conditioner.drop(rows[part], Draws(1, part)) for part in torch.arange(64).split(32)]
    assert torch.equal(all_rows, torch.cat(halves))


def test_prompts_and_labels_become_a_row_with_the_rest_unknown() -> None:
    conditioner = build()
    reading = conditioner.read("a smiling woman without glasses")
    assert conditioner.inputs_from(reading).tolist() == [[1, -1, -1, 0]]
    assert conditioner.inputs_from(PromptReading({"Young": 0.5})).tolist() == [[0, 0, 0, 0.5]]
    with pytest.raises(UsageError, match="Did you mean 'Smiling'"):
        conditioner.inputs_from(PromptReading({"Smilin": 1.0}))
    with pytest.raises(UsageError, match="out of range"):
        conditioner.inputs_from(PromptReading({"Young": 2.0}))


def test_prompts_are_read_for_the_attributes_of_this_model_only() -> None:
    reading = build(attributes=["Male"]).read("a smiling woman")
    assert reading.labels == {"Male": -1.0}
    assert reading.not_understood == ("smiling",)


def test_each_value_has_its_own_embedding_and_values_between_blend() -> None:
    conditioner = build()
    rows = torch.tensor([[-1.0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0.5, 0, 0, 0]])
    tokens = conditioner(rows).tokens
    assert tokens is not None
    assert torch.equal(tokens[:3, 0], conditioner.embedding[0])
    assert torch.allclose(tokens[3, 0], (tokens[1, 0] + tokens[2, 0]) / 2)
    assert torch.equal(tokens[0, 1:], tokens[2, 1:])


def test_the_vector_is_the_same_with_and_without_tokens() -> None:
    with_tokens, without = build(), build(tokens=False)
    without.load_state_dict(with_tokens.state_dict())
    rows = torch.randint(-1, 2, (5, 4), dtype=torch.int8)
    assert torch.allclose(with_tokens(rows).vector, without(rows).vector, atol=1e-5)
    assert without(rows).tokens is None


def test_tokens_alone_leave_no_weights_that_nothing_trains() -> None:
    conditioner = build(vector=False)
    told = conditioner(conditioner.null_inputs(2))
    assert told.vector is None
    assert conditioner.spec.vector_dim is None
    assert told.tokens.shape == (2, 4, 8)
    assert [name for name, _ in conditioner.named_parameters()] == ["embedding"]


def test_neither_vector_nor_tokens_is_refused() -> None:
    with pytest.raises(UsageError, match="one of tokens and vector must be true"):
        kind_config("conditioners", {"kind": "attributes", "tokens": False, "vector": False})


def test_a_sparse_sample_keeps_little_and_seldom_what_is_absent() -> None:
    labels = LabelSchema(tuple(f"A{number}" for number in range(40)))
    config = attributes.Config(dropout=0.0, sparse_dropout=1.0)
    conditioner = attributes.build(config, labels, SAMPLE)
    rows = torch.ones(2000, 40)
    rows[:, 20:] = -1
    kept = conditioner.drop(rows, draws_of(2000))
    assert ((kept == 0) | (kept == rows)).all()
    there, absent = (kept[:, :20] != 0).float().mean(), (kept[:, 20:] != 0).float().mean()
    assert there.item() == pytest.approx(1 / 3, abs=0.02)  # the mean square of a uniform share
    assert absent.item() == pytest.approx(1 / 30, abs=0.005)
    few = (kept != 0).sum(1)
    assert ((few >= 1) & (few <= 4)).float().mean() > 0.2


def test_shares_of_samples_that_lose_attributes_are_of_one_whole() -> None:
    with pytest.raises(ValidationError, match="shares of one whole"):
        attributes.Config(partial_dropout=0.6, sparse_dropout=0.5)


def test_what_was_asked_goes_along_as_yes_and_as_no() -> None:
    conditioner = build()
    told = conditioner(torch.tensor([[1, -1, 0, 0], [0.5, 0, 0, -1]]))
    assert conditioner.spec.num_values == 8
    assert known(told.values).tolist() == [[1, 0, 0, 0, 0, 1, 0, 0], [0.5, 0, 0, 0, 0, 0, 0, 1]]
