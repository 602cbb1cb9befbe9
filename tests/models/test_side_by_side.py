"""Calls beside each other: in threads of their own, with the same bits, or one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.generator_parts import DIT, LABELS, UNET, tiny_generator, tiny_recipe
from torch import Tensor

from facegen.models.side_by_side import SideBySide


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Doubles:
    """Doubles its numbers, and keeps where that was done; `error` is added in threads of others."""

    def __init__(self, error: float = 0.0) -> None:
        self.error, self.home, self.seen = error, threading.get_ident(), list[tuple[bool, int]]()

    def __call__(self, numbers: Tensor) -> Tensor:
        here = threading.get_ident() == self.home
        self.seen.append((here, torch.get_num_threads()))
        assert not torch.is_grad_enabled() or here
        return 2 * numbers + (0.0 if here else self.error)


def chunks(count: int) -> list[Tensor]:
    return list(torch.arange(5.0 * count).split(5))


def test_outputs_come_in_order_from_threads_that_share_the_cores(threads: int) -> None:
    call, together = Doubles(), SideBySide()
    given = chunks(2 * threads)
    for _ in range(2):
        assert torch.equal(torch.cat(together(call, given)), 2 * torch.cat(given))
    elsewhere = [each for here, each in call.seen if not here]
    assert elsewhere == [1] * (4 * threads)
    assert len(call.seen) == len(elsewhere) + 1, "the first is made again, once"
    assert torch.get_num_threads() == threads


def test_fewer_calls_than_threads_share_all_of_them() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        call = Doubles()
        SideBySide()(call, chunks(7))
        assert sorted(call.seen) == [(False, 1)] * 5 + [(False, 2)] * 2 + [(True, 5)] * 2
    finally:
        torch.set_num_threads(before)


def test_one_call_or_one_thread_stays_where_it_is(threads: int) -> None:
    call = Doubles()
    SideBySide()(call, chunks(1))
    torch.set_num_threads(1)
    SideBySide()(call, chunks(6))
    assert call.seen == [(True, threads), *[(True, 1)] * 6]


def test_other_bits_in_other_threads_are_not_taken(threads: int) -> None:
    call, together = Doubles(error=1e-6), SideBySide()
    given = chunks(threads)
    for _ in range(3):
        assert torch.equal(torch.cat(together(call, given)), 2 * torch.cat(given))
    assert sum(not here for here, _ in call.seen) == threads, "tried once"


def test_an_error_in_a_thread_is_raised(threads: int) -> None:
    def fails(numbers: Tensor) -> Tensor:
        raise MemoryError(f"{len(numbers)}")

    with pytest.raises(MemoryError, match="5"):
        SideBySide()(fails, chunks(threads))


@pytest.mark.parametrize(("denoiser", "training"), [(DIT, False), (DIT, True), (UNET, False)])
def test_faces_are_the_same_alone_and_in_a_batch_for_many_threads(
    threads: int, denoiser: Any, training: bool
) -> None:
    generator = tiny_generator(tiny_recipe(denoiser=denoiser))
    generator.module.train(training)
    torch.manual_seed(2)
    inputs, seeds = torch.randint(-1, 2, (19, len(LABELS.attributes))).float(), range(19)
    chosen = generator.sampling.model_copy(update={"steps": 2})
    drawn = generator.generate(inputs, seeds, chosen)
    assert generator.module.training == training
    for one in (0, 9, 18):
        part = slice(one, one + 1)
        assert torch.equal(generator.generate(inputs[part], seeds[part], chosen), drawn[part])
