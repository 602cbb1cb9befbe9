"""Weights that other programs trained, for a run to begin with.

Folders of diffusers (a network, an autoencoder, or a pipeline with them) are opened by diffusers from
safetensors alone; checkpoints of denoising-diffusion-pytorch (`model-10.pt`) are read without running what
they hold. Where a network here is the same, it computes the same with these weights, but for `settings`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import FAMILY_OF_SECTION, Recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import Weights
from facegen.formats.checkpoint_head import INFO_FILE
from facegen.formats.far import near
from facegen.formats.files import sha256_of
from facegen.formats.history import flat
from facegen.formats.run import RECIPE_FILE
from facegen.models.published_pipeline import PREDICTS, open_network, read_settings
from facegen.models.published_weights import read_torch
from facegen.training.foreign_names import EMBEDS, from_ddpm_pytorch, from_dit, like_ddpm_pytorch
from facegen.training.warm_start import Origin

PARTS = ("unet", "transformer", "vae", "vqvae")  # of a pipeline: a denoiser's, then an autoencoder's
KINDS = {
    "UNet2DModel": "denoiser.unet2d",
    "UNet2DConditionModel": "denoiser.unet2d_condition",
    "DiTTransformer2DModel": "denoiser.dit",
    "Transformer2DModel": "denoiser.dit",  # its name when DiT was published
    "AutoencoderKL": "autoencoder.kl",
    "AutoencoderTiny": "autoencoder.tiny",
}  # diffusers' class -> section of a recipe, and kind
PRESETS = {
    "unet": "peer-ddpm-pytorch",
    "unet2d": "peer-diffusers-unconditional",
    "unet2d_condition": "text-ldm",
}
AVERAGED, PLAIN = ("ema", "ema_model.model."), ("model", "model.")  # where networks lie in a checkpoint
DDPM_PYTORCH = "denoising-diffusion-pytorch"
OTHER_NETWORK = f"facegen's U-Net is another one than that of {DDPM_PYTORCH}, and begins with filters of it"
SHAPES_TELL = {
    *("sample_size", "in_channels", "out_channels", "cross_attention_dim", "class_embed_type"),
    *("num_class_embeds", "down_block_types", "up_block_types", "attention_head_dim", "num_attention_heads"),
}  # settings of diffusers that the table tells of, or that the recipe has under another name
NOT_OF_TRAINING = {"scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast", "dropout"}
WEIGHTS = ("*.safetensors", "*.bin", "*.ckpt", "*.pt", "*.pth")
CONVERT = (
    "Needed is a folder with config.json and diffusion_pytorch_model.safetensors, as save_pretrained of "
    "diffusers writes it; other formats can hold code."
)


def open_foreign(source: Path, weights: Weights, recipe: Recipe) -> Origin | None:
    """The foreign weights at `source` for the network of `recipe`; None where they may be facegen's own.

    Raises:
        UsageError: they are of another kind of network than the recipe's, or of none that facegen has.
        DataError: damaged, not whole, or in a file that can hold code.
    """
    path = near(source).expanduser()
    if path.is_file():
        return _checkpoint_of_ddpm_pytorch(path, source, weights, recipe)
    ours = (INFO_FILE, RECIPE_FILE, "checkpoints")
    if not path.is_dir() or any((path / name).exists() for name in ours):
        return None
    parts = PARTS if recipe.denoiser is not None else reversed(PARTS)
    part = next((path / name for name in parts if (path / name).is_dir()), path)
    if (part / "config.json").is_file():
        return _folder_of_diffusers(part, path, source, weights, recipe)
    if part == path and not any(file for kind in WEIGHTS for file in path.rglob(kind)):
        return None
    raise DataError(f"--from '{source}': there is no config.json in '{part}'.", hint=CONVERT)


def _folder_of_diffusers(part: Path, path: Path, source: Path, weights: Weights, recipe: Recipe) -> Origin:
    name = str(read_settings(part / "config.json").get("_class_name"))
    section, _, kind = KINDS.get(name, "").partition(".")
    if not kind or (section == "denoiser") != (recipe.denoiser is not None):
        raise UsageError(
            f"--from '{source}' holds a {name}, and with that no recipe for the task '{recipe.task['kind']}' "
            "can begin.",
            hint=f"A generator can with: {_named('denoiser')}; an autoencoder with: {_named('autoencoder')}.",
        )
    model: Any = open_network(part) if section == "denoiser" else load_autoencoder(part).module.model
    wanted = _wanted(section, kind, model.config, source)
    if section == "denoiser":
        scheduler = path / "scheduler" if (path / "scheduler").is_dir() else path
        wanted |= _prediction(scheduler / "scheduler_config.json")
    other, remedy = _compared(wanted, recipe, f"{name} of diffusers", source, section)
    digests = [sha256_of(file) for file in sorted(part.glob("*.safetensors"))]
    state: dict[str, Tensor] = model.state_dict()
    tensors, settings = partial(_wrapped, state, name), partial(_unlike, model, other)
    if kind == "dit":
        tensors, settings = partial(from_dit, state), partial(_unlike_dit, state, other)
    return Origin(
        told=f"{name} of diffusers",
        remedy=remedy,
        sha256=sha256_of("".join(digests).encode()),
        step=None,
        weights=weights,
        tensors=tensors,
        settings=settings,
    )


def _checkpoint_of_ddpm_pytorch(file: Path, source: Path, weights: Weights, recipe: Recipe) -> Origin:
    content = read_torch(file)
    key, prefix = AVERAGED if weights == "ema" else PLAIN
    held = content.get(key) if isinstance(content, Mapping) else None
    state = {
        name.removeprefix(prefix): value
        for name, value in (held if isinstance(held, Mapping) else {}).items()
        if isinstance(value, Tensor) and value.ndim and str(name).startswith(prefix)
    }
    if not len(state.get("init_conv.weight", ())):
        raise DataError(
            f"--from '{source}' is no checkpoint of {DDPM_PYTORCH}: '{key}' has no {prefix}init_conv.weight.",
            hint=f"Or of diffusers? {CONVERT}",
        )
    wanted, step = flat({"denoiser": like_ddpm_pytorch(state)}), content.get("step")
    other, remedy = _compared(wanted, recipe, f"U-Net of {DDPM_PYTORCH}", source, "denoiser")
    return Origin(
        told=f"{DDPM_PYTORCH}, {weights}, step {step}",
        remedy=remedy,
        sha256=sha256_of(file),
        step=step if isinstance(step, int) else None,
        weights=weights,
        tensors=lambda _: from_ddpm_pytorch(state),
        settings=lambda _: {"denoiser": OTHER_NETWORK, **other},
    )


def _named(section: str) -> str:
    return ", ".join(name for name, kind in KINDS.items() if kind.startswith(section))


def _wanted(section: str, kind: str, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Keys of a recipe that give the network of diffusers' `settings`, with their values."""
    module: Any = load_kind(FAMILY_OF_SECTION[section], kind)
    same = {name: settings[name] for name in module.Config.model_fields if name in settings}
    try:
        told = {"kind": kind, **same, **(module.like(settings) if hasattr(module, "like") else {})}
        config = kind_config(FAMILY_OF_SECTION[section], told)
    except UsageError as error:
        raise UsageError(f"--from '{source}' holds a network that '{kind}' cannot be: {error}") from error
    wanted = flat({section: {name: config.model_dump(mode="json")[name] for name in told}})
    if kind == "dit":
        wanted |= {"conditioner.kind": "class_label", "conditioner.dim": wanted["denoiser.width"]}
    return wanted


