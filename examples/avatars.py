"""From nothing to sampled faces through the library: what `facegen prepare ... sample` do, in one script.

python examples/avatars.py OUT            about five minutes on two CPU cores
python examples/avatars.py OUT --smoke    seconds, to see that it runs; the faces are noise
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facegen.config.composition import compose
from facegen.encoding.encode import EncodeOptions, encode
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample
from facegen.training.train import train


def main(out: Path, *, smoke: bool) -> Path:
    """Make everything below `out`; return the grid of faces."""
    progress = SilentProgress()  # anything with stage, say and warn: see facegen.protocols.Progress
    size = "smoke" if smoke else "full"

    options = PrepareOptions(count=64 if smoke else 5000, size=32 if smoke else 64)
    avatars = prepare("avatars", None, out / "avatars", options, progress)
    print(f"{sum(avatars.counts.values())} avatars; {avatars.attribute_rates['Smiling']:.0%} of them smile")

    recipe = compose("avatars-autoencoder", overrides=[f"data.path={out / 'avatars'}"], size=size)
    trained = train(recipe, out / "autoencoder", progress=progress)
    print(trained.validation["verdict"])

    encode(out / "avatars", str(out / "autoencoder"), out / "latents", EncodeOptions(), progress)

    settings = [f"data.path={out / 'latents'}", "training.epochs=40"]
    recipe = compose("avatars", overrides=settings[: 1 if smoke else 2], size=size)
    trained = train(recipe, out / "generator", progress=progress)
    print(trained.validation["verdict"])

    request = SampleOptions(prompt="smiling, red hair, glasses", count=8, out=out / "faces")
    return sample(out / "generator", request, progress).grid


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    print(f"Look at {main(arguments.out, smoke=arguments.smoke)}")
