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
    """Half of the images are mirrored."""
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    """Turned by up to so many degrees either way."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom; its logarithm is uniform."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Moved by up to this share of the side, in each direction."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Added to pixels in [-1, 1], or taken away, at most."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Share by which pixels move from or to middle grey, at most."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Share by which colours move from or to their grey, at most."""
    probability: float = Field(default=1.0, gt=0, le=1)
    """How likely each of the operations is done to an image."""
    tell_model: bool = False
    """The network learns what was done; sampling asks for nothing done."""

    @model_validator(mode="after")
    def _scale_around_one(self) -> AugmentationConfig:
        smallest, largest = self.scale
        if not 0.25 <= smallest <= 1 <= largest <= 4:
            raise ValueError("scale is [smallest, largest] with 0.25 <= smallest <= 1 <= largest <= 4")
        return self


class DataConfig(Section):
    """What is trained on; `path` is a latent folder, or a data set of images where pixels are trained on."""

    path: str | None = None
    """Folder of `facegen encode`, or of `facegen prepare` where pixels are trained on; as `--data`."""
    train_split: str = "train"
    """The split that is trained on."""
    validation_split: str = "validation"
    """The split whose loss is measured while training."""
    flip: bool = False
    """Half of the examples are mirrored: encoded flips of latents, or images."""
    augmentation: AugmentationConfig | None = None
    """For denoisers of pixels and classifiers; left out: none."""
    limit: int | None = Field(default=None, ge=1)
    """Train on so many examples alone; left out: on all."""


class DiffusionConfig(Section):
    """The Gaussian path `x_t = alpha(t) x0 + sigma(t) eps`, and what the network predicts on it.

    `flow` ignores `schedule`: alpha = 1 - t, sigma = t, target eps - x0 (rectified flow, Liu et al. 2022).
    """

    parameterisation: Literal["eps", "v", "x0", "flow"] = "eps"
    """What the network predicts."""
    schedule: Literal["linear", "scaled_linear", "squared_cosine", "sigmoid"] = "linear"
    """How the betas rise over the timesteps."""
    num_timesteps: int = Field(default=1000, ge=2, le=100_000)
    """Timesteps from clean to noise."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    """The first beta of the linear schedules."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """The last one."""
    timesteps: Literal["uniform", "logit_normal"] = "uniform"
    """How training draws its timesteps; `logit_normal` favours middle noise."""
    logit_normal_mean: float = 0.0
    """Below 0 favours little noise, above 0 much."""
    logit_normal_std: float = Field(default=1.0, gt=0)
    """Spread about that."""
    weighting: Literal["none", "min_snr"] = "none"
    """How errors count by noise level; `min_snr` is min(SNR, gamma), as in arXiv:2303.09556."""
    min_snr_gamma: float = Field(default=5.0, gt=0)
    """Gamma of that."""


class OptimizerConfig(Section):
    """`muon` steps the matrices inside the network at `matrix_lr`, and the rest as `adamw` at `lr`; the
    schedule is the same for both."""

    kind: Literal["adamw", "adam", "muon"] = "adamw"
    """The optimizer."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate after the warm-up."""
    matrix_lr: float = Field(default=0.02, gt=0)
    """Learning rate of the matrices, of muon alone."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decays of the running means of gradients and of their squares."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the denominator."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled from the gradient for adamw and muon."""
    lr_schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the rate falls in the decay."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps in which the rate rises to `lr`."""
    decay_fraction: float = Field(default=1.0, ge=0, le=1)
    """Share of the run, at its end, in which the rate decays."""
    final_lr_ratio: float = Field(default=0.0, ge=0, le=1)
    """Rate at the end, as a share of `lr`."""
    clip_grad_norm: float | None = Field(default=1.0, gt=0)
    """Longer gradients are cut to this norm; `null` leaves them."""


class EmaConfig(Section):
    """Exponential moving average, warmed up as `min(decay, (1 + step) / (10 + step))`, or with a
    `warmup_power` p as `min(decay, 1 - (1 + step)^-p)`.

    It is the one that is validated, previewed and saved. Power-function averages of relative `widths` (Karras
    et al. 2024, arXiv:2312.02696) are kept beside it in snapshots, of which `facegen ema` makes any width
    after training.
    """

    enabled: bool = True
    """Keep it at all."""
    decay: float = Field(default=0.9999, gt=0, lt=1)
    """Share of the average that each step keeps."""
    warmup_power: float | None = Field(default=None, gt=0, le=1)
    """Exponent p of the warm-up; left out: the warm-up without one."""
    widths: list[Annotated[float, Field(ge=0.01, le=0.25)]] = Field(default_factory=list)
    """Relative widths of further averages."""
    snapshots: int = Field(default=32, ge=1, le=256)
    """Snapshots of these, in the whole run."""

    @model_validator(mode="after")
    def _widths_are_of_use(self) -> EmaConfig:
        if self.widths and not self.enabled:
            raise ValueError("widths are kept beside the average: give both 'enabled: true' and 'widths'")
        if len(set(self.widths)) < len(self.widths):
            raise ValueError("widths names a width twice")
        return self


