"""Calls beside each other: in threads of their own, with the same bits, or one after another."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
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


@pytest.mark.parametrize(
    ("threads", "count", "elsewhere", "here"),
    [(5, 8, [1] * 5 + [2] * 2, 3), (5, 4, [1] * 4, 1), (40, 17, [2] * 16, 2)],
)
def test_fewer_calls_share_all_threads_and_many_are_made_in_turns(
    threads: int, count: int, elsewhere: list[int], here: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        call = Doubles()
        SideBySide()(call, chunks(count))
        assert sorted(call.seen) == [*((False, each) for each in elsewhere), *[(True, threads)] * here]
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


def test_another_shape_or_number_of_threads_is_tried_anew(threads: int) -> None:
    call, together, given = Doubles(), SideBySide(), chunks(threads)
    together(call, given, (3,))
    call.error = 1e-6
    for _ in range(2):
        assert torch.equal(torch.cat(together(call, given, (4,))), 2 * torch.cat(given))
    torch.set_num_threads(threads + 2)
    assert torch.equal(torch.cat(together(call, given, (3,))), 2 * torch.cat(given))


def test_what_is_set_for_the_callers_thread_keeps_calls_in_it(threads: int) -> None:
    call = Doubles()
    with torch.autocast("cpu"):
        SideBySide()(call, chunks(threads))
    assert call.seen == [(True, threads)] * threads


def test_an_error_in_a_thread_is_raised_when_all_have_ended(threads: int) -> None:
    ended = list[int]()

    def fails(numbers: Tensor) -> Tensor:
        if numbers[0] == 0:
            raise MemoryError("too large")
        time.sleep(0.1)
        ended.append(threading.get_ident())
        return numbers

    with pytest.raises(MemoryError, match="too large"):
        SideBySide()(fails, chunks(threads))
    assert len(ended) == threads - 1
    assert threading.get_ident() not in ended


def test_callers_in_two_threads_share_the_workers(threads: int) -> None:
    together, given = SideBySide(), chunks(4 * threads)

    def ask(_: int) -> Tensor:
        torch.set_num_threads(threads)
        return torch.cat(together(lambda numbers: numbers + 1, given))

    with ThreadPoolExecutor(2) as callers:
        for answer in callers.map(ask, range(20)):
            assert torch.equal(answer, torch.cat(given) + 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_makes_workers_of_its_own(threads: int) -> None:
    together, given = SideBySide(), chunks(threads)
    together(lambda numbers: numbers, given)
    child = get_context("fork").Process(target=together, args=(Doubles(), given))
    child.start()
    child.join(20)
    still = child.is_alive()
    child.kill()
    assert not still
    assert child.exitcode == 0


@pytest.mark.parametrize("threads", [3], indirect=True)  # two would wait for busy cores in circles
@pytest.mark.parametrize(("denoiser", "training"), [(DIT, False), (DIT, True), (UNET, False)])
def test_faces_are_the_same_alone_and_in_a_batch_for_many_threads(
    threads: int, denoiser: Any, training: bool
) -> None:
    generator = tiny_generator(tiny_recipe(denoiser=denoiser))
    generator.module.train(training)
    torch.manual_seed(2)
    inputs, seeds = torch.randint(-1, 2, (10, len(LABELS.attributes))).float(), range(10)
    chosen = generator.sampling.model_copy(update={"steps": 1})
    drawn = generator.generate(inputs, seeds, chosen)
    assert generator.module.training == training
    for one in (0, 9):
        part = slice(one, one + 1)
        assert torch.equal(generator.generate(inputs[part], seeds[part], chosen), drawn[part])
