"""Data set to latents to a trained run to faces, through the real pipeline."""

import torch
from PIL import Image, ImageStat
from support.generator_parts import DIT

from facegen.config.recipe import parse_recipe
from facegen.encoding.encode import EncodeOptions, encode
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample
from facegen.training.train import train
from facegen.types import LabelSchema

SIZE = 8
STEPS = 150


def write_bright_and_dark(folder):
    """Smiling images are light grey (200), the others dark (60)."""
    writer = DatasetWriter(folder, LabelSchema(attributes=("Smiling",)), {}, {"size": SIZE})
    for split, count in (("train", 64), ("validation", 16)):
        rows = []
        for index in range(count):
            smiling = index % 2 == 0
            # one pixel tells the files apart
            image = torch.full((3, SIZE, SIZE), 200 if smiling else 60, dtype=torch.uint8)
            image[0, 0, 0] += index % 50
            data = encode_png(image)
            rows.append(
                {
                    "image": data,
                    "id": f"{split}-{index}",
                    "split": split,
                    "caption": "a face",
                    "captions": ["a face"],
                    "identity": None,
                    "sha256": sha256_of(data),
                    "Smiling": smiling,
                }
            )
        writer.write_split(split, rows, count, 1000)
    writer.finish(rejects=[], kind="test", image_size=SIZE)


def test_a_trained_run_draws_what_the_prompt_asks_for(tmp_path):
    write_bright_and_dark(tmp_path / "faces")
    encode(
        tmp_path / "faces", "identity", tmp_path / "latents", EncodeOptions(device="cpu"), SilentProgress()
    )
    recipe = parse_recipe(
        {
            "task": {"kind": "denoising"},
            "data": {"path": str(tmp_path / "latents")},
            "denoiser": DIT,
            "conditioner": {"kind": "attributes", "dim": 32},
            "diffusion": {"parameterisation": "flow"},
            "optimizer": {"lr": 3e-3},
            "ema": {"decay": 0.95},
            "training": {"max_steps": STEPS, "batch_size": 32, "precision": "fp32"},
            "sampling": {"steps": 8, "guidance_scale": 1.0},
        }
    )
    train(recipe, tmp_path / "run", progress=SilentProgress(), device="cpu")

    def brightness(prompt, name):
        options = SampleOptions(prompt=prompt, count=8, out=tmp_path / name, device="cpu")
        summary = sample(tmp_path / "run", options, SilentProgress())
        return [ImageStat.Stat(Image.open(path).convert("L")).mean[0] for path in summary.paths]

    smiling, serious = brightness("a smiling face", "smiling"), brightness("not smiling", "serious")
    assert min(smiling) > max(serious) + 40