class TrainingConfig(Section):
    """How long, how much at once, and what is kept."""

    seed: int = Field(default=0, ge=0)
    """Weights at the start, order, noise and dropout come from it."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps of the run; exactly one of this and `epochs` is given."""
    epochs: int | None = Field(default=None, ge=1)
    """Times over the data."""
    batch_size: int = Field(default=64, ge=1)
    """Examples at once, shared out among the processes."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Batches per optimizer step."""
    precision: Literal["auto", "fp32", "fp16", "bf16", "fp64"] = "auto"
    """Number format of the matrix products; `auto` takes what the hardware is fast in."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Several processes: the model whole in each, or in shards."""
    compile: Literal["auto"] | bool = "auto"
    """`auto`: tried where training takes long, kept where it is faster."""
    log_every_steps: int = Field(default=50, ge=1)
    """How often numbers are written."""
    validate_every_steps: int = Field(default=1000, ge=1)
    """How often the held-out loss is measured."""
    preview_every_steps: int | None = Field(default=None, ge=1)
    """How often samples are drawn; left out: never."""
    preview_images: int = Field(default=16, ge=1)
    """How many of them."""
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    """How often the run is saved: every 1000, unless epochs are given."""
    checkpoint_every_epochs: int | None = Field(default=None, ge=1)
    """The same, by epochs."""
    keep_last: int = Field(default=2, ge=1)
    """Last checkpoints that are kept, beside the best."""
    roll_back_after_bad_steps: int = Field(default=10, ge=1)
    """Non-finite steps in a row after which the last good weights are taken again."""
    max_bad_steps: int = Field(default=25, ge=1)
    """Non-finite steps in a row that end the run."""
    weak_at: float | None = Field(default=None, gt=0, lt=1)
    """Share of the steps at which weights are put aside for `sampling.guidance_from: weak`."""
    freeze: list[str] = Field([])
    """Names of parameters that stay as they are, or patterns such as `denoiser.blocks.*`."""
    trackers: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = Field(["tensorboard"])
    """Who gets the numbers, beside metrics.jsonl."""

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
    """Its `kind`, and options of that."""
    steps: int = Field(default=20, ge=1)
    """Steps of the sampler."""
    guidance_scale: float = Field(default=1.0, ge=0)
    """How far answers are led away from those to no question; 1 is off."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Noise levels that guidance acts at, 0 clean to 1 pure noise."""
    guidance_from: Literal["model", "weak"] = "model"
    """Away from the model asked nothing, or from it as it was at `training.weak_at`."""
    clip_x0: float | None = Field(default=None, gt=0)
    """Bound of estimates of x0: 1 for pixels, none for latents."""


class ScoreConfig(Section):
    """How drawn faces are judged: `kind` is "attributes", which a `classifier`'s run judges, or a metric of
    `facegen eval` over features ("kid", "fid", ...), of the network `features` as `--features` names it."""

    kind: str
    """`attributes`, or a metric over features."""
    features: str | None = None
    """The network of the features; inception, unless a classifier is the judge."""
    classifier: str | None = None
    """The run that judges attributes."""

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
    """What is scored; nothing if empty."""
    every_steps: int = Field(default=1000, ge=1)
    """How often."""
    num_images: int = Field(default=256, ge=16)
    """Faces drawn each time."""
    reference: str | None = None
    """Data set of real images; left out, the data where they are images."""
    best_by: str = BY_LOSS
    """The loss, or the kind of a score."""
    stop_after: int | None = Field(default=None, ge=1)
    """Measurements in a row without a better one that end the run; left out: none do."""

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
    """Version of this format."""
    preset: str | None = None
    """The preset that it began with; filled in."""
    about: str = ""
    """One line about it, for lists."""
    task: dict[str, Any]
    """What is trained, by its `kind`."""
    data: DataConfig = DataConfig()
    autoencoder: dict[str, Any] | None = None
    """For autoencoders what is trained; for denoisers of pixels `identity`."""
    denoiser: dict[str, Any] | None = None
    """The network that is trained to denoise."""
    conditioner: dict[str, Any] | None = None
    """What it is told: attributes, a class, words, a picture, nothing."""
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