def _prediction(scheduler: Path) -> dict[str, Any]:
    """What a pipeline's network was trained to predict, where its scheduler says so."""
    if not scheduler.is_file():
        return {}
    predicts = PREDICTS.get(read_settings(scheduler).get("prediction_type", "epsilon"))
    return {} if predicts is None else {"diffusion.parameterisation": predicts}


def _compared(
    wanted: Mapping[str, Any], recipe: Recipe, what: str, source: Path, section: str
) -> tuple[dict[str, str], str]:
    """What the recipe has otherwise than `wanted`, and how it is mended.

    Raises:
        UsageError: it has another kind of network.
    """
    here = flat(recipe.model_dump(mode="json"))
    kind, mine = wanted[f"{section}.kind"], here.get(f"{section}.kind")
    if kind != mine:  # whose section starts anew
        here = {key: value for key, value in here.items() if not key.startswith(section)}
    other = {key: value for key, value in wanted.items() if here.get(key) != value}
    words = " ".join(f"--set {shlex.quote(f'{key}={_text(value)}')}" for key, value in other.items())
    remedy = f"It fits with: {words}" if words else "No option of the recipe changes that."
    if kind != mine:
        preset = f"\nFor example of --preset {PRESETS[kind]}." if kind in PRESETS else ""
        raise UsageError(
            f"--from '{source}' holds a {what}, which is {section} '{kind}', and this recipe has '{mine}'.",
            hint=remedy + preset,
        )
    told = {key: f"{_text(value)} there, {_text(here.get(key))} here" for key, value in other.items()}
    return told, remedy


def _wrapped(state: Mapping[str, Tensor], name: str, module: nn.Module) -> dict[str, Tensor]:
    """Names of a network as of the one of the same class in `module`."""
    prefix = _place(name, module)
    return {f"{prefix}.{key}": value for key, value in state.items()}


def _unlike(model: Any, other: Mapping[str, str], module: nn.Module) -> dict[str, str]:
    """Beside what the recipe has otherwise, settings that no key of a recipe tells."""
    here: Any = module.get_submodule(_place(type(model).__name__, module))
    told = {key.rpartition(".")[2] for key in other} | SHAPES_TELL | NOT_OF_TRAINING
    unlike = {
        key: f"{value} there, {here.config[key]} here"
        for key, value in model.config.items()
        if key[0] != "_" and key not in told and key in here.config and not _is_same(value, here.config[key])
    }
    return {**other, **unlike}


def _unlike_dit(state: Mapping[str, Tensor], other: Mapping[str, str], module: nn.Module) -> dict[str, str]:
    """Beside what the recipe has otherwise, blocks of diffusers' DiT that no longer embed alike."""
    apart = any(".norm1.emb." in name for name in from_dit(state, module) if not name.startswith(EMBEDS))
    return (
        {**other, "transformer_blocks": "each embeds time and class there, all alike here"}
        if apart
        else {**other}
    )


def _place(name: str, module: nn.Module) -> str:
    return next(place for place, part in module.named_modules() if type(part).__name__ == name)


def _is_same(a: Any, b: Any) -> bool:
    return json.dumps(a) == json.dumps(b)  # of which either may have lists where the other has tuples


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
