"""Classes in a latent space: a learned centre for each, and a linear classifier.

Letters: B batch, D latent entries, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from facegen.shapes import Vectors


class ClassHead(nn.Module):
    """`centres` (K, D) and a linear classifier on latents."""

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(num_classes, dim))
        self.classifier = nn.Linear(dim, num_classes)

    def forward(self, latents: Vectors) -> Float[Tensor, "B K"]:
        return self.classifier(latents)

    def losses(
        self, latents: Vectors, classes: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Cross-entropy and mean squared distance to the own centre (Wen et al. 2016).

        `classes` are class numbers; K, an unknown class, gives 0 in both.
        """
        known = classes < len(self.centres)
        numbers = classes.clamp(max=len(self.centres) - 1)
        entropy = F.cross_entropy(self(latents).float(), numbers, reduction="none")
        distance = (latents.float() - self.centres[numbers]).square().mean(1)
        return entropy * known, distance * known
