"""A module cut into units, the blocks of an architecture diagram: every parameter is in exactly one.

Modules that only hold others are opened; a block is a unit; what is left over, single layers and bare
parameters, are units too. Blocks of facegen and diffusers have names of their own, an unknown module with
children is a block called after its class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from facegen.plotting.architecture.diagram import Role

# Opened wherever they stand: they stand for a place in the network, not for a piece of it.
OPENED = {
    "Sequential", "ModuleList", "ModuleDict", "Stage", "VectorEncoder", "VectorDecoder", "Discriminator",
    "DiffusersKl", "DiffusersTiny", "AutoencoderKL", "AutoencoderTiny", "Encoder", "Decoder", "EncoderTiny",
    "DecoderTiny", "UNet2DConditionModel", "CrossAttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D",
    "CrossAttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D",
    "DownEncoderBlock2D", "UpDecoderBlock2D", "ClassHead", "MultiLabelResNet",
}  # fmt: skip
OPENED_INSIDE = {"ModuleList", "Sequential", "BasicTransformerBlock"}  # when the parts of a block are told
BLOCKS: dict[str, tuple[str, Role]] = {
    "ResidualBlock": ("residual block", "convolution"),
    "TimeResidualBlock": ("residual block", "convolution"),
    "ResnetBlock2D": ("residual block", "convolution"),
    "AutoencoderTinyBlock": ("residual block", "convolution"),
    "ResidualDown": ("residual block, halving", "convolution"),
    "ResidualUp": ("residual block, doubling", "convolution"),
    "Downsample": ("downsampling", "resampling"),
    "Downsample2D": ("downsampling", "resampling"),
    "Upsample": ("upsampling", "resampling"),
    "Upsample2D": ("upsampling", "resampling"),
    "Attention": ("self-attention", "attention"),
    "Transformer2DModel": ("transformer block", "attention"),
    "TransformerBlock": ("DiT block", "attention"),
    "Block": ("MLP block", "linear"),
    "TimestepEmbedding": ("time embedding", "embedding"),
}
TAKES = {
    "ResidualBlock": "scale and shift of the second norm",
    "TimeResidualBlock": "added after the second norm",
    "ResnetBlock2D": "added before the second norm",
    "TransformerBlock": "adaptive norms (scale, shift, gate)",
    "Block": "adaptive norm (scale, shift, gate)",
    "Linear": "scale and shift of the last norm",
}
RESHAPERS = {"PixelUnshuffle": "patches to channels", "PixelShuffle": "channels to patches"}
LAYERS: tuple[tuple[type[nn.Module], str, Role], ...] = (
    (nn.ConvTranspose2d, "transposed convolution", "convolution"),
    (nn.Conv2d, "convolution", "convolution"),
    (nn.Linear, "linear", "linear"),
    (nn.Embedding, "embedding table", "embedding"),
    (nn.GroupNorm, "group norm", "other"),
    (nn.LayerNorm, "layer norm", "other"),
    (nn.RMSNorm, "RMS norm", "other"),
)
NAMES = {
    "vector_in": "condition vector",
    "tokens_in": "condition tokens",
    "tokens_norm": "condition tokens",
    "augmentation": "augmentation vector",
    "patch_in": "patch embedding",
    "patch_out": "patches from tokens",
    "sample_in": "input",
    "sample_out": "output",
    "conv_in": "input",
    "conv_out": "output",
    "modulation": "modulation of all blocks",
    "modulation_out": "modulation of the output",
    "stem": "stem",
    "out": "output",
    "inc": "input",
    "embed": "features",
    "head": "head",
    "to_vector": "vector",
    "project": "vector",
    "classifier": "class logits",
    "vector_mlp": "vector",
    "proj_in": "input",
    "proj_out": "output",
    "quant_conv": "moments",
    "post_quant_conv": "from latent",
}
PARAMETERS: dict[str, tuple[str, Role]] = {
    "null": ("learned vector of no condition", "conditioning"),
    "embedding": ("learned embeddings", "conditioning"),
    "centres": ("class centres", "embedding"),
    "table": ("modulation table", "conditioning"),
}


PART_NAMES = {
    "attn1": "self-attention",
    "attn2": "cross-attention",
    "attention": "self-attention",
    "cross_attention": "cross-attention",
    "ff": "feed-forward",
    "mlp": "MLP",
    "conv_in": "convolution in",
    "conv_out": "convolution out",
    "conv1": "convolution in",
    "conv2": "convolution out",
    "norm_in": "norm in",
    "norm_out": "norm out",
    "norm1": "norm 1",
    "norm2": "norm 2",
    "norm3": "norm 3",
    "time_emb_proj": "time",
    "conv_shortcut": "skip",
    "proj_in": "projection in",
    "proj_out": "projection out",
    "group_norm": "norm",
}


@dataclass(frozen=True)
class UnitPart:
    """A piece of a unit: a module or a bare parameter, by its path."""

    path: str
    name: str
    parameters: int


@dataclass(frozen=True)
class Unit:
    """A block, layer or bare parameter by its path; its `parts` have all of its parameters.

    `place` is what the layer is there for ("output"), where its name in the module says so. `takes_vector`
    and `takes_tokens` say how a condition enters.
    """

    path: str
    kind: str
    role: Role
    parameters: int
    parts: tuple[UnitPart, ...] = ()
    place: str = ""
    is_layer: bool = False
    takes_vector: str = "scale and shift"
    takes_tokens: str = "cross-attention"

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]


def units_of(root: nn.Module) -> list[Unit]:
    """The units of `root` in the order of the module tree; a shared parameter is the first one's."""
    counted: set[int] = set()
    units = _opened("", root, counted) if list(root.children()) else [_unit("", root, counted)]
    return [unit for unit in units if unit.parameters or unit.kind in RESHAPERS.values()]


