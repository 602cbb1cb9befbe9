"""A folder of diffusers for a network that has no stock pipeline: weights, and one file that reads them.

OUT/
  model_index.json                               names the file's classes and how the model draws
  model/facegen_pipeline_1a2b3c4d.py   networks, walk and pipeline, from facegen's own source
  model/config.json diffusion_pytorch_model.safetensors
  vae/ text_encoder/ tokenizer/        where the model has them, as diffusers and transformers save them

The file is named by its content: diffusers keeps such files of all models in one folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from facegen.errors import UsageError
from facegen.export.model import Exported
from facegen.export.source import Place, assembled
from facegen.formats.files import sha256_of

PORTABLE = "facegen.export.portable"
MODULE, MODEL, PIPELINE = "facegen_pipeline_", "FacegenModel", "FacegenPipeline"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
OPENED = "DiffusionPipeline.from_pretrained({folder!r}, trust_remote_code=True)"


def write_own(model: Exported, folder: Path) -> None:
    """Fill `folder`.

    Raises:
        UsageError: a text encoder that transformers does not open by its class alone.
    """
    import diffusers

    inner = folder / "model"
    inner.mkdir()
    code = code_of(model)
    module = MODULE + sha256_of(code.encode())[:8]
    (inner / f"{module}.py").write_text(code, encoding="utf-8")
    config = {"_class_name": MODEL, "_diffusers_version": diffusers.__version__, **model.description()}
    (inner / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(model.weights(), inner / WEIGHTS_FILE, metadata={"format": "pt"})
    index: dict[str, Any] = {
        "_class_name": [f"model/{module}", PIPELINE],
        "_diffusers_version": diffusers.__version__,
        "model": [module, MODEL],
        "sampling": model.generator.sampling.model_dump(mode="json"),
    }
    if model.autoencoder is None:
        network: Any = model.generator.autoencoder
        network.model.save_pretrained(folder / "vae")
        index["vae"] = ["diffusers", type(network.model).__name__]
    if model.text_encoder is not None:
        index |= _write_text_encoder(model.text_encoder, folder)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def code_file(folder: Path) -> Path:
    """The pipeline's file in an exported folder."""
    return next((folder / "model").glob(f"{MODULE}*.py"))


def code_of(model: Exported) -> str:
    """The pipeline's file: `portable` with the kinds of this model and all that they stand on."""
    kinds = {
        "denoiser": ("denoisers", model.kind("denoiser")),
        "sampler": ("samplers", model.generator.sampling.sampler["kind"]),
    }
    if model.text_encoder is None:
        kinds["conditioner"] = ("conditioners", model.kind("conditioner"))
    if model.autoencoder is not None:
        kinds["autoencoder"] = ("autoencoders", model.autoencoder["kind"])
    roots = {name: Place(f"facegen.{family}.{kind}", "build") for name, (family, kind) in kinds.items()}
    head = f'"""{_ABOUT}"""\n\n'
    return head + assembled(roots, PORTABLE, "KINDS")


_ABOUT = """A face generator that facegen trained, for diffusers alone: nothing here needs facegen.

    from diffusers import DiffusionPipeline
    pipeline = DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True)

The pipeline is at the end, `FacegenPipeline`; before it stands what it calls, file by file as in facegen.
"""


def _write_text_encoder(encoder: Any, folder: Path) -> dict[str, Any]:
    import transformers

    name = type(encoder.model).__name__
    if not hasattr(transformers, name):
        raise UsageError(
            f"The text encoder is a part of another model ({name}), which transformers does not open.",
            hint="Models of CLIP's text encoders can be exported; this one is sampled with facegen.",
        )
    encoder.model.save_pretrained(folder / "text_encoder")
    encoder.tokenizer.save_pretrained(folder / "tokenizer")
    return {
        "text_encoder": ["transformers", name],
        "tokenizer": ["transformers", type(encoder.tokenizer).__name__],
        "max_tokens": encoder.max_tokens,
    }
