"""Pipelines of diffusers, published or saved by one's own script, as generators.

A folder with `model_index.json` is read by its parts, not by its pipeline's name:

    unet, transformer          UNet2DModel (unconditional), UNet2DConditionModel (text), DiTTransformer2DModel
                               (class)
    vae, vqvae                 AutoencoderKL, AutoencoderTiny, VQModel; without one it is a model of pixels
    text_encoder, tokenizer    what a text U-Net's captions went through
    scheduler                  betas, what the network predicts, clipping, and how it is usually sampled

Older ones have network and scheduler in the folder itself. Weights come from safetensors alone, and no code
of the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.autoencoders import load_autoencoder
from facegen.compat import guard_torchvision
from facegen.conditioners import class_label, none, text
from facegen.config.kinds import kind_config
from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import Objective
from facegen.diffusion.paths import VariancePreserving
from facegen.diffusion.weighting import Predicts
from facegen.errors import DataError, UsageError
from facegen.formats.files import sha256_of
from facegen.formats.model_folders import DiffusersFolder
from facegen.models.generator import FaceGenerator
from facegen.shapes import Maps, Times
from facegen.types import Conditioning, LabelSchema, LatentScaling, SampleSpec

INDEX_FILE = "model_index.json"
NEEDED = "config.json and diffusion_pytorch_model.safetensors"
WITHOUT_NETWORK = "Fetch it whole: hf download OWNER/NAME --local-dir FOLDER"
CLASS_COLUMN = "class"
TOLD_MORE = (
    "class_embed_type",
    "num_class_embeds",
    "addition_embed_type",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)  # settings of U-Nets that are told more than a timestep and text
PREDICTS: dict[str, Predicts] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
SAMPLERS = {
    "DDPMScheduler": "ddpm",
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "HeunDiscreteScheduler": "heun",
    "UniPCMultistepScheduler": "unipc",
}
OTHER_SAMPLER = "dpmpp_2m"  # in place of PNDM and the like; DPM-Solver++ 2M itself
STEPS, DDPM_STEPS = 50, 1000  # what diffusers' pipelines take where none are named


class PublishedNetwork(nn.Module):
    """A network of diffusers': x_t (B, C, H, W), timestep (B,), Conditioning -> (B, C, H, W).

    `told` gives its own arguments for a condition. A variance that it predicts beside the mean is left out.
    """

    def __init__(self, model: nn.Module, told: Callable[[Conditioning], dict[str, Any]]) -> None:
        super().__init__()
        self.model, self._told = model, told

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning) -> Maps:
        output: Tensor = self.model(x_t, timestep, **self._told(conditioning)).sample
        return output[:, : x_t.shape[1]]


def is_pipeline(path: Path) -> bool:
    """Whether there is a pipeline in diffusers' layout at `path`."""
    return (path / INDEX_FILE).is_file()


def open_pipeline(folder: Path, device: torch.device) -> FaceGenerator:
    """The pipeline in `folder` as a generator; it draws as its scheduler does, where facegen has the same.

    Raises:
        UsageError: a network, autoencoder or scheduler that facegen cannot ask or walk with.
        DataError: a part is missing, damaged, or not in safetensors.
        MissingModelError: the autoencoder has no weights in safetensors.
    """
    index = read_settings(folder / INDEX_FILE)
    part = _part(folder, "unet", "transformer") or folder
    if not (part / "config.json").is_file():
        parts = ", ".join(name for name in index if not name.startswith("_"))
        raise UsageError(f"'{folder}' has neither 'unet' nor 'transformer', but: {parts}.")
    model, spec = _network(part)
    network, conditioner, guidance = _asked(folder, model, spec, index)
    vae = _part(folder, "vae", "vqvae")
    autoencoder: Any = load_autoencoder("identity" if vae is None else vae, device).module
    settings: Any = {} if vae is None else autoencoder.model.config
    channels, side, _ = spec.shape
    expected = 3 if vae is None else settings["latent_channels"]
    if channels != expected:
        raise UsageError(
            f"The network in '{part}' takes {channels} channels where a noisy sample has {expected}: it is "
            "told more than that, as for inpainting, and cannot be asked for faces alone."
        )
    objective, sampling = _walk((_part(folder, "scheduler") or folder) / "scheduler_config.json", guidance)
    shift, scale = settings.get("shift_factor") or 0.0, settings.get("scaling_factor", 1.0)
    weights = [sha256_of(file) for file in sorted(part.glob("*.safetensors"))]
    configurations = [*folder.glob("*config.json"), *folder.glob("*/*config.json")]
    column = getattr(conditioner, "column", None)
    return FaceGenerator(
        module=nn.ModuleDict({"denoiser": network, "conditioner": conditioner}).to(device).eval(),
        objective=objective,
        autoencoder=autoencoder,
        scaling=LatentScaling((shift,) * channels, (scale,) * channels),
        sample_spec=spec,
        image_size=side * 2 ** (len(settings.get("block_out_channels", [0])) - 1),
        sampling=sampling,
        labels=LabelSchema() if column is None else LabelSchema(classes={column: conditioner.classes}),
        described={str(file.relative_to(folder)): read_settings(file) for file in configurations},
        device=device,
        weights_sha256=sha256_of("".join(weights).encode()),
        source=folder,
    )


