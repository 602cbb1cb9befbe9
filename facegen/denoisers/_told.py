"""What denoisers are told, read as they were built for it.

Letters: B batch, L condition tokens, D features, E embedding.
"""

from __future__ import annotations

from torch import Tensor, nn

from facegen.types import Conditioning


def vector_of(conditioning: Conditioning) -> Tensor:
    """The condition vector (B, D).

    Raises:
        ValueError: there is none.
    """
    if conditioning.vector is None:
        raise ValueError("this denoiser was built for a conditioning vector, and got none")
    return conditioning.vector


def tokens_of(conditioning: Conditioning) -> Tensor:
    """The condition tokens (B, L, D).

    Raises:
        ValueError: there are none.
    """
    if conditioning.tokens is None:
        raise ValueError("this denoiser was built for condition tokens, and got none")
    return conditioning.tokens


def time_and_vector(
    time: nn.Module, vector_in: nn.Module | None, timestep: Tensor, conditioning: Conditioning
) -> Tensor:
    """The embedded timestep (B, E), and added to it the embedded vector where the denoiser takes one."""
    embedding = time(timestep)
    return embedding if vector_in is None else embedding + vector_in(vector_of(conditioning))
