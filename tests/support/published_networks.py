"""Random weights in the layout of published networks, and the networks themselves in numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import erf
from torch import Tensor, nn

Weights = dict[str, Tensor]
DINO_GRID = 37  # patches a side of 518 pixels


def dinov2_weights(width: int, blocks: int, seed: int = 0) -> Weights:
    """A state dict as DINOv2's authors publish it."""
    draw = _drawing(seed)
    state = {
        "cls_token": draw(1, 1, width),
        "pos_embed": draw(1, 1 + DINO_GRID**2, width),
        "mask_token": draw(1, width),
        "patch_embed.proj.weight": draw(width, 3, 14, 14) / 24,
        "patch_embed.proj.bias": draw(width),
        **_norm("norm", width, draw),
    }
    for block in range(blocks):
        name = f"blocks.{block}"
        state |= _norm(f"{name}.norm1", width, draw) | _norm(f"{name}.norm2", width, draw)
        state |= _linear(f"{name}.attn.qkv", width, 3 * width, draw)
        state |= _linear(f"{name}.attn.proj", width, width, draw)
        state |= _linear(f"{name}.mlp.fc1", width, 4 * width, draw)
        state |= _linear(f"{name}.mlp.fc2", 4 * width, width, draw)
        state |= {f"{name}.ls1.gamma": draw(width) / 5, f"{name}.ls2.gamma": draw(width) / 5}
    return state


def dinov2_in_numpy(state: Weights, pixels: np.ndarray) -> np.ndarray:
    """Class tokens (B, D) of normalised pixels (B, 3, 224, 224), by the authors' formulas."""
    w = {name: value.double().numpy() for name, value in state.items()}
    x = _tokens(w["patch_embed.proj.weight"], pixels) + w["patch_embed.proj.bias"]
    patches = torch.from_numpy(w["pos_embed"][:, 1:].reshape(1, DINO_GRID, DINO_GRID, -1)).permute(0, 3, 1, 2)
    places = nn.functional.interpolate(patches.float(), scale_factor=16.1 / DINO_GRID, mode="bicubic")
    places = places.double().flatten(2).transpose(1, 2).numpy()
    first = np.repeat(w["cls_token"] + w["pos_embed"][:, :1], len(x), 0)
    x = np.concatenate([first, x + places], 1)
    for block in range(sum(name.endswith("ls1.gamma") for name in w)):
        name = f"blocks.{block}"
        y = _normed(x, w, f"{name}.norm1", 1e-6)
        qkv = y @ w[f"{name}.attn.qkv.weight"].T + w[f"{name}.attn.qkv.bias"]
        y = _attended(qkv) @ w[f"{name}.attn.proj.weight"].T + w[f"{name}.attn.proj.bias"]
        x = x + w[f"{name}.ls1.gamma"] * y
        y = _normed(x, w, f"{name}.norm2", 1e-6) @ w[f"{name}.mlp.fc1.weight"].T + w[f"{name}.mlp.fc1.bias"]
        y = y * (1 + erf(y / 2**0.5)) / 2
        x = x + w[f"{name}.ls2.gamma"] * (y @ w[f"{name}.mlp.fc2.weight"].T + w[f"{name}.mlp.fc2.bias"])
    return _normed(x, w, "norm", 1e-6)[:, 0]