def _network(part: Path) -> tuple[Any, SampleSpec]:
    """The network in the folder `part`, and what it denoises."""
    config = read_settings(part / "config.json")
    told = [key for key in TOLD_MORE if config.get(key) is not None]
    if told:
        raise UsageError(f"The network in '{part}' is told more than facegen can tell it: {', '.join(told)}.")
    model = open_network(part)
    side = model.config.sample_size
    if not isinstance(side, int):
        raise UsageError(f"The network in '{part}' says no side of its square samples, but: {side}.")
    return model, SampleSpec((model.config.in_channels, side, side))


def open_network(part: Path) -> Any:
    """The network of diffusers' in the folder `part`, with its weights.

    Raises:
        UsageError: it is none that facegen knows.
        DataError: it is damaged, not whole, or not in safetensors.
    """
    diffusers = _diffusers()
    known = {
        "UNet2DModel": diffusers.UNet2DModel,
        "UNet2DConditionModel": diffusers.UNet2DConditionModel,
        "DiTTransformer2DModel": diffusers.DiTTransformer2DModel,
        "Transformer2DModel": diffusers.DiTTransformer2DModel,  # its name when DiT was published
    }
    name = read_settings(part / "config.json").get("_class_name")
    if name not in known:
        raise UsageError(
            f"'{part}' holds a {name}, which facegen does not know.",
            hint=f"It knows: {', '.join(known)}.",
        )
    folder = DiffusersFolder(str(part), "network", NEEDED, WITHOUT_NETWORK)
    return folder.network(known[name].from_pretrained)


def _asked(
    folder: Path, model: Any, spec: SampleSpec, index: dict[str, Any]
) -> tuple[PublishedNetwork, Any, float]:
    """The network, what it is asked with, and the guidance that its pipeline uses."""
    kind, unlabelled = type(model).__name__, LabelSchema()
    if kind == "UNet2DModel":
        return PublishedNetwork(model, _nothing), none.build(none.Config(), unlabelled, spec), 1.0
    if kind == "UNet2DConditionModel":
        words = text.PaddedText(text.Config(encoder=str(folder)), unlabelled, spec)
        return PublishedNetwork(model, _tokens), words, 7.5
    count = model.config.num_embeds_ada_norm
    names = {int(number): str(name) for number, name in (index.get("id2label") or {}).items()}
    classes = tuple(names.get(number, str(number)) for number in range(count))
    config = class_label.Config(column=CLASS_COLUMN, dim=count + 1)
    chosen = class_label.build(config, LabelSchema(classes={CLASS_COLUMN: classes}), spec)
    chosen.embedding.weight = nn.Parameter(torch.eye(count + 1), requires_grad=False)
    chosen.asking = replace(class_label.ASKING, options=("prompt", "class", "negative"))
    return PublishedNetwork(model, _class_number), chosen, 4.0


def _nothing(conditioning: Conditioning) -> dict[str, Any]:
    return {}


def _tokens(conditioning: Conditioning) -> dict[str, Any]:
    return {"encoder_hidden_states": conditioning.tokens}


def _class_number(conditioning: Conditioning) -> dict[str, Any]:
    """The number that a one-hot vector (B, classes and the null class) stands for."""
    assert conditioning.vector is not None
    if not bool((conditioning.vector.amax(1) == 1).all()):
        raise UsageError("This model knows one class at a time; classes cannot be mixed.")
    return {"class_labels": conditioning.vector.argmax(1)}


def _walk(file: Path, guidance: float) -> tuple[Objective, SamplingConfig]:
    """What the scheduler says of training, and how it samples, as far as facegen has the same."""
    settings = read_settings(file)
    name = str(settings.get("_class_name"))
    kind: Any = getattr(_diffusers(), name, None) if name.endswith("Scheduler") else None
    try:
        scheduler: Any = None if kind is None else kind.from_config(settings)
    except Exception as error:  # settings can be wrong in as many ways as there are schedulers
        raise DataError(f"'{file}' does not describe a {name}: {error}.") from error
    config: Any = {} if scheduler is None else scheduler.config
    predicts = PREDICTS.get(config.get("prediction_type", "epsilon"))
    betas: Tensor | None = getattr(scheduler, "betas", None)
    if betas is None or predicts is None or config.get("thresholding"):
        raise UsageError(
            f"facegen cannot walk as '{file}' says: {name}, prediction "
            f"'{config.get('prediction_type')}', thresholding {bool(config.get('thresholding'))}.",
            hint="It knows schedulers with betas that predict epsilon, v_prediction or sample.",
        )
    sampler = SAMPLERS.get(name, OTHER_SAMPLER)
    sampling = SamplingConfig(
        sampler=kind_config("samplers", {"kind": sampler}).model_dump(mode="json"),
        steps=DDPM_STEPS if sampler == "ddpm" else STEPS,
        guidance_scale=guidance,
        clip_x0=config.get("clip_sample_range", 1.0) if config.get("clip_sample") else None,
    )
    return Objective(VariancePreserving.of_betas(betas), predicts), sampling


def _diffusers() -> Any:
    guard_torchvision()
    return import_module("diffusers")


def _part(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def read_settings(file: Path) -> dict[str, Any]:
    """What a file of settings says, such as `config.json`.

    Raises:
        DataError: it is not there, or no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {error}.", hint=WITHOUT_NETWORK) from error
    if not isinstance(content, dict):
        raise DataError(f"'{file}' is no JSON object.")
    return content
