"""`facegen eval clip-score`: how well faces fit the words they were asked for with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError
from facegen.evaluation.colours import ColoursSeen
from facegen.evaluation.judged_images import JudgedImages, JudgedReport, open_judged
from facegen.evaluation.options import ClipScoreOptions
from facegen.evaluation.score_rows import score_row
from facegen.evaluation.steps import finished, passing
from facegen.formats.influences import Influence, Influences, pairing_of
from facegen.formats.reports import ScoreRow
from facegen.metrics import Shift, colour_remark
from facegen.metrics.clip_score import ClipScore, ClipScores, Config, PromptScore
from facegen.models.clip import ClipModel, load_clip
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress

FEW_SAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class ClipScoreReport(JudgedReport):
    """A CLIP score with its 95 % bootstrap interval, and what it stands beside.

    `chance` is what the same images score with other images' captions; `real` what the real images score
    that the captions belong to, `{"score", "low", "high", "num_samples"}`. Either is None where it could
    not be measured. `prompts` lists each prompt with its mean, worst first. `colour` is how the images'
    colours are shifted against those of these real images.
    """

    metric: str = "clip-score"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    score: float
    low: float
    high: float
    num_samples: int
    chance: float | None
    real: dict[str, Any] | None
    prompts: list[PromptScore]
    clip: str
    clip_fingerprint: str
    remarks: tuple[str, ...]
    colour: dict[str, Shift] = field(default_factory=dict)


def evaluate_clip_score(
    subject: Path | str,
    clip: str,
    options: ClipScoreOptions | None = None,
    progress: Progress | None = None,
) -> ClipScoreReport:
    """Score `subject` (a run, a folder of images or a data set) with the CLIP `clip`, a folder or hub name.

    A run is asked for the captions of held-out records, or for one prompt; a folder's captions come from
    its metadata.csv, from what `facegen sample` wrote into its files, or from the prompt given. A run's
    report is also written to `RUN/evaluations/clip-score-*.json`.

    Raises:
        DataError: no images, images without captions, or a folder that holds no CLIP.
        MissingModelError: the CLIP cannot be had; the message has the command that fetches it.
        UsageError: sampling settings for what is not a run, or a prompt the run does not understand.
    """
    options, progress = options or ClipScoreOptions(), progress or SilentProgress()
    started = time.monotonic()
    device = resolve_device(options.device)
    model = load_clip(clip, device)  # before anything is drawn: it is what is most often missing
    judged = open_judged(Path(subject), options.selection, device, progress)
    _check_captions(judged)

    drawn, photos = ColoursSeen(), ColoursSeen()

    def scored(parts: Iterator[Tensor], title: str) -> tuple[ClipScores, Tensor]:
        metric = ClipScore(Config(), image_features=model.image_features, text_features=model.text_features)
        with torch.inference_mode():
            for images, records in passing(parts, judged.frame, title, progress):
                metric.update(images, records)
        return metric.compute(), metric.per_image()

    result, per_image = scored(
        drawn.of(judged.parts(options.batch_size)), judged.title("Comparing images and captions")
    )
    real: dict[str, Any] | None = None
    if judged.real_parts is not None:
        of_real, _ = scored(photos.of(judged.real_parts(options.batch_size)), "Real faces and their captions")
        real = {key: of_real[key] for key in ("score", "low", "high", "num_samples")}
    colour = drawn.beside(photos)
    captions = pairing_of({"captions": sorted({str(caption) for caption in judged.frame["caption"]})})
    told = "the mean score of an image with its caption"
    ends = {"floor": result["chance"], "ceiling": None if real is None else real["score"]}
    report = ClipScoreReport(
        **result,
        scores={"clip_score": score_row("clip_score", result["score"], result, "higher", told, **ends)},
        fingerprint={"clip": model.fingerprint, "image_size": judged.image_size, "captions": captions},
        real=real,
        clip=model.name,
        clip_fingerprint=model.fingerprint,
        **judged.facts(),
        remarks=(*_remarks(judged, model), *filter(None, [colour_remark(colour)])),
        colour=colour,
    )
    influences = Influences({"clip_score": Influence(per_image)}, judged.pairing)
    return finished(report, started, judged.run, influences=influences)


def _check_captions(judged: JudgedImages) -> None:
    missing = judged.frame["caption"].isna().to_numpy(bool)
    if missing.any():
        name = judged.names[int(missing.argmax())]
        raise DataError(
            f"{int(missing.sum()):,} of {len(judged):,} images in '{judged.path}' have no caption, "
            f"'{name}' for one.",
            hint="Give one prompt for all with --prompt TEXT, or put a metadata.csv with the columns "
            "file_name and caption beside the images.",
        )


def _remarks(judged: JudgedImages, model: ClipModel) -> Iterator[str]:
    cut = model.num_cut(list(dict.fromkeys(str(caption) for caption in judged.frame["caption"])))
    if cut:
        yield f"{cut:,} captions are longer than the {model.max_tokens} tokens this CLIP reads, and were cut."
    if len(judged) < FEW_SAMPLES:
        yield f"{len(judged)} images: the interval is wide, and itself uncertain."
