"""Dropout whose zeros belong to samples: neither the batch nor the number of processes changes them."""

from __future__ import annotations

from torch import Tensor, nn

from facegen.draws import uniform


class SampleDropout(nn.Module):
    """`nn.Dropout` of a batch whose samples have the `keys` (B,) int64; without keys nothing is dropped.

    Rows (B k, ...) are k of each sample after one another.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.keys: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.keys is None or not self.training:
            return x
        rows = x.reshape(len(self.keys), -1)
        kept = uniform(self.keys, rows.shape[1]) >= self.p
        return (rows * kept / (1 - self.p)).view_as(x)


def with_sample_dropout(module: nn.Module) -> list[SampleDropout]:
    """Put a `SampleDropout` in place of every `nn.Dropout` of `module` that drops; return them in order."""
    found: list[SampleDropout] = []
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout and child.p > 0:
                found.append(SampleDropout(child.p))
                setattr(parent, name, found[-1])
    return found
