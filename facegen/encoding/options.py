"""How a data set is encoded."""

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.options import HARDWARE, Device, Option

WHAT = "What is encoded"  # panel of the help


@dataclass(frozen=True)
class EncodeOptions:
    """What is encoded and how; without `resume` existing latents are made anew."""

    flips: Annotated[bool, Option("Encode mirror images too.", WHAT)] = False
    scaling: Annotated[
        Literal["measured", "model"],
        Option("measured: per channel, on the training split; model: the autoencoder's own factor.", WHAT),
    ] = "measured"
    text_encoder: Annotated[
        str | None,
        Option("Cache embeddings of the unique captions by this text encoder: a folder or hub name.", WHAT),
    ] = None
    image_encoder: Annotated[
        str | None,
        Option(
            "Keep what this encoder sees in each image: CLIP or DINOv2 (folder or hub), classifier:RUN.", WHAT
        ),
    ] = None
    limit: Annotated[int | None, Option("At most this many images per split.", WHAT, min=1)] = None
    shard_size: Annotated[
        int | None, Option("Images per file; left out: about 256 MiB a file.", WHAT, min=1)
    ] = None
    batch_size: Annotated[
        int | None,
        Option("Images encoded at once; left out: 32, fewer large ones on a CPU.", HARDWARE, min=1),
    ] = None
    dtype: Annotated[Literal["float32", "bfloat16"], Option("What to compute in.", HARDWARE)] = "float32"
    device: Device = "auto"
    resume: bool = True