def _opened(path: str, module: nn.Module, counted: set[int]) -> Iterator[Unit]:
    for name, parameter in module.named_parameters(recurse=False):
        where = _joined(path, name)
        words, role = PARAMETERS.get(name, (name.replace("_", " "), "conditioning"))
        part = UnitPart(where, words, _count([parameter], counted))
        yield Unit(where, words, role, part.parameters, (part,))
    for name, child in module.named_children():
        where = _joined(path, name)
        is_layer = isinstance(child, tuple(layer for layer, _, _ in LAYERS))
        is_whole_network = path == "" and isinstance(module, nn.ModuleDict) and not is_layer
        if is_whole_network or type(child).__name__ in OPENED:
            yield from _opened(where, child, counted)
        else:
            yield _unit(where, child, counted)


def _unit(path: str, module: nn.Module, counted: set[int]) -> Unit:
    parts = tuple(_parts(path, module, counted))
    kind, role, is_layer = _told(module)
    place = NAMES.get(path.rpartition(".")[2], "") if is_layer else ""
    number = sum(part.parameters for part in parts)
    name = type(module).__name__
    in_context = name == "TransformerBlock" and getattr(module, "cross_attention", None) is None
    return Unit(
        path,
        kind,
        role,
        number,
        parts,
        place,
        is_layer,
        takes_vector=TAKES.get(name, "scale and shift"),
        takes_tokens="tokens in context" if in_context else "cross-attention",
    )


def _told(module: nn.Module) -> tuple[str, Role, bool]:
    """What a module is called, its role, and whether it is a single layer."""
    name = type(module).__name__
    if name in RESHAPERS:
        return RESHAPERS[name], "resampling", True
    if type(module).__module__.partition(".")[0] in ("facegen", "diffusers"):
        if name == "SpatialAttention":
            return _attention_words(module), "attention", False
        if name in BLOCKS:
            words, role = BLOCKS[name]
            return words + _heads(module), role, False
    for layer, words, role in LAYERS:
        if isinstance(module, layer):
            size = getattr(module, "kernel_size", None)
            return words if size is None else f"{words} {size[0]} × {size[1]}", role, True
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return words, "attention" if "ttention" in name else "other", not list(module.children())


def _attention_words(module: nn.Module) -> str:
    to_itself = getattr(module, "attention", None) is not None
    to_tokens = getattr(module, "cross_attention", None) is not None
    words = "self- and cross-attention" if to_itself and to_tokens else "self-attention"
    return (words if to_itself else "cross-attention") + _heads(module)


def _heads(module: nn.Module) -> str:
    numbers = (getattr(part, "num_heads", getattr(part, "heads", None)) for part in module.modules())
    heads = next((number for number in numbers if isinstance(number, int)), None)
    return "" if heads is None else f", {heads} heads"


def _parts(path: str, module: nn.Module, counted: set[int]) -> Iterator[UnitPart]:
    if not list(module.children()):
        yield UnitPart(path, _told(module)[0], _count(list(module.parameters()), counted))
        return
    for name, parameter in module.named_parameters(recurse=False):
        words = PARAMETERS[name][0] if name in PARAMETERS else name.replace("_", " ")
        yield UnitPart(_joined(path, name), words, _count([parameter], counted))
    for name, child in module.named_children():
        where = _joined(path, name)
        if type(child).__name__ in OPENED_INSIDE:
            yield from _parts(where, child, counted)
        elif next(child.parameters(), None) is not None:
            words = _told(child)[0] if name.isdigit() else PART_NAMES.get(name, name.replace("_", " "))
            yield UnitPart(where, words, _count(list(child.parameters()), counted))


def _count(parameters: list[nn.Parameter], counted: set[int]) -> int:
    """How many numbers are in those that were not counted before."""
    new = {id(parameter): parameter for parameter in parameters if id(parameter) not in counted}
    counted.update(new)
    return sum(parameter.numel() for parameter in new.values())


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
