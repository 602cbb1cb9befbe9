"""Muon: momentum whose every matrix is made orthogonal before it is stepped along.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon), with their coefficients of the Newton-Schulz
iteration: all singular values of an update come out near 1, so that directions that gradients seldom point
in are learned as fast as the others. Only for matrices inside a network; what stands at its ends, biases and
gains are AdamW's. Not torch's own: that one cannot leave a step out without asking the device.

Letters: M matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at zero among those that stay within [0.7, 1.2]


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """The trained weights within repeated blocks that are matrices; of convolutions, filters are rows."""
    found = {
        id(weight): weight
        for blocks in module.modules()
        if isinstance(blocks, nn.ModuleList)
        for weight in blocks.parameters()
        if weight.ndim > 1 and weight.requires_grad
    }
    return list(found.values())


class Muon(torch.optim.AdamW):
    """Muon for `matrices` at `matrix_lr`, fused AdamW for `others` at `lr`; products of matrices in `dtype`.

    As torch's fused optimizers do, a step leaves all as it is where `found_inf` is 1.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        matrix_lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        # lr_ratio and dtype stand in the group, so that they come back with a checkpoint
        hidden = {"params": list(matrices), "lr_ratio": matrix_lr / lr, "dtype": dtype}
        groups = [{"params": list(others)}, {**hidden, "lr": matrix_lr}]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            fused=True,
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update all parameters that have a gradient."""
        found_inf: Tensor | None = getattr(self, "found_inf", None)
        if found_inf is not None and found_inf.is_cpu:
            if found_inf:
                return
            found_inf = None
        groups = self.param_groups
        self.param_groups = [group for group in groups if "lr_ratio" not in group]
        super().step(closure)
        self.param_groups = groups
        for group in groups:
            if "lr_ratio" in group:
                matrices = [weight for weight in group["params"] if weight.grad is not None]
                for _, alike in groupby(sorted(matrices, key=_shape), key=_shape):
                    self._step_matrices(list(alike), group, found_inf)

    def _step_matrices(self, matrices: list[Tensor], group: dict[str, Any], found_inf: Tensor | None) -> None:
        """Step along the orthogonal part of the Nesterov momentum of equally large matrices."""
        taken = 1.0 if found_inf is None else 1 - found_inf
        updates: list[Tensor] = []
        for weight in matrices:
            assert weight.grad is not None
            gradient = weight.grad if found_inf is None else torch.where(found_inf > 0, 0, weight.grad)
            state = self.state[weight]
            if not state:
                state["step"] = torch.zeros((), device=weight.device)  # AdamW's loading asks for it
                state["momentum"] = torch.zeros_like(weight)
            state["step"] += taken
            momentum = state["momentum"].lerp_(gradient, (1 - MOMENTUM) * taken)
            updates.append(torch.lerp(gradient, momentum, MOMENTUM).flatten(1).to(group["dtype"]))
        rows, columns = updates[0].shape
        orthogonal = orthogonalised(torch.stack(updates))
        orthogonal *= group["lr"] * max(1.0, rows / columns) ** 0.5 * taken
        for weight, update in zip(matrices, orthogonal, strict=True):
            if group["weight_decay"]:
                weight *= 1 - group["lr"] * group["weight_decay"] * taken
            weight -= update.view_as(weight)


def orthogonalised(matrices: Float[Tensor, "M R C"]) -> Float[Tensor, "M R C"]:
    """About U V^T of each matrix U S V^T: its singular values come out between 0.7 and 1.2."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    norm = torch.linalg.vector_norm(
        wide, dim=(1, 2), keepdim=True, dtype=torch.promote_types(wide.dtype, torch.float32)
    )
    x = wide / (norm.to(wide.dtype) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if wide is matrices else x.mT


def _shape(weight: Tensor) -> tuple[int, ...]:
    return tuple(weight.shape)
