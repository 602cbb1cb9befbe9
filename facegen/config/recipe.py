"""The recipe: everything a training run depends on, validated before anything starts.

Sections that name a `kind` are checked against that kind's own `Config` (`facegen/<family>/<kind>.py`).
Other sections are the models below. Unknown keys are refused everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from facegen.config.documents import mapping_of
from facegen.config.kinds import Section, explain, kind_config, load_kind
from facegen.errors import UsageError

DEFAULT_CHECKPOINT_STEPS = 1000
BY_LOSS = "loss"  # the held-out loss decides which checkpoint is best
ATTRIBUTES = "attributes"  # the score that a classifier gives; every other one looks at features
DENOISING, FEW_STEP = "denoising", "few_step"
DRAWING_TASKS = (DENOISING, FEW_STEP)  # those whose runs draw faces
INCEPTION = "inception"  # the network whose features scores are published with

FAMILY_OF_SECTION = {
    "task": "tasks",
    "autoencoder": "autoencoders",
    "denoiser": "denoisers",
    "conditioner": "conditioners",
}


class AugmentationConfig(Section):
    """What is done to training images, drawn anew for every image of every epoch.

    `flip` mirrors half of the images; each other operation is done to an image with `probability`, by an
    amount that is uniform between nothing and plus or minus the given one. A `scale` above 1 together with
    `shift` is a random crop.
    """

    flip: bool = False
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    scale: tuple[float, float] = (1.0, 1.0)  # smallest and largest zoom; its logarithm is uniform
    shift: float = Field(default=0.0, ge=0, le=0.5)  # in each direction, as a share of the side
    brightness: float = Field(default=0.0, ge=0, le=1)  # added to pixels in [-1, 1]
    contrast: float = Field(default=0.0, ge=0, le=1)  # share by which pixels move from middle grey
    saturation: float = Field(default=0.0, ge=0, le=1)  # share by which colours move from their grey
    probability: float = Field(default=1.0, gt=0, le=1)
    tell_model: bool = False  # the network learns what was done; sampling asks for nothing done

    @model_validator(mode="after")
    def _scale_around_one(self) -> AugmentationConfig:
        smallest, largest = self.scale
        if not 0.25 <= smallest <= 1 <= largest <= 4:
            raise ValueError("scale is [smallest, largest] with 0.25 <= smallest <= 1 <= largest <= 4")
        return self


class DataConfig(Section):
    """What is trained on; `path` is a latent folder, or a data set of images where pixels are trained on."""

    path: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    flip: bool = False  # encoded flips for latents, mirroring for autoencoders and classifiers
    augmentation: AugmentationConfig | None = None  # for denoisers of pixels and classifiers
    limit: int | None = Field(default=None, ge=1)


class DiffusionConfig(Section):
    """The Gaussian path `x_t = alpha(t) x0 + sigma(t) eps`, and what the network predicts on it.

    `flow` ignores `schedule`: alpha = 1 - t, sigma = t, target eps - x0 (rectified flow, Liu et al. 2022).
    """

    parameterisation: Literal["eps", "v", "x0", "flow"] = "eps"
    schedule: Literal["linear", "scaled_linear", "squared_cosine", "sigmoid"] = "linear"
    num_timesteps: int = Field(default=1000, ge=2, le=100_000)
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    timesteps: Literal["uniform", "logit_normal"] = "uniform"
    logit_normal_mean: float = 0.0
    logit_normal_std: float = Field(default=1.0, gt=0)
    weighting: Literal["none", "min_snr"] = "none"
    min_snr_gamma: float = Field(default=5.0, gt=0)


class OptimizerConfig(Section):
    """`muon` steps the matrices inside the network at `matrix_lr`, and the rest as `adamw` at `lr`; the
    schedule is the same for both."""

    kind: Literal["adamw", "adam", "muon"] = "adamw"
    lr: float = Field(default=1e-4, gt=0)
    matrix_lr: float = Field(default=0.02, gt=0)  # of muon alone
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    lr_schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    decay_fraction: float = Field(default=1.0, ge=0, le=1)  # of the run, at its end, in which lr decays
    final_lr_ratio: float = Field(default=0.0, ge=0, le=1)
    clip_grad_norm: float | None = Field(default=1.0, gt=0)


class EmaConfig(Section):
    """Exponential moving average, warmed up as `min(decay, (1 + step) / (10 + step))`, or with a
    `warmup_power` p as `min(decay, 1 - (1 + step)^-p)`.

    It is the one that is validated, previewed and saved. Power-function averages of relative `widths` (Karras
    et al. 2024, arXiv:2312.02696) are kept beside it in snapshots, of which `facegen ema` makes any width
    after training.
    """

    enabled: bool = True
    decay: float = Field(default=0.9999, gt=0, lt=1)
    warmup_power: float | None = Field(default=None, gt=0, le=1)
    widths: list[Annotated[float, Field(ge=0.01, le=0.25)]] = Field(default_factory=list)
    snapshots: int = Field(default=32, ge=1, le=256)  # of the widths, in the whole run

    @model_validator(mode="after")
    def _widths_are_of_use(self) -> EmaConfig:
        if self.widths and not self.enabled:
            raise ValueError("widths are kept beside the average: give both 'enabled: true' and 'widths'")
        if len(set(self.widths)) < len(self.widths):
            raise ValueError("widths names a width twice")
        return self


class TrainingConfig(Section):
    seed: int = Field(default=0, ge=0)
    max_steps: int | None = Field(default=None, ge=1)  # exactly one of max_steps and epochs
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)
    accumulation_steps: int = Field(default=1, ge=1)  # micro-batches per optimizer step
    precision: Literal["auto", "fp32", "fp16", "bf16", "fp64"] = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"  # several processes: the model whole in each, or in shards
    compile: Literal["auto"] | bool = "auto"  # auto: tried on CUDA, kept where it is faster
    log_every_steps: int = Field(default=50, ge=1)
    validate_every_steps: int = Field(default=1000, ge=1)
    preview_every_steps: int | None = Field(default=None, ge=1)
    preview_images: int = Field(default=16, ge=1)
    checkpoint_every_steps: int | None = Field(default=None, ge=1)  # 1000, unless epochs are given
    checkpoint_every_epochs: int | None = Field(default=None, ge=1)
    keep_last: int = Field(default=2, ge=1)
    roll_back_after_bad_steps: int = Field(default=10, ge=1)  # in a row: to the last good weights
    max_bad_steps: int = Field(default=25, ge=1)  # non-finite steps in a row before the run stops
    weak_at: float | None = Field(default=None, gt=0, lt=1)  # share of the steps; see guidance_from
    freeze: list[str] = Field([])  # names, or patterns such as "denoiser.blocks.*", of untrained parameters
    trackers: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = Field(
        ["tensorboard"]
    )  # beside metrics.jsonl

    @model_validator(mode="before")
    @classmethod
    def _default_interval(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("checkpoint_every_epochs") is None:
            every = data.get("checkpoint_every_steps")
            return {**data, "checkpoint_every_steps": DEFAULT_CHECKPOINT_STEPS if every is None else every}
        return data

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if (self.max_steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of 'max_steps' and 'epochs'")
        if self.checkpoint_every_steps is not None and self.checkpoint_every_epochs is not None:
            raise ValueError("give one of 'checkpoint_every_steps' and 'checkpoint_every_epochs'")
        return self


class SamplingConfig(Section):
    """Defaults for previews, `facegen sample` and `facegen eval`."""

    sampler: dict[str, Any] = Field(default_factory=lambda: {"kind": "dpmpp_2m"})
    steps: int = Field(default=20, ge=1)
    guidance_scale: float = Field(default=1.0, ge=0)
    guidance_interval: tuple[float, float] = (0.0, 1.0)  # of noise level, 0 clean .. 1 pure noise
    guidance_from: Literal["model", "weak"] = "model"  # asked nothing; weak: as it was at training.weak_at
    clip_x0: float | None = Field(default=None, gt=0)  # bound of estimates of x0: 1 for pixels


class ScoreConfig(Section):
    """How drawn faces are judged: `kind` is "attributes", which a `classifier`'s run judges, or a metric of
    `facegen eval` over features ("kid", "fid", ...), of the network `features` as `--features` names it."""

    kind: str
    features: str | None = None  # inception, unless a classifier is the judge
    classifier: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_features(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(kind := data.get("kind"), str):
            kind = kind if ":" in kind else kind.replace("-", "_")
            if kind != ATTRIBUTES and data.get("features") is None:
                data = {**data, "features": INCEPTION}
            return {**data, "kind": kind}
        return data

    @model_validator(mode="after")
    def _one_judge(self) -> ScoreConfig:
        by_classifier = self.kind == ATTRIBUTES
        if (self.classifier is not None) != by_classifier or (self.features is not None) == by_classifier:
            raise ValueError(
                f"'{ATTRIBUTES}' takes a 'classifier' (a run) and no 'features', any other score 'features' "
                "and no 'classifier'"
            )
        return self

    def shared(self) -> ScoreConfig:
        """Without the place on this machine that a judge is at."""
        prefix, colon, run = (self.features or "").partition(":")
        return ScoreConfig(
            kind=self.kind,
            features=self.features and f"{prefix}{colon}{Path(run).name}",
            classifier=self.classifier and Path(self.classifier).name,
        )


class ScoringConfig(Section):
    """What faces score that are drawn while training, by the averaged weights, for held-out labels and with
    seeds that stay the same. What the scores depend on beside the weights stands in `docs/scoring.md`.

    `best_by` is the "loss" or the kind of one of the `scores`; its first number decides which checkpoint is
    best, and ends the run after `stop_after` measurements in a row that were not better.
    """

    scores: list[ScoreConfig] = Field(default_factory=list[ScoreConfig])
    every_steps: int = Field(default=1000, ge=1)
    num_images: int = Field(default=256, ge=16)
    reference: str | None = None  # data set of real images; left out, the data where they are images
    best_by: str = BY_LOSS
    stop_after: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _known_scores(self) -> ScoringConfig:
        kinds = [score.kind for score in self.scores]
        if len(set(kinds)) < len(kinds):
            raise ValueError("each kind of score once")
        if self.best_by not in (BY_LOSS, *kinds):
            raise ValueError(f"'best_by' is one of {', '.join([BY_LOSS, *kinds])}, not '{self.best_by}'")
        return self

    def shared(self) -> ScoringConfig:
        """Without the places on this machine."""
        scores = [score.shared() for score in self.scores]
        return self.model_copy(update={"scores": scores, "reference": None})


class Recipe(Section):
    """A complete training recipe. `task.kind` says which of the optional sections are needed."""

    format_version: Literal[1] = 1
    preset: str | None = None
    about: str = ""
    task: dict[str, Any]
    data: DataConfig = DataConfig()
    autoencoder: dict[str, Any] | None = None
    denoiser: dict[str, Any] | None = None
    conditioner: dict[str, Any] | None = None
    diffusion: DiffusionConfig = DiffusionConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EmaConfig = EmaConfig()
    training: TrainingConfig
    sampling: SamplingConfig = SamplingConfig()
    scoring: ScoringConfig = ScoringConfig()

    @model_validator(mode="after")
    def _whole_matrices(self) -> Recipe:
        if self.optimizer.kind == "muon" and self.training.parallel == "fsdp":
            raise ValueError("optimizer.kind 'muon' needs whole matrices: training.parallel is then 'ddp'")
        return self

    def shared(self) -> dict[str, Any]:
        """The recipe as files that people share tell it: without places of data, judges, teachers here."""
        told = self.model_copy(update={"scoring": self.scoring.shared()}).model_dump(mode="json")
        if "teacher" in told["task"]:
            told["task"] = {**told["task"], "teacher": None}
        return {**told, "data": {**told["data"], "path": None}}

    def section(self, name: str) -> Any:
        """Return the validated kind config of section `name` ("denoiser", "task", ...).

        Raises:
            UsageError: the recipe has no such section, or it does not validate.
        """
        data = getattr(self, name)
        if data is None:
            raise UsageError(f"This recipe has no '{name}' section, which its task needs.")
        return kind_config(FAMILY_OF_SECTION[name], data)


def parse_recipe(data: dict[str, Any]) -> Recipe:
    """Validate a whole recipe, kind sections included, and fill in every default.

    Raises:
        UsageError: unknown keys, wrong types or values, unknown kinds; says which and what is allowed.
    """
    if mapping_of(data) is None:
        raise UsageError(f"A recipe's sections have names: {', '.join(Recipe.model_fields)}.")
    try:
        recipe = Recipe(**data)
    except ValidationError as error:
        raise UsageError(explain(error, Recipe, "recipe")) from error
    resolved = recipe.model_dump(mode="json")
    for name in FAMILY_OF_SECTION:
        if resolved.get(name) is not None:
            resolved[name] = recipe.section(name).model_dump(mode="json")
    for score in recipe.scoring.scores:
        load_kind("metrics", score.kind)
    sampler = kind_config("samplers", recipe.sampling.sampler)
    resolved["sampling"]["sampler"] = sampler.model_dump(mode="json")
    return Recipe(**resolved)
