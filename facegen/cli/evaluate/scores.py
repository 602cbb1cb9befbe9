"""`facegen eval` of pictures: closeness, and whether they fit words, are copies or lose anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.evaluate.options import RealFaces, Reference, Subject
from facegen.cli.forecast import print_forecast
from facegen.cli.options import DryRun, Run
from facegen.cli.results import print_evaluation, print_facts, print_table
from facegen.errors import UsageError
from facegen.evaluation.options import (
    ClipScoreOptions,
    ComparisonOptions,
    DistributionOptions,
    DiversityOptions,
    LossOptions,
    MemorizationOptions,
    MetricOptions,
    OwnFeaturesOptions,
    ReconstructionOptions,
    Selection,
)
from facegen.options import Option
from facegen.processes import world
from facegen.report.words import interval, percent

if TYPE_CHECKING:
    from facegen.evaluation.clip_score import ClipScoreReport
    from facegen.evaluation.distribution import DistributionReport
    from facegen.evaluation.diversity import DiversityReport
    from facegen.evaluation.ladder import LadderReport, Rung
    from facegen.evaluation.loss import LossReport
    from facegen.evaluation.memorization import MemorizationReport
    from facegen.evaluation.metric import MetricReport
    from facegen.evaluation.reconstruction import ReconstructionReport
    from facegen.evaluation.sweep import SweepReport
    from facegen.forecast import Forecast
    from facegen.protocols import Progress

Sweep = Annotated[
    str | None,
    Option(
        "Score the run at several: guidance=1,2,3, or steps, seed, sampler, guidance-interval.",
        "Sweep (of a run)",
        metavar="NAME=VALUES",
    ),
]
CLOSENESS = DistributionOptions()
OWN_FEATURES = OwnFeaturesOptions()
OF_TRAINING = MemorizationOptions(selection=Selection(split="train"))


def _scoring(
    name: str,
    metrics: tuple[str, ...] | None,
    doc: str,
    start: ComparisonOptions = CLOSENESS,
    **fixed: Any,
) -> Callable[..., None]:
    """A command that scores by `metrics`, None for all that the features allow, with `fixed` options."""

    def score(
        subject: Subject,
        reference: Reference,
        progress: Progress,
        options: ComparisonOptions = start,
        sweep: Sweep = None,
        dry_run: DryRun = False,
    ) -> DistributionReport | SweepReport | Forecast:
        told = DistributionOptions(**{**vars(options), **fixed})
        if dry_run:
            return _forecast(subject, reference, metrics, told, sweep)
        if sweep is not None:
            from facegen.evaluation.sweep import read_sweep, sweep_distribution

            return sweep_distribution(subject, reference, read_sweep(sweep), metrics, told, progress)
        from facegen.evaluation.distribution import evaluate

        return evaluate(subject, reference, metrics, told, progress, name=name.replace("_", "-"))

    score.__name__, score.__doc__ = name, doc
    return command(_print, many=True)(score)


def _forecast(
    subject: Path,
    reference: Path,
    metrics: tuple[str, ...] | None,
    told: DistributionOptions,
    sweep: str | None,
) -> Forecast:
    from facegen.evaluation.dry_run import evaluation_forecast

    if sweep is not None:
        raise UsageError("--dry-run tells of one scoring.", hint="Leave out --sweep.")
    return world().first(lambda: evaluation_forecast(subject, reference, metrics, told))


def _print(result: DistributionReport | SweepReport | Forecast) -> None:
    from facegen.forecast import Forecast

    if isinstance(result, Forecast):
        print_forecast(result)
    else:
        print_evaluation(result)


DISTRIBUTION = (
    _scoring(
        "all",
        None,
        """All scores of closeness that the features allow, from one drawing of the images.

        FID, KID, MIND, precision and recall, density and coverage; the Inception score and CMMD in the
        features they are made for. In other features than a metric's own a score is no published one, and
        says so.

            facegen eval all run --reference data/celeba --features classifier:judge
            facegen eval all run --reference data/celeba --num-samples 10000
        """,
    ),
    _scoring(
        "fid",
        ("fid",),
        """Score how close generated faces are to real ones, as a Fréchet distance: lower is better.

        Shown beside it: its interval with the bias of small samples taken off, what real faces reach among
        themselves, and through the run's autoencoder. Distances compare only at equal features, counts and
        reference.

            facegen eval fid run --reference data/celeba --num-samples 10000
            facegen eval fid run --reference data/celeba --features classifier:judge
            facegen eval fid my_images --reference data/celeba --weights inception.pth
            facegen eval fid run --reference data/celeba --sweep guidance=1,1.5,2,3
            facegen eval fid run --reference data --sweep sampler=ddim,unipc
        """,
    ),
    _scoring(
        "kid",
        ("kid",),
        """Score how close generated faces are to real ones, as a kernel distance: lower is better.

        Unbiased, so that few images only widen its interval; the score to trust below some thousand images.

            facegen eval kid run --reference data/celeba --num-samples 2000
            facegen eval kid my_images --reference data/celeba --features clip
        """,
    ),
    _scoring(
        "precision_recall",
        ("precision_recall",),
        """Tell fidelity and variety apart: precision, recall, density and coverage.

        Precision is the share of generated faces that lie among real ones, recall the share of real ones that
        lie among the generated.

            facegen eval precision-recall run --reference data/celeba
            facegen eval precision-recall run --reference data/celeba --guidance 3
        """,
        start=DistributionOptions(features="vgg16"),  # as published
    ),
    _scoring(
        "inception_score",
        ("inception_score",),
        """The Inception score, as published: higher is better.

        Its classes are ImageNet's, so of faces it says little; here to compare with papers. Needs Inception.

            facegen eval inception-score run --reference data/celeba --num-samples 5000
        """,
    ),
    _scoring(
        "fd_dinov2",
        ("fid",),
        """The Fréchet distance in DINOv2's features, which follows people's judgement better than
        Inception's.

        Stein et al. 2023 (arXiv:2306.04675), with their bicubic resize.

            facegen eval fd-dinov2 run --reference data/celeba --num-samples 10000
        """,
        start=OWN_FEATURES,
        features="dinov2",
    ),
    _scoring(
        "clean_fid",
        ("fid",),
        """FID with an antialiased resize, as clean-fid has it: lower is better.

        Parmar et al. 2022 (arXiv:2104.11222). It differs from 'facegen eval fid', most above 299 pixels.

            facegen eval clean-fid run --reference data/celeba --num-samples 10000
        """,
        start=OWN_FEATURES,
        features="inception-clean",
    ),
    _scoring(
        "cmmd",
        ("cmmd",),
        """CMMD, a kernel distance in CLIP's features: lower is better.

        Jayasumana et al. 2024 (arXiv:2401.09603), by CLIP ViT-L/14 at 336 pixels. Unbiased, so that few
        images only widen its interval.

            facegen eval cmmd run --reference data/celeba --num-samples 5000
        """,
        start=OWN_FEATURES,
        features="clip-vit-l-14-336",
    ),
    _scoring(
        "mind",
        ("mind",),
        """MIND, the Monge Inception distance, made for fewer images than a FID: lower is better.

        Berthet et al. 2026 (arXiv:2605.06797): a sliced transport distance in Inception's features.

            facegen eval mind run --reference data/celeba --num-samples 5000
            facegen eval mind run --reference data/celeba --features classifier:judge
        """,
    ),
)


@command(_print, many=True)
def diversity(
    subject: Subject,
    reference: Reference,
    options: DiversityOptions,
    progress: Progress,
    sweep: Sweep = None,
    dry_run: DryRun = False,
) -> DiversityReport | SweepReport | Forecast:
    """How different the people are from one another: higher is more diverse.

    The mean distance of two faces by a face encoder (dlib's, extra 'people'), beside as many real people's,
    for everyone and for each group asked for. Lighting and pose count for little, so a model that draws one
    person in many pictures scores low. Where no encoder is installed, a classifier's features stand in.

        facegen eval diversity run --reference data/celeba --num-samples 1000
        facegen eval diversity run --reference data/celeba --classifier judge
        facegen eval diversity my_images --reference data/celeba --out people.png
    """
    from facegen.evaluation.diversity import evaluate_diversity, scoring_options

    if sweep is None and not dry_run:
        return evaluate_diversity(subject, reference, options, progress)
    from facegen.evaluation.sweep import read_sweep, sweep_distribution
    from facegen.formats.dataset import Dataset

    told = scoring_options(options, Dataset.open(reference))
    if dry_run or sweep is None:
        return _forecast(subject, reference, ("diversity",), told, sweep)
    return sweep_distribution(subject, reference, read_sweep(sweep), ("diversity",), told, progress)


@command(print_evaluation, many=True)
def clip_score(
    subject: Subject,
    clip: Annotated[str, Option("Hub name or local folder of a CLIP of transformers.")],
    options: ClipScoreOptions,
    progress: Progress,
) -> ClipScoreReport:
    """Score how well faces fit the words they were asked for with, by a CLIP of your choice.

    100 times the cosine of image and caption, clipped at 0, for each prompt and in the mean. Scores compare
    only under the same CLIP.

        facegen eval clip-score run --clip openai/clip-vit-base-patch32
        facegen eval clip-score my_images --clip my_clip --prompt "a man"
    """
    from facegen.evaluation.clip_score import evaluate_clip_score

    return evaluate_clip_score(subject, clip, options, progress)


def _print_ladder(report: LadderReport) -> None:
    columns = ("", "rung", report.published or report.score, "95 %", "images", "recall")
    columns = (*columns, "requests all true", "calls", "steps")

    def cells(number: int | None, rung: Rung) -> list[object]:
        ends = interval((rung.low, rung.high))
        name = f"{rung.name} ({rung.source})" if rung.source else rung.name
        counts = (rung.num_samples, rung.recall, percent(rung.obedience), rung.calls, rung.step)
        return [number, name, rung.score, ends, *counts]

    rows = [cells(number, rung) for number, rung in enumerate(report.rungs, start=1)]
    print_table(f"By {report.score}, {report.better} is better", columns, rows)
    print_table("Apart", columns[1:], [cells(None, rung)[1:] for rung in report.apart])
    print_facts({rung.name: rung.apart for rung in report.apart})
    print_facts({"Remarks": "\n".join(report.remarks) or None, "Picture": report.picture})


@command(_print_ladder, opens_models=False)
def ladder(
    subjects: Annotated[
        list[Path], Argument(help="Runs, checkpoints or reports (.json).", autocompletion=run_folders)
    ],
    score: Annotated[str, Option("The score they are ordered by, as reports name it: fid, kid, ...")] = "fid",
    published: Annotated[
        Path | None, Option("YAML list of values from papers, with name, metric, value, num_samples, ...")
    ] = None,
    out: Annotated[Path | None, Option("Picture (PNG) of the score against what it cost.")] = None,
) -> LadderReport:
    """Put runs, reports and published values of one protocol into one table and picture.

    Ordered by one score, beside recall, obedience, calls of the network and training steps. What was measured
    otherwise stands apart, with the reason.

        facegen eval ladder runs/one runs/two runs/three
        facegen eval ladder runs/one my_images.json --score kid --out ladder.png
    """
    from facegen.evaluation.ladder import evaluate_ladder

    return evaluate_ladder(subjects, score, published, out)


@command(print_evaluation, many=True)
def metric(
    run: Run,
    metric: Annotated[str, Option("The metric, as package.module:Name.")],
    options: MetricOptions,
    progress: Progress,
) -> MetricReport:
    """Judge a run by a metric of your own, from any Python module.

    Faces are drawn for the labels of held-out people. The metric offers Config, build, update and compute
    (see examples/sixth_system); the real images with those labels are judged beside, where there are any.

        facegen eval metric run --metric my_lab.metrics:Sharpness --reference data
    """
    from facegen.evaluation.metric import evaluate_metric

    return evaluate_metric(run, metric, options, progress)


@command(print_evaluation, many=True)
def memorization(
    subject: Subject,
    train: Annotated[Path, Option("Data set the generator was trained on, unseen splits included.")],
    progress: Progress,
    options: MemorizationOptions = OF_TRAINING,
) -> MemorizationReport:
    """Find faces that are copies of training images, or of people in them.

    A face is flagged when its nearest training image, as it is or mirrored, is nearer than held-out real
    faces have theirs: of people who are not in the training set where the data name identities, otherwise of
    other pictures. A face encoder, where one is installed, also tells other pictures of training people. The
    nearest pairs are shown side by side.

        facegen eval memorization run --train data/celeba
        facegen eval memorization run --train data/celeba --people none
        facegen eval memorization run --train data/celeba --features inception
        facegen eval memorization my_images --train data/celeba --out pairs.png
    """
    from facegen.evaluation.memorization import evaluate_memorization

    options = replace(options, selection=replace(options.selection, data=train))
    return evaluate_memorization(subject, train, options, progress)


@command(print_evaluation, many=True)
def reconstruction(
    autoencoder: Annotated[
        str,
        Argument(help="A run, a folder of diffusers, a hub name, or 'identity'.", autocompletion=run_folders),
    ],
    dataset: RealFaces,
    options: ReconstructionOptions,
    progress: Progress,
) -> ReconstructionReport:
    """Measure what an autoencoder loses: PSNR, SSIM, a perceptual and a Fréchet distance.

    Means with intervals, the worst twentieth of the images, and a picture of the very worst. A generator on
    its latents can hardly do better.

        facegen eval reconstruction runs/ae data/celeba
        facegen eval reconstruction runs/ae data/celeba --distance classifier:judge
        facegen eval reconstruction vae_folder data/celeba --out vae.json
    """
    from facegen.evaluation.reconstruction import evaluate_reconstruction

    return evaluate_reconstruction(autoencoder, dataset, options, progress)


@command(print_evaluation)
def loss(
    run: Annotated[
        Path,
        Argument(help="A run of a denoiser or an autoencoder, or a checkpoint.", autocompletion=run_folders),
    ],
    options: LossOptions,
    progress: Progress,
) -> LossReport:
    """Measure the held-out loss once more, with its interval, image by image.

    The images and their noise are those of every validation while training, so that 'facegen compare' tells
    the difference of two runs far more surely than their losses.

        facegen eval loss runs/celeba
        facegen eval loss runs/celeba/checkpoints/step-00002000
    """
    from facegen.evaluation.loss import evaluate_loss

    return evaluate_loss(run, options, progress)
