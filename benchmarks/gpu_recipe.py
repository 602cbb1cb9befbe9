"""The recipe for photographs at 128x128 on one GPU, from the pictures to its scores, in a given time.

python benchmarks/gpu_recipe.py OUT --faces CELEBA --minutes 12    (as `facegen prepare celeba` takes it)
python benchmarks/gpu_recipe.py OUT --smoke                        seconds, on a CPU and rendered avatars

A sixth of the time is for the autoencoder; the rest, less what drawing and judging take, for `flow-dit-128`.
Where packages are missing and nothing can be fetched, `--wheels DIR` installs the wheels in DIR first.
OUT/recipe.json and OUT/recipe.md: images a second, the share of the card's arithmetic that is used (MFU), the
learning curve, and Fréchet distances beside those of held-out faces. No picture is kept: the data allow none.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

ROOT = Path(__file__).resolve().parents[1]
NUM_DRAWN = 790
JUDGING_SECONDS = 150.0  # drawing so many, and looking at them and at the training faces
AUTOENCODER_SHARE = 1 / 6
FEATURES = ("efficientnet-lite0", "random-inception")

if TYPE_CHECKING:
    from recipes import Bench


def main(bench: Bench) -> dict[str, Any]:
    """Do all of it; return what is written."""
    from recipes import DistributionOptions, EncodeOptions, encode, evaluate, record

    from facegen.formats.files import write_json

    bench.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * bench.minutes
    data = bench.data()
    recipe = bench.recipe("flow-dit-128-autoencoder", data)
    given = None if bench.smoke else bench.minutes * AUTOENCODER_SHARE
    autoencoder = bench.trained("autoencoder", recipe, given)
    latents = bench.out / "latents"
    encode(data, str(autoencoder), latents, EncodeOptions(flips=True))
    left = (ends - time.monotonic() - JUDGING_SECONDS) / 60
    run = bench.trained("flow-dit-128", bench.recipe("flow-dit-128", latents), None if bench.smoke else left)
    told: dict[str, Any] = {"minutes": bench.minutes, "smoke": bench.smoke}
    told["record"] = record(run)
    told["autoencoder"] = record(autoencoder)
    told |= arithmetic(run, told["record"])
    told["curve"] = curve(run)
    num_samples = 16 if bench.smoke else NUM_DRAWN
    for name in FEATURES[: 1 if bench.smoke else None]:
        options = DistributionOptions(features=name, num_samples=num_samples, requests="validation")
        row = evaluate(run, data, ("fid",), options).scores["fid"]
        told[name] = {"fid": row.value, "floor": row.floor, "ceiling": row.ceiling}
    write_json(bench.out / "recipe.json", told)
    (bench.out / "recipe.md").write_text(page(told), encoding="utf-8")
    print(page(told))
    return told


def arithmetic(run: Path, trained: dict[str, Any]) -> dict[str, Any]:
    """Images a second, operations an image, and the share of the card's peak that this is."""
    from gpu_stages.card import describe
    from torch.utils.flop_counter import FlopCounterMode

    from facegen.models.loading import load

    generator = load(run)
    inputs = generator.conditioner.null_inputs(1)
    x_t, timestep = generator.noise([0]), torch.full((1,), 500.0, device=generator.device)
    condition = generator.conditioning(inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator.module.get_submodule("denoiser")(x_t, timestep, condition)
    flops = 3 * counter.get_total_flops()  # forward, and twice that backward
    device = describe(generator.device)
    speed = trained["images"] / (60 * trained["minutes"]) if trained["minutes"] else None
    peak = device["data_sheet_tflops"]
    share = None if speed is None or peak is None else speed * flops / (peak * 1e12)
    return {"device": device, "images_per_second": speed, "flops_per_image": flops, "mfu": share}


def curve(run: Path) -> list[dict[str, float]]:
    """The held-out loss by images seen."""
    from facegen.formats.run import RunDirectory

    return [
        {"step": row["step"], "loss": row["loss"]}
        for row in RunDirectory(run).metrics()
        if row["group"] == "validation"
    ]


def page(told: dict[str, Any]) -> str:
    """What was found, in Markdown."""
    device, trained = told["device"], told["record"]
    speed, share = told["images_per_second"], told["mfu"]
    distances = [
        f"| {name} | {told[name]['fid']:.2f} | {told[name]['floor']:.2f} | {told[name]['ceiling']:.2f} |"
        for name in FEATURES
        if name in told
    ]
    return "\n".join(
        [
            f"`flow-dit-128` in {told['minutes']:g} minutes of {device['name']}, autoencoder and all: "
            f"{trained['steps']:,} steps, {trained['images']:,} images, "
            f"{'' if speed is None else f'{speed:,.0f} images/s, '}"
            f"{'no data sheet for MFU' if share is None else f'MFU {share:.0%}'}.",
            "",
            "| Fréchet distance in | faces drawn | held-out faces | reconstructions |",
            "|---|---|---|---|",
            *distances,
            "",
            "| step | held-out loss |",
            "|---|---|",
            *(f"| {point['step']:,} | {point['loss']:.4f} |" for point in told["curve"]),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=Path, help="CelebA; left out: rendered avatars")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install first")
    parser.add_argument("--smoke", action="store_true")
    chosen = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    if chosen.wheels is not None:
        from gpu import install

        install(chosen.wheels, chosen.out / "site")
    import recipes

    main(recipes.Bench(chosen.out, chosen.faces, chosen.minutes, seed=0, smoke=chosen.smoke, pixels=128))
