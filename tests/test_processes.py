"""Processes that meet: what each is told, and how it ends."""

from __future__ import annotations

from support.processes import Processes

MEETING = """
import atexit
from facegen.processes import joined, leave, world

atexit.register(lambda: print("Python wound up"))
leave(5)  # nobody was met yet
with joined():
    assert world().gather(world().rank) == [0, 1]
    assert world().share(world().rank) == 0
    assert list(world().divided([3, 4, 5], lambda item: item * 10)) == [30, 40, 50]
    try:
        world().first(lambda: open("/not/there"))
    except FileNotFoundError:
        print("failed alike")
leave(3)
"""


def test_they_share_gather_divide_and_fail_together_and_end_without_winding_up() -> None:
    with Processes([MEETING], 2, program=("-c",)) as started:
        ended = started.wait(60)
    assert [one.returncode for one in ended] == [3, 3], ended[0].stderr + ended[1].stderr
    assert [one.stdout for one in ended] == ["failed alike\n"] * 2
