"""The recipe for photographs at 128x128 on one GPU, from the pictures to its scores, in a given time.

python benchmarks/gpu_recipe.py OUT --faces CELEBA --minutes 12    (as `facegen prepare celeba` takes it)
python benchmarks/gpu_recipe.py OUT --smoke                        a minute, on a CPU and rendered avatars

A sixth of the time is for the autoencoder; the rest, less what trials, validation, drawing and judging
take, for `flow-dit-128`. Where packages are missing and nothing can be fetched, `--wheels DIR` installs the
wheels in DIR first; the judge needs those of the extra `imagenet`. OUT/recipe.json and OUT/recipe.md,
written anew after each part: images a second, the share of the card's arithmetic that is used (MFU; the
network is not compiled, which takes too much of minutes), the learning curve, and Fréchet distances and
copies beside those of held-out faces. No picture is kept: the data allow none. Faces that are smaller than
128 pixels are enlarged.
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
RESERVED_SECONDS = (
    210.0  # trials, validation, drawing, and looking at what was drawn and at the training faces
)
AUTOENCODER_SHARE = 1 / 6
FEATURES = ("efficientnet-lite0", "random-inception")

if TYPE_CHECKING:
    from recipes import Bench


def main(bench: Bench) -> dict[str, Any]:
    """Do all of it; return what is written."""
    import recipes

    from facegen.models.packaged_networks import efficientnet

    efficientnet()  # before minutes are spent: without it nothing could be judged
    bench.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * bench.minutes
    data = bench.data()
    told: dict[str, Any] = {"minutes": bench.minutes, "smoke": bench.smoke}
    autoencoder = bench.trained(
        "autoencoder",
        bench.recipe("flow-dit-128-autoencoder", data),
        None if bench.smoke else bench.minutes * AUTOENCODER_SHARE,
    )
    write(bench.out, told | {"autoencoder": recipes.record(autoencoder)})
    latents = bench.out / "latents"
    recipes.encode(data, str(autoencoder), latents, recipes.EncodeOptions(flips=True))
    left = max(0.5, (ends - time.monotonic() - RESERVED_SECONDS) / 60)
    run = bench.trained("flow-dit-128", bench.recipe("flow-dit-128", latents), None if bench.smoke else left)
    told["autoencoder"], told["record"] = recipes.record(autoencoder), recipes.record(run)
    told |= arithmetic(run, told["record"])
    told["curve"] = curve(run)
    write(bench.out, told)
    judged: dict[str, Any] = {"num_samples": 16 if bench.smoke else NUM_DRAWN}
    with recipes.drawing_once():
        for name in FEATURES[: 1 if bench.smoke else None]:
            options = recipes.DistributionOptions(features=name, requests="validation", **judged)
            row = recipes.evaluate(run, data, ("fid",), options).scores["fid"]
            told[name] = {"fid": row.value, "floor": row.floor, "ceiling": row.ceiling}
            write(bench.out, told)
        selection = recipes.LabelledSelection(split="validation", data=data, **judged)
        rate = 0.1 if bench.smoke else 0.01
        audit = recipes.MemorizationOptions(FEATURES[0], selection=selection, nominal_rate=rate)
        told["memorization"] = recipes.evaluate_memorization(run, data, audit).to_json()
    write(bench.out, told)
    print(page(told))
    return told


def write(out: Path, told: dict[str, Any]) -> None:
    """Put what was found so far into its two files."""
    from facegen.formats.files import write_json

    write_json(out / "recipe.json", told)
    if "record" in told:
        (out / "recipe.md").write_text(page(told), encoding="utf-8")


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
    peak = device["data_sheet_tflops"]
    share = None if peak is None else trained["images_per_second"] * flops / (peak * 1e12)
    return {"device": device, "flops_per_image": flops, "mfu": share}


def curve(run: Path) -> list[dict[str, float]]:
    """The held-out loss by images seen."""
    from facegen.formats.run import RunDirectory

    return [
        {"step": row["step"], "loss": row["loss"]}
        for row in RunDirectory(run).metrics()
        if row["group"] == "validation"
    ]


def page(told: dict[str, Any]) -> str:
    """What was found so far, in Markdown."""
    trained, share = told["record"], told["mfu"]
    arithmetic = "no data sheet for MFU" if share is None else f"MFU {share:.0%}"
    lines = [
        f"`flow-dit-128` in {told['minutes']:g} minutes of {told['device']['name']}, autoencoder and all: "
        f"{trained['steps']:,} steps, {trained['images']:,} images, "
        f"{trained['images_per_second']:,.0f} images/s, {arithmetic}.",
        "",
        "| Fréchet distance in | faces drawn | held-out faces | reconstructions |",
        "|---|---|---|---|",
    ]
    for name in FEATURES:
        if name in told:
            values = (told[name][which] for which in ("fid", "floor", "ceiling"))
            cells = ("" if value is None else f"{value:.2f}" for value in values)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    if "memorization" in told:
        lines += ["", f"Memorisation: {told['memorization']['verdict']}"]
    lines += ["", "| step | held-out loss |", "|---|---|"]
    lines += [f"| {point['step']:,} | {point['loss']:.4f} |" for point in told["curve"]]
    return "\n".join([*lines, ""])


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

    torch.set_num_threads(1)
    main(recipes.Bench(chosen.out, chosen.faces, chosen.minutes, seed=0, smoke=chosen.smoke, pixels=128))
