"""`facegen eval all`, `fid`, `kid`, `precision-recall`, `inception-score` and `fd-dinov2`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.evaluate.options import Reference, Subject
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import ComparisonOptions, DistributionOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.distribution import DistributionReport
    from facegen.evaluation.sweep import SweepReport
    from facegen.protocols import Progress

Sweep = Annotated[
    str | None,
    Option(
        "Score the run at several settings: guidance=1,1.5,2,3 or steps=10,20,50.",
        "Sweep (of a run)",
        metavar="NAME=VALUES",
    ),
]


def _score(
    subject: Path,
    reference: Path,
    metrics: tuple[str, ...] | None,
    options: DistributionOptions,
    sweep: str | None,
    progress: Progress,
    *,
    name: str | None = None,
) -> DistributionReport | SweepReport:
    """The evaluation, or the sweep; `metrics` None are all that the features allow."""
    if sweep is not None:
        from facegen.evaluation.sweep import read_sweep, sweep_distribution

        return sweep_distribution(subject, reference, read_sweep(sweep), metrics, options, progress)
    from facegen.evaluation.distribution import evaluate_distribution

    return evaluate_distribution(subject, reference, metrics, options, progress, name=name)


def _scoring(
    name: str, metrics: tuple[str, ...] | None, doc: str, features: str = "inception"
) -> Callable[..., None]:
    """A command that scores by `metrics`."""
    start = DistributionOptions(features=features)

    def score(
        subject: Subject,
        reference: Reference,
        progress: Progress,
        options: DistributionOptions = start,
        sweep: Sweep = None,
    ) -> DistributionReport | SweepReport:
        return _score(subject, reference, metrics, options, sweep, progress)

    score.__name__, score.__doc__ = name, doc
    return command(print_evaluation)(score)


@command(print_evaluation)
def fd_dinov2(
    subject: Subject,
    reference: Reference,
    progress: Progress,
    options: ComparisonOptions,
    sweep: Sweep = None,
) -> DistributionReport | SweepReport:
    """The Fréchet distance in DINOv2's features, which follows people's judgement better than Inception's.

    Stein et al. 2023 (arXiv:2306.04675). The network comes from torch.hub's cache.

        facegen eval fd-dinov2 run --reference data/celeba --num-samples 10000
    """
    dinov2 = DistributionOptions(features="dinov2", **vars(options))
    return _score(subject, reference, ("fid",), dinov2, sweep, progress, name="fd-dinov2")


COMMANDS = (
    _scoring(
        "all",
        None,
        """All scores of closeness that the features allow, from one drawing of the images.

        FID, KID, precision and recall, density and coverage, and with Inception features the Inception score.

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
        features="vgg16",  # as published
    ),
    _scoring(
        "inception_score",
        ("inception_score",),
        """The Inception score, as published: higher is better.

        Its classes are ImageNet's, so of faces it says little; here to compare with papers. Needs Inception.

            facegen eval inception-score run --reference data/celeba --num-samples 5000
        """,
    ),
    fd_dinov2,
)
