"""Images to latents and to features: an autoencoder and Inception, both with random weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.autoencoders import LoadedAutoencoder
from facegen.compat import guard_torchvision
from facegen.config.kinds import kind_config, load_kind
from facegen.encoding.job import EncodingJob
from facegen.encoding.options import EncodeOptions
from facegen.encoding.shards import moments
from facegen.models.feature_networks import load_extractor
from facegen.progress import SilentProgress
from gpu_stages.context import Context, Skipped, finished

TINY_KL = {"block_out_channels": [16, 16, 16, 16], "layers_per_block": 1, "norm_num_groups": 8}


def autoencoder(context: Context) -> None:
    """Images of 256x256 a second into the latents of Stable Diffusion's autoencoder, as `facegen encode`
    encodes a batch, and back."""
    if find_spec("diffusers") is None:
        raise Skipped("diffusers is not installed")
    settings = TINY_KL if context.smoke else {}
    config = kind_config("autoencoders", {"kind": "kl", **settings})
    module = load_kind("autoencoders", "kl").build(config).to(context.device).eval().requires_grad_(False)
    loaded = LoadedAutoencoder(module, config, "made-up", is_local=True)
    size, count = (32, 2) if context.smoke else (256, 32)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    repeats = 1 if context.smoke else 8

    def encode(dtype: Any) -> Callable[[], Any]:
        no_data: Any = None  # of which a batch's moments do not ask
        options = EncodeOptions(dtype=dtype, batch_size=count)
        job = EncodingJob(no_data, loaded, context.scratch, options, context.device, SilentProgress())
        return torch.no_grad()(lambda: moments(job, images))

    for dtype in ("float32", "bfloat16"):
        context.part(f"encode, {dtype}", lambda d=dtype: _rate(context, encode(d), count, repeats), 5.0)
    latents = torch.randn(count, *module.latent_shape(size), device=context.device)

    @torch.no_grad()
    def decode() -> Tensor:
        return module.decode(latents)

    context.part("decode, float32", lambda: _rate(context, decode, count, repeats), 5.0)


def features(context: Context) -> None:
    """Images a second into Inception's features, as every score of `facegen eval` begins."""
    if find_spec("torch_fidelity") is None:
        raise Skipped("torch-fidelity is not installed")
    extractor = load_extractor("inception", _random_inception(context.scratch), context.device)
    count, repeats = (2, 1) if context.smoke else (256, 4)
    images = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)
    context.part("inception", lambda: _rate(context, lambda: extractor(images), count, repeats))


def _rate(context: Context, act: Callable[[], Any], count: int, repeats: int) -> dict[str, Any]:
    """Images a second of `act` on `count` of them, the first call not counted."""
    if context.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if not context.smoke:
        act()
    began = finished(context.device)
    for _ in range(repeats):
        act()
    seconds = finished(context.device) - began
    peak = torch.cuda.max_memory_allocated() if context.device.type == "cuda" else None
    return {"images_per_second": count * repeats / seconds, "batch_size": count, "peak_memory_bytes": peak}


def _random_inception(folder: Path) -> Path:
    """Random weights in the layout of torch-fidelity's Inception file, which is nowhere to be had offline."""
    guard_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:  # keep the random initialisation
            return None

    file = folder / "inception.pth"
    torch.save({}, file)
    network = Untrained("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(file))
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    torch.save(network.state_dict(), file)
    return file
