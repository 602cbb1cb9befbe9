"""What more would bring is said of the losses, and nothing is promised that they do not show."""

from __future__ import annotations

import pytest

from facegen.making.outlook import Outlook, told


def test_gain_and_gap_are_shares_of_losses() -> None:
    outlook = Outlook(held_out=0.9, at_half=1.0, trained_on=0.81)
    assert outlook.gained == pytest.approx(0.1)
    assert outlook.gap == pytest.approx(0.1)
    assert Outlook(held_out=0.9, at_half=None, trained_on=0.95).gap == 0


@pytest.mark.parametrize(
    ("outlook", "said", "not_said"),
    [
        (Outlook(0.9, 1.0, 0.89), ["by 10.0%", "(60)", "about 1%"], ["hardly be seen", "by heart"]),
        (Outlook(0.9, 0.905, 0.7), ["hardly be seen", "about 22%", "learn its faces by heart"], []),
        (Outlook(0.9, None, 0.91), ["more faces would not help yet"], ["Twice the minutes", "by heart"]),
    ],
)
def test_what_is_said_follows_the_losses(outlook: Outlook, said: list[str], not_said: list[str]) -> None:
    text = " ".join(told(outlook, 30))
    assert all(words in text for words in said)
    assert not any(words in text for words in not_said)