def clip_weights(width: int, blocks: int, grid: int, dims: int, seed: int = 0) -> Weights:
    """The visual half of a CLIP's state dict, and the little of the other that its readers look for."""
    draw = _drawing(seed)
    state = {
        "text_projection": draw(8, dims),
        "visual.class_embedding": draw(width),
        "visual.positional_embedding": draw(1 + grid**2, width),
        "visual.proj": draw(width, dims) / width**0.5,
        "visual.conv1.weight": draw(width, 3, 14, 14) / 24,
        **_norm("visual.ln_pre", width, draw),
        **_norm("visual.ln_post", width, draw),
    }
    for block in range(blocks):
        name = f"visual.transformer.resblocks.{block}"
        state |= _norm(f"{name}.ln_1", width, draw) | _norm(f"{name}.ln_2", width, draw)
        joined = _linear("in", width, 3 * width, draw)
        state |= {
            f"{name}.attn.in_proj_weight": joined["in.weight"],
            f"{name}.attn.in_proj_bias": joined["in.bias"],
        }
        state |= _linear(f"{name}.attn.out_proj", width, width, draw)
        state |= _linear(f"{name}.mlp.c_fc", width, 4 * width, draw)
        state |= _linear(f"{name}.mlp.c_proj", 4 * width, width, draw)
    return {name: value.half().float() for name, value in state.items()}  # as published


def clip_in_numpy(state: Weights, pixels: np.ndarray) -> np.ndarray:
    """Unit embeddings (B, E) of normalised pixels (B, 3, H, H), by the authors' formulas."""
    w = {name.removeprefix("visual."): value.double().numpy() for name, value in state.items()}
    x = _tokens(w["conv1.weight"], pixels)
    first = np.broadcast_to(w["class_embedding"], (len(x), 1, x.shape[2]))
    x = _normed(np.concatenate([first, x], 1) + w["positional_embedding"], w, "ln_pre", 1e-5)
    for block in range(sum(name.endswith("in_proj_bias") for name in w)):
        name = f"transformer.resblocks.{block}"
        y = _normed(x, w, f"{name}.ln_1", 1e-5)
        qkv = y @ w[f"{name}.attn.in_proj_weight"].T + w[f"{name}.attn.in_proj_bias"]
        x = x + _attended(qkv) @ w[f"{name}.attn.out_proj.weight"].T + w[f"{name}.attn.out_proj.bias"]
        y = _normed(x, w, f"{name}.ln_2", 1e-5) @ w[f"{name}.mlp.c_fc.weight"].T + w[f"{name}.mlp.c_fc.bias"]
        y = y / (1 + np.exp(-1.702 * y))
        x = x + y @ w[f"{name}.mlp.c_proj.weight"].T + w[f"{name}.mlp.c_proj.bias"]
    features = _normed(x[:, 0], w, "ln_post", 1e-5) @ w["proj"]
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def save_scripted(state: Weights, path: Path) -> Path:
    """A TorchScript archive with this state dict, as CLIP is published."""
    root = nn.Module()
    for name, value in state.items():
        *folders, leaf = name.split(".")
        at = root
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, nn.Module())
            at = getattr(at, folder)
        at.register_parameter(leaf, nn.Parameter(value))
    torch.jit.script(root).save(str(path))
    return path


def _drawing(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def _norm(name: str, width: int, draw: Callable[..., Tensor]) -> Weights:
    return {f"{name}.weight": 1 + 0.1 * draw(width), f"{name}.bias": 0.1 * draw(width)}


def _linear(name: str, width: int, out: int, draw: Callable[..., Tensor]) -> Weights:
    return {f"{name}.weight": draw(out, width) / width**0.5, f"{name}.bias": 0.1 * draw(out)}


def _tokens(kernel: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Patches of 14 pixels by a convolution's `kernel` (D, 3, 14, 14), (B, P, D)."""
    batch, _, side, _ = pixels.shape
    cut = pixels.reshape(batch, 3, side // 14, 14, side // 14, 14).transpose(0, 2, 4, 1, 3, 5)
    return cut.reshape(batch, -1, 3 * 14 * 14) @ kernel.reshape(len(kernel), -1).T


def _normed(x: np.ndarray, w: dict[str, np.ndarray], name: str, epsilon: float) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _attended(qkv: np.ndarray) -> np.ndarray:
    """Attention with heads of 64 over queries, keys and values side by side (B, P, 3 D)."""
    batch, count, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.reshape(batch, count, 3, width // 64, 64).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) / 8
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return (shares @ v).transpose(0, 2, 1, 3).reshape(batch, count, width)
