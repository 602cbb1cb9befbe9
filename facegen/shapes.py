"""Names of shapes; the tests check them at every call of what computes with them, use does not.

Letters: B batch, S the sample's own axes, such as (C, H, W) or (D,), C channels, H/W rows and columns,
T tokens, D features.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

States = Float[Tensor, "B *S"]
"""Samples, noise, states between them, and a network's outputs."""

Times = Float[Tensor, " B"]
"""A number for each of a batch: its timestep, alpha, sigma or weight."""

Columns = Float[Tensor, "B ..."]
"""The same, shaped (B, 1, ...) to be multiplied with states."""

Maps = Float[Tensor, "B C H W"]
"""Images, latents, or a layer's features of them."""

Images = Float[Tensor, "B 3 H W"]
"""Images in colour, in [-1, 1]."""

Pixels = UInt8[Tensor, "B 3 H W"]
"""The same as they are stored, in bytes."""

Vectors = Float[Tensor, "B D"]
"""Features of each of a batch, such as the embedding of its timestep."""

Tokens = Float[Tensor, "B T D"]
"""Features of a row of tokens."""

Visible = Bool[Tensor, "B T"]
"""Which of the tokens are there."""
