"""Trained autoencoders by name or folder, and writing one as a folder of its own.

A folder facegen writes holds `config.json` (`_class_name`: "FacegenAutoencoder") and
`model.safetensors`; a folder of diffusers' is read as it is. Weights come from safetensors alone:
no pickle is opened and no code of a model repository is run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from facegen.autoencoders._diffusers import KINDS, DiffusersAutoencoder
from facegen.config.documents import parse_json
from facegen.config.kinds import KindConfig, kind_config, load_kind
from facegen.errors import MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.far import near
from facegen.formats.far_store import spelled
from facegen.formats.files import WRONG_CONTENT, atomic_write, write_json
from facegen.formats.model_folders import DiffusersFolder, hub_file, is_hub_name
from facegen.nn.memory_layout import lay_out_convolutions

FORMAT_VERSION = 1
CLASS_NAME = "FacegenAutoencoder"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
DIFFUSERS_WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
HUB_FILES = [[at + file for file in (CONFIG_FILE, DIFFUSERS_WEIGHTS_FILE)] for at in ("", "vae/")]
WITHOUT_NETWORK = (
    f"Needed are {CONFIG_FILE} and {DIFFUSERS_WEIGHTS_FILE}. Without a network: give a local folder "
    "(--autoencoder FOLDER), or train one (facegen train --preset celeba-autoencoder --data DATASET --run "
    "RUN) and give --autoencoder RUN."
)
GREY = "identity-grey"
IDENTITIES = ("identity", GREY)
BESIDE_OTHERS = "autoencoder."  # prefix of its weights where a task trains more than the autoencoder
WAYS = (
    "Give 'identity' or 'identity-grey', a run of 'facegen train', a folder with a diffusers AutoencoderKL, "
    "AutoencoderTiny or VQModel, or a hub name such as stabilityai/sd-vae-ft-mse."
)


@dataclass(frozen=True)
class LoadedAutoencoder:
    """A trained autoencoder, frozen and in evaluation mode, and where it came from.

    `module` is an `Autoencoder`; `source` what it was asked for as; `fingerprint` the sha256 over its
    configuration and weights. One from the hub is found again by its name; any other has to travel
    along with what is made with it (`is_local`). `config` is None for a model of diffusers' own.
    """

    module: Any
    config: KindConfig | None
    source: str
    is_local: bool

    @property
    def kind(self) -> str:
        return KINDS[type(self.module.model).__name__] if self.config is None else self.config.kind

    @cached_property
    def fingerprint(self) -> str:
        config = self.config
        described = (
            _public(self.module.model.config)
            if config is None
            else config.model_dump(mode="json", exclude_none=True)  # options of later versions
        )
        head = json.dumps({"kind": self.kind, "config": described}, sort_keys=True, default=list)
        digest = hashlib.sha256(head.encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def reference(self) -> dict[str, Any]:
        """What latents and checkpoints remember it by, as JSON."""
        return {"source": self.source, "kind": self.kind, "fingerprint": self.fingerprint}

    def save(self, folder: Path) -> None:
        """Write it to `folder`, from where `load_autoencoder` reads it with the same fingerprint.

        Raises:
            StorageError: the folder cannot be written to.
        """
        if self.config is not None:
            save_autoencoder(self.module, self.config, folder)
        else:
            model_config = dict(self.module.model.config, _class_name=type(self.module.model).__name__)
            atomic_write(folder / DIFFUSERS_WEIGHTS_FILE, _weights_bytes(self.module.model))
            atomic_write(folder / CONFIG_FILE, json.dumps(_public(model_config), indent=2) + "\n")


def load_autoencoder(name_or_path: str | Path, device: str | torch.device = "cpu") -> LoadedAutoencoder:
    """The autoencoder that `name_or_path` means, on `device`.

    That is `identity` or `identity-grey`, a facegen run or checkpoint of an autoencoder, a folder written by
    `save_autoencoder` or by diffusers (a whole pipeline too: its `vae`), or a name on the hub.

    Raises:
        MissingModelError: there is nothing of that name, or it cannot be fetched.
        UsageError: the run trained something else, or the model is not an autoencoder.
        StorageError, DataError: weights that are corrupt or do not fit their configuration.
    """
    source, path = spelled(name_or_path), near(name_or_path).expanduser()
    is_local = True
    if source in IDENTITIES:
        module, config = _build({"kind": "identity", "grey": source == GREY}, {}, source)
    elif path.is_dir():
        module, config = _from_folder(path)
    elif is_hub_name(source):
        is_local = False
        folder = hub_file(source, HUB_FILES, "autoencoder", WITHOUT_NETWORK).parent
        module, config = _from_diffusers(folder), None
    else:
        raise MissingModelError(f"There is no autoencoder '{source}'.", hint=WAYS)
    lay_out_convolutions(module.to(device).eval().requires_grad_(False))
    return LoadedAutoencoder(module, config, source, is_local)


def save_autoencoder(module: nn.Module, config: KindConfig, folder: Path) -> None:
    """Write an autoencoder that `config` describes as `config.json` and `model.safetensors`.

    Raises:
        StorageError: the folder cannot be written to.
    """
    atomic_write(folder / WEIGHTS_FILE, _weights_bytes(module))
    described = config.model_dump(mode="json")
    content = {"_class_name": CLASS_NAME, "format_version": FORMAT_VERSION, "config": described}
    write_json(folder / CONFIG_FILE, content)


def _from_folder(folder: Path) -> tuple[Any, KindConfig | None]:
    if (folder / "checkpoint.json").is_file() or (folder / "checkpoints").is_dir():
        return _from_checkpoint(folder)
    for candidate in (folder, folder / "vae"):
        class_name = _class_name(candidate)
        if class_name == CLASS_NAME:
            return _from_our_folder(candidate)
        if class_name in KINDS:
            return _from_diffusers(candidate), None
    found = _class_name(folder)
    what = f"it holds a {found}" if found else f"there is no {CONFIG_FILE}, checkpoint or 'vae' folder in it"
    raise UsageError(f"'{folder}' is not an autoencoder: {what}.", hint=WAYS)


def _from_checkpoint(path: Path) -> tuple[Any, KindConfig]:
    checkpoint = load_checkpoint(path)
    recipe = checkpoint.info.recipe
    if recipe.get("autoencoder") is None or recipe.get("denoiser") is not None:
        raise UsageError(
            f"'{path}' is a run of task '{checkpoint.info.task}', not an autoencoder.",
            hint="Train one: facegen train --preset celeba-autoencoder --data DATASET --run RUN",
        )
    weights = checkpoint.weights("ema")
    own = {
        name.removeprefix(BESIDE_OTHERS): weights[name] for name in weights if name.startswith(BESIDE_OTHERS)
    }
    return _build(recipe["autoencoder"], own or weights, str(checkpoint.folder))


def _from_our_folder(folder: Path) -> tuple[Any, KindConfig]:
    content = _read_config(folder)
    if content.get("format_version") != FORMAT_VERSION:
        raise StorageError(
            f"'{folder / CONFIG_FILE}' has format version {content.get('format_version')}; "
            f"this facegen reads {FORMAT_VERSION}."
        )
    return _build(content.get("config", {}), _read_weights(folder / WEIGHTS_FILE), str(folder))


def _from_diffusers(folder: Path) -> DiffusersAutoencoder:
    class_name = _class_name(folder)
    if class_name not in KINDS:
        raise UsageError(
            f"'{folder}' holds a {class_name}; facegen knows {' and '.join(KINDS)} of diffusers.",
            hint=WAYS,
        )
    if not any(folder.glob("*.safetensors")):
        raise MissingModelError(
            f"'{folder}' has no {DIFFUSERS_WEIGHTS_FILE}; other formats can hold code and are not opened.",
            hint="Convert it once: AutoencoderKL.from_pretrained(...).save_pretrained(FOLDER)",
        )
    needed = f"{CONFIG_FILE} and {DIFFUSERS_WEIGHTS_FILE}"
    published = DiffusersFolder(str(folder), "autoencoder", needed, WITHOUT_NETWORK)
    import diffusers

    return DiffusersAutoencoder(published.network(getattr(diffusers, class_name).from_pretrained))


def _build(described: dict[str, Any], weights: dict[str, Tensor], where: str) -> tuple[Any, KindConfig]:
    config = kind_config("autoencoders", described)
    try:
        module: Any = load_kind("autoencoders", config.kind).build(config)
    except WRONG_CONTENT as error:  # of numbers that make no network
        raise StorageError(f"The autoencoder that '{where}' describes cannot be built: {error}") from error
    _fill(module, weights, where)
    return module, config


def _fill(module: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise StorageError(f"The weights in '{where}' do not fit its configuration: {error}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, *WRONG_CONTENT) as error:
        raise StorageError(f"'{path}' is missing or corrupt: {error}.") from error


def _class_name(folder: Path) -> str | None:
    return str(_read_config(folder).get("_class_name")) if (folder / CONFIG_FILE).is_file() else None


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        content = parse_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"'{folder / CONFIG_FILE}' cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise StorageError(f"'{folder / CONFIG_FILE}' is not a model's configuration.")
    return content


def _weights_bytes(module: nn.Module) -> bytes:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    return save(weights, metadata={"format": "pt"})


def _public(values: Any) -> dict[str, Any]:
    return {key: value for key, value in dict(values).items() if key == "_class_name" or key[0] != "_"}
