"""What is aimed at, in one place: each number with a word on where it comes from.

Keys are those of findings, STAGE/WHAT. A ratio to a limit is of rates: 0.95 leaves a twentieth of the time to
everything that is not the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from facegen.bench.result import Finding, Verdict, Way, quartiles

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Target:
    """The least or the most that is good enough, and why it is that."""

    value: float
    better: Better
    why: str


TARGETS = {
    "load/gather": Target(
        0.80, "higher", "one index_select per tensor into kept buffers leaves a fifth to checks"
    ),
    "load/reopen": Target(46, "higher", "80 % of the gather, which was 58 times re-opening"),
    "load/first": Target(10, "lower", "mapping, not reading: nobody waits for the first batch"),
    "load/memory": Target(50, "lower", "pages of the files are the system's, not the process's"),
    "prepare/64": Target(0.95, "higher", "hashing and writing hide behind decoding on all cores"),
    "prepare/128": Target(0.95, "higher", "hashing and writing hide behind decoding on all cores"),
    "encode/kl": Target(0.97, "higher", "decoding, hashing and writing hide behind the encoder"),
    "encode/compact": Target(0.97, "higher", "decoding, hashing and writing hide behind the encoder"),
    "encode/serial": Target(4, "higher", "a fast encoder of 1024 x 1024 pixels waits for decoding alone"),
    "train/bare-64": Target(
        0.95, "higher", "optimizer, average and clipping move the weights' bytes a few times"
    ),
    "train/overhead-16": Target(
        2.3, "lower", "13 ms of 5.6 M parameters: AdamW and EMA at the memory's rate"
    ),
    "sample/ddpm": Target(50, "higher", "20 steps for 1,000 at the same guidance"),
    "sample/interval": Target(0.7, "lower", "guidance at 40 % of the levels: 28 calls for 40"),
    "eval/fidelity": Target(1.4, "higher", "norms folded into convolutions, channels last"),
    "eval/features": Target(1e-4, "lower", "the same features, in another order of additions"),
    "eval/frechet": Target(
        2.5, "higher", "Cholesky and eigvalsh against the eigenvalues of a product that is not symmetric"
    ),
    "eval/frechet-equal": Target(1e-6, "lower", "the same number, in float64"),
    "eval/interval": Target(
        3, "lower", "the expansion is one more product, eigenvectors and a projection of each set"
    ),
    "startup/help": Target(0.25, "lower", "a quarter of a second is felt as at once"),
    "startup/completion": Target(0.25, "lower", "a key was pressed and somebody waits"),
    "startup/command": Target(0.3, "lower", "a quarter of a second and the options of one command"),
    "startup/sample": Target(3, "lower", "import torch and the model, two thirds of it, and one face"),
}


def finding(
    key: str,
    name: str,
    values: Sequence[float],
    *,
    unit: str = "x",
    cpu_values: Sequence[float] | None = None,
    better: Better = "higher",
) -> Finding:
    """The number that `values` of the rounds come to, judged by the target of that key if there is one."""
    target = TARGETS.get(key)
    low, high = quartiles(values)
    value = median(values)
    by_cpu = median(cpu_values) if cpu_values else None
    if target is None:
        return Finding(key, name, unit, value, low, high, by_cpu, better=better)
    told = _verdict(target, value, low, high)
    return Finding(key, name, unit, value, low, high, by_cpu, target.value, target.better, target.why, told)


def _verdict(target: Target, value: float, low: float, high: float) -> Verdict:
    if target.better == "higher":
        return "met" if value >= target.value else "within the spread" if high >= target.value else "missed"
    return "met" if value <= target.value else "within the spread" if low <= target.value else "missed"


def rate_ratio(key: str, name: str, one: Way, other: Way) -> Finding:
    """How many times the rate of `other` the `one` has, by rounds that stood beside each other."""
    return finding(
        key,
        name,
        [b / a for a, b in zip(one.seconds, other.seconds, strict=True)],
        cpu_values=_shares(one.cpu_seconds, other.cpu_seconds),
    )


def cost_ratio(key: str, name: str, one: Way, other: Way) -> Finding:
    """How many times as long as `other` the `one` takes."""
    return finding(
        key,
        name,
        [a / b for a, b in zip(one.seconds, other.seconds, strict=True)],
        cpu_values=_shares(other.cpu_seconds, one.cpu_seconds),
        better="lower",
    )


def _shares(below: Sequence[float], above: Sequence[float]) -> list[float] | None:
    """`above` over `below`; None where the clock is too coarse to tell."""
    return [b / a for a, b in zip(below, above, strict=True)] if all(below) else None
