"""Random numbers that belong to samples: each a function of (seed, sample) alone.

A counter-based generator: number `i` of a sample is a hash of its key and `i`, so that a batch may be cut,
spread over processes or drawn on another device, and every sample still gets the numbers it would have got
alone. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators", OOPSLA), of `i` and then of that and the key: steps of a sample's own instead, which SplitMix64
takes for streams, left one pair of samples in a million visibly correlated.

Letters: B samples, *S shape of what a sample gets, n how many numbers those are.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from sys import byteorder

import numpy as np
import torch
from torch import Tensor

from facegen.placing import placed

Device = torch.device | str


def _signed(value: int) -> int:
    """The int64 with the bits of a uint64, which torch calculates with: products wrap around."""
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN = _signed(0x9E3779B97F4A7C15)
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


class Draws:
    """The numbers of a batch of samples; every call gives the next ones of each of them.

    `samples` (B,) int64 on the CPU name the samples: their places in the endless stream of examples, say.
    """

    def __init__(self, seed: int, samples: Tensor, device: Device = "cpu") -> None:
        self.device = torch.device(device)
        digest = blake2b(f"batch/{seed}".encode(), digest_size=8).digest()
        keys = _mixed((samples + 1) * GOLDEN + _signed(int.from_bytes(digest, "big")))
        self._keys = {keys.device: keys}
        self._calls = 0

    def uniform(self, *shape: int, device: Device | None = None) -> Tensor:
        """Numbers (B, *S) float32, uniform in [0, 1); the same to the last bit on any device."""
        return uniform(self.keys(device), *shape)

    def normal(self, *shape: int, device: Device | None = None) -> Tensor:
        """Standard normal numbers (B, *S) float32; on another device the same but for rounding."""
        count = math.prod(shape)
        words = _words(self.keys(device), (count + 1) // 2)
        # Box and Muller 1958: two words of 32 bits, two normal numbers
        radius = _above_zero(words, high=True).log_().mul_(-2).sqrt_()
        angle = _above_zero(words, high=False).mul_(2 * math.pi)
        pairs = torch.cat([radius * angle.cos(), radius.mul_(angle.sin_())], dim=1)  # (B, n or n + 1)
        return pairs[:, :count].reshape(-1, *shape)

    def keys(self, device: Device | None = None) -> Tensor:
        """Keys (B,) int64 of the next call's numbers, for `uniform` where it is not yet known how many."""
        self._calls += 1
        call = _signed(self._calls * 0xD6E8FEB86659FD93 % (1 << 64))
        where = self.device if device is None else torch.device(device)
        if where not in self._keys:
            self._keys[where] = placed(self._keys[torch.device("cpu")], where)
        return _mixed(self._keys[where] ^ call)


def uniform(keys: Tensor, *shape: int) -> Tensor:
    """Numbers (B, *S) float32, uniform in [0, 1), of `keys` (B,)."""
    words = _words(keys, math.prod(shape))
    return ((words >> 40) & 0xFFFFFF).float().mul_(2.0**-24).view(-1, *shape)


def _words(keys: Tensor, count: int) -> Tensor:
    """Words (B, count) int64 of `keys` (B,), 64 random bits each."""
    places = _mixed(torch.arange(1, count + 1, device=keys.device) * GOLDEN)
    return _mixed(places ^ keys[:, None])


def _mixed(words: Tensor) -> Tensor:
    """The finaliser of SplitMix64."""
    if words.device.type == "cpu":
        return _mixed_here(words)
    # torch shifts the sign in, so the bits that come in are masked away
    words = (words ^ ((words >> 30) & 0x3FFFFFFFF)) * FIRST
    words = (words ^ ((words >> 27) & 0x1FFFFFFFFF)) * SECOND
    return words ^ ((words >> 31) & 0x1FFFFFFFF)


def _mixed_here(words: Tensor) -> Tensor:
    """`_mixed` on the CPU, where numpy's unsigned numbers take half the time."""
    mixed: np.ndarray = words.numpy().view(np.uint64).copy()
    shifted = np.empty_like(mixed)
    for bits, factor in ((30, FIRST), (27, SECOND), (31, None)):
        np.right_shift(mixed, np.uint64(bits), out=shifted)
        mixed ^= shifted
        if factor is not None:
            mixed *= np.uint64(factor % (1 << 64))
    return torch.from_numpy(mixed.view(np.int64))  # pyright: ignore[reportUnknownMemberType]


def _above_zero(words: Tensor, *, high: bool) -> Tensor:
    """Float32 in (0, 1] of the high or low 32 bits, finest near 0, where a logarithm is taken of them."""
    if words.device.type == "cpu":
        halves: np.ndarray = words.numpy().view(np.uint32)[..., int(high == (byteorder == "little")) :: 2]
        bits = torch.from_numpy(halves.astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    else:
        bits = ((words >> 32 if high else words) & 0xFFFFFFFF).float()
    return bits.add_(0.5).mul_(2.0**-32)
