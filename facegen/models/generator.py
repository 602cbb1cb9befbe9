"""A trained generator, ready to be asked for faces."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from facegen.config.kinds import explain, trust
from facegen.config.recipe import DataConfig, SamplingConfig
from facegen.diffusion.denoiser import Denoiser, Objective
from facegen.errors import UsageError, did_you_mean
from facegen.formats.images import to_uint8, to_unit
from facegen.models.faces import Faces
from facegen.models.fixed_rows import FixedRowsNetwork, conditioning_of, decoded, encoded, rows_for
from facegen.models.noise import Seed, noise_source
from facegen.models.recorded import RecordedNetwork
from facegen.models.side_by_side import calls_at_once
from facegen.models.walking import walk_of
from facegen.nn.strides import CALLS, STRIDE, Strides
from facegen.protocols import Autoencoder, Conditioner, ImageConditioner, Network, SampleConditioner
from facegen.types import (
    Asking,
    Blend,
    Conditioning,
    LabelSchema,
    LatentScaling,
    PromptReading,
    SamplerStep,
    SampleSpec,
)
from facegen.vocabulary.explanation import Explanation, explain_prompt, explain_reading

CPU = torch.device("cpu")
NO_DATA = DataConfig()
NO_GUIDANCE = (
    "A model that draws in few steps has the guidance and clipping of its teacher in it; it takes no other."
)
DEFAULT_BATCH = {"cpu": 32, "cuda": 256}


@dataclass(kw_only=True, eq=False, repr=False)
class FaceGenerator:
    """Denoiser, conditioner and autoencoder with everything between them: labels in, faces out.

    The noise of an image depends on its own seed alone and every network call has the same number of
    rows, so that the same seed and request give the same image in any batch.

    `module` is an `nn.ModuleDict` of "denoiser" and "conditioner", as the denoising task builds it, and of
    "stride" where it was trained to draw in few calls. All pieces are on `device`. `sampling` is its usual
    way of drawing, `data` what it was trained on, `described` what it was made by, as JSON. `source` is the
    run, checkpoint or pipeline it was loaded from, as it was named. `denoiser` is what samplers walk with;
    `network` is the module inside it. `weak` is the module as it was early in the run, for autoguidance.
    """

    module: nn.Module
    objective: Objective
    autoencoder: Autoencoder
    scaling: LatentScaling
    sample_spec: SampleSpec
    image_size: int  # height and width of the images in pixels
    sampling: SamplingConfig
    labels: LabelSchema
    data: DataConfig = NO_DATA
    described: Mapping[str, Any] = field(default_factory=dict[str, Any])
    device: torch.device = CPU
    weights_sha256: str | None = None
    step: int | None = None
    source: Path | None = None
    weak: nn.Module | None = None

    def __post_init__(self) -> None:
        parts: Any = dict(self.module.named_children())
        self.network: Network = parts["denoiser"]
        self.conditioner: Conditioner = parts["conditioner"]
        self._strides: Strides | None = parts.get(STRIDE)
        self._rows = rows_for(self.sample_spec.shape, self.device)
        self.denoiser = self._in_fixed_rows(self.network)
        self._drawing = self._in_fixed_rows(RecordedNetwork(self.network), side_by_side=True)
        self._weak_parts: Any = {} if self.weak is None else dict(self.weak.named_children())
        self._weak_drawing = None
        if self.weak is not None:
            self._weak_drawing = self._in_fixed_rows(self._weak_parts["denoiser"], side_by_side=True)

    @property
    def default_batch_size(self) -> int:
        """Images sampled together when nothing else is asked for: on a CPU, work for every thread."""
        if self.device.type == "cpu":
            return max(DEFAULT_BATCH["cpu"], self._rows * calls_at_once())
        return DEFAULT_BATCH.get(self.device.type, DEFAULT_BATCH["cpu"])

    def read(self, prompt: str) -> PromptReading:
        """What this model makes of a prompt, and what it does not understand."""
        return self.conditioner.read(prompt)

    def explain(self, prompt: str) -> Explanation:
        """The same phrase by phrase, with why; a prompt that is refused is explained as well."""
        labels = getattr(self.conditioner, "reads", None)
        if labels is not None:
            return explain_prompt(prompt, labels)
        try:
            return explain_reading(prompt, self.read(prompt))
        except UsageError as refusal:
            return Explanation(prompt, refusal=refusal)

    def inputs_for(self, reading: PromptReading, count: int = 1) -> Tensor:
        """Condition inputs (count, ...) that all ask for `reading`.

        Raises:
            UsageError: the reading has a label this model does not know.
        """
        row = self.conditioner.inputs_from(reading)
        return row.expand(count, *row.shape[1:])

    def reading_of(self, term: str) -> PromptReading:
        """What one term of a blend asks for: a class or attribute by its name, otherwise a prompt.

        Raises:
            UsageError: neither.
        """
        known = (*self.classes, *self.attributes)
        for name in known:
            if name.replace("_", " ").casefold() == term.replace("_", " ").strip().casefold():
                return PromptReading({name: 1.0}, ((term, name),))
        reading = self.read(term)
        if not reading.labels:
            hint = f"It knows: {', '.join(known)}." if known else None
            raise UsageError(f"This model does not know '{term}'.{did_you_mean(term, known)}", hint=hint)
        return reading

    def blend(self, weights: Mapping[str, float], count: int = 1) -> Blend:
        """Condition inputs (count, ...) that all ask for one mix of classes, attributes or prompts.

        The weights are scaled to sum to 1: `generator.blend({"Asian": 1, "White": 1}, 8)`.

        Raises:
            UsageError: a term this model does not know, a negative weight, or none above zero.
        """
        check_blend_weights(weights)
        total = sum(weights.values())
        rows = [self.inputs_for(self.reading_of(term)) for term in weights]
        return Blend.of_rows(rows, torch.tensor([[w / total for w in weights.values()]] * count))

    def inputs_of_images(self, images: Tensor) -> Tensor:
        """Condition inputs (N, ...) that ask for what uint8 images (N, 3, H, W) of the model's size show.

        Raises:
            UsageError: the model is not conditioned on pictures.
            MissingModelError, DataError: the image encoder is not to be had, or is another one.
        """
        conditioner: Any = self.conditioner
        if isinstance(conditioner, ImageConditioner):
            return conditioner.inputs_of_images(images)
        if not isinstance(conditioner, SampleConditioner):
            raise UsageError(
                f"This model is not conditioned on pictures, but on {self.trained_on}.",
                hint="Train one that is: facegen train --preset latent-vector --data LATENTS --run RUN",
            )
        means = encoded(self.autoencoder, to_unit(images), self.device)
        return conditioner.inputs_of(self.scaling.apply(means)).cpu()

    @property
    def trained_on(self) -> str:
        """What its condition was in training, in words."""
        return type(self.conditioner).__name__ if self.asking is None else self.asking.trained_on

    @property
    def asking(self) -> Asking | None:
        """How it is asked, where its conditioner says so."""
        return getattr(self.conditioner, "asking", None)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that its conditioner knows by name, which may be fewer than `labels` has."""
        return tuple(getattr(self.conditioner, "attributes", ()))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that its conditioner knows by name."""
        return tuple(getattr(self.conditioner, "classes", ()))

    @property
    def class_column(self) -> str | None:
        """The column that `classes` are of."""
        return getattr(self.conditioner, "column", None) if self.classes else None

    @property
    def takes_pictures(self) -> bool:
        """Whether the condition comes from a picture."""
        return isinstance(self.conditioner, SampleConditioner | ImageConditioner)

    def sample(
        self,
        request: str | Mapping[str, float] | None = None,
        count: int = 1,
        seed: int = 0,
        **settings: Any,
    ) -> Faces:
        """Faces of a class, attribute or prompt, of a blend, or of none; seeds from `seed` up.

            generator = load("runs/utkface")
            asian = generator.sample("Asian", 8)
            mixed = generator.sample({"Asian": 0.5, "White": 0.5}, 8, guidance_scale=2.0)

        `settings` are fields of a recipe's `sampling`, in place of the run's own. Words that the model does
        not understand are warned of.

        Raises:
            UsageError: as `blend`, or a setting that does not exist or is out of range.
        """
        terms = {request: 1.0} if isinstance(request, str) else request or {}
        if left := [word for term in terms for word in self.reading_of(term).not_understood]:
            warnings.warn(f"Not understood and left out: {', '.join(left)}.", stacklevel=2)
        inputs = self.blend(terms, count) if terms else self.conditioner.null_inputs(count)
        sampling = sampling_with(self.sampling, settings)
        words = request if isinstance(request, str) else ", ".join(f"{t} {w:g}" for t, w in terms.items())
        seeds = range(seed, seed + count)
        captions = tuple(f"{words}\nseed {each}".strip() for each in seeds)
        return Faces(self.generate(inputs, seeds, sampling), captions)

    def conditioning(self, inputs: Tensor | Blend, settings: SamplingConfig | None = None) -> Conditioning:
        """What the denoiser is told for condition `inputs` (B, ...), on this generator's device, walking as
        `settings` say; None: as usual."""
        with self._evaluating(), torch.no_grad():
            told = conditioning_of(self.conditioner, inputs, self._rows, self.device)
            return told if self._strides is None else self._strides(told, (settings or self.sampling).steps)

    @property
    def few_steps(self) -> tuple[int, ...]:
        """The only numbers of steps it can draw in, without guidance; empty where any will do."""
        return () if self._strides is None else CALLS

    def check(self, settings: SamplingConfig) -> None:
        """Refuse what a model that draws in few steps was not taught.

        Raises:
            UsageError: another sampler than euler, a number of steps it does not know, or guidance.
        """
        if self.few_steps:
            check_few_steps(settings)

    def trajectory(
        self,
        inputs: Tensor | Blend,
        seeds: Sequence[Seed],
        settings: SamplingConfig,
        negative_inputs: Tensor | None = None,
    ) -> Iterator[SamplerStep]:
        """Walk one batch from noise to samples: condition `inputs` (B, ...), one seed a row.

        Of a `Blend` the conditionings are interpolated, of a `SeedBetween` the noise. `negative_inputs`
        (B, ...) take the null condition's place in guidance. The states are on this generator's device and
        in the denoiser's scaled space; `decode` turns an x0 into images.

        Raises:
            UsageError: seeds or negative inputs are not as many as inputs, or more steps than timesteps.
        """
        return self._trajectory(self.denoiser, inputs, seeds, settings, negative_inputs)

    def _trajectory(
        self,
        model: Denoiser,
        inputs: Tensor | Blend,
        seeds: Sequence[Seed],
        settings: SamplingConfig,
        negative_inputs: Tensor | None,
    ) -> Iterator[SamplerStep]:
        if len(seeds) != len(inputs) or (negative_inputs is not None and len(negative_inputs) != len(inputs)):
            raise UsageError(f"{len(inputs)} requests need as many seeds and negatives, not {len(seeds)}.")
        null = self.conditioner.null_inputs(len(inputs)) if negative_inputs is None else negative_inputs
        self.check(settings)
        if self.few_steps and negative_inputs is not None:
            raise UsageError(NO_GUIDANCE, hint="Leave --negative out, or ask the model it was taught by.")
        condition, null_condition = (self.conditioning(rows, settings) for rows in (inputs, null))
        draw = self._noises(seeds)  # a sampler asks for each step's noise once, in order
        return walk_of(model, condition, null_condition, settings, self._weakly(null))(draw(), draw)

    def _weakly(self, inputs: Tensor | Blend) -> tuple[Denoiser, Conditioning] | None:
        """The model as it was early in the run, and what it is told for `inputs`."""
        if self._weak_drawing is None:
            return None
        conditioner = self._weak_parts["conditioner"]
        return self._weak_drawing, conditioning_of(conditioner, inputs, self._rows, self.device)

    def walks(
        self,
        inputs: Tensor | Blend,
        seeds: Sequence[Seed],
        settings: SamplingConfig,
        negative_inputs: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Iterator[tuple[slice, SamplerStep]]:
        """Every step of every batch, with its rows, for condition `inputs` (N, ...), one seed each.

        `negative_inputs` are one row for all (1, ...), or (N, ...). Who watches the network's layers walks a
        `trajectory`; here kernels may be replayed without it.

        Raises:
            UsageError: as `trajectory`.
        """
        size = batch_size or self.default_batch_size
        if negative_inputs is not None and len(negative_inputs) == 1:
            negative_inputs = negative_inputs.expand(len(inputs), *negative_inputs.shape[1:])
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            negative = None if negative_inputs is None else negative_inputs[rows]
            for step in self._trajectory(self._drawing, inputs[rows], seeds[rows], settings, negative):
                yield rows, step

    def generate(
        self,
        inputs: Tensor | Blend,
        seeds: Sequence[Seed],
        settings: SamplingConfig,
        negative_inputs: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Images uint8 (N, 3, H, W) on the CPU of what `walks` walks to.

        Raises:
            UsageError: as `trajectory`.
        """
        walks = self.walks(inputs, seeds, settings, negative_inputs, batch_size)
        images = [self.decode(step.x0) for _, step in walks if step.is_last]
        return torch.cat(images) if images else torch.empty(0, 3, self.image_size, self.image_size).byte()

    def noise(self, seeds: Sequence[Seed]) -> Tensor:
        """The noise (B, *S) that `trajectory` starts from."""
        return self._noises(seeds)()

    def _noises(self, seeds: Sequence[Seed]) -> Callable[..., Tensor]:
        """Every call, whatever its step, gives the next noise (B, *S)."""
        sources = [noise_source(seed, self.sample_spec.shape) for seed in seeds]
        return lambda *_: torch.stack([source() for source in sources]).to(self.device)

    def decode(self, x0: Tensor) -> Tensor:
        """Images uint8 (B, 3, H, W) on the CPU of scaled samples (B, *S)."""
        images = decoded(self.autoencoder, self.scaling.invert(x0), self.image_size, self.device)
        return to_uint8(images).cpu()

    def _in_fixed_rows(self, network: Network, *, side_by_side: bool = False) -> Denoiser:
        in_rows = FixedRowsNetwork(network, self._rows, side_by_side=side_by_side)

        def call(x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
            with self._evaluating():  # of all rows: threads share the module
                return in_rows(x_t, timestep, conditioning).float()

        return Denoiser.of(call, self.objective)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode for a call, so that previews leave a module in training as it was."""
        training = self.module.training
        if training:
            self.module.eval()
        try:
            yield
        finally:
            if training:
                self.module.train()


def sampling_with(usual: SamplingConfig, changes: Mapping[str, Any]) -> SamplingConfig:
    """The `usual` way of sampling with some settings replaced.

    Raises:
        UsageError: a setting that does not exist, or is out of range.
    """
    trust(changes)
    try:
        return SamplingConfig(**{**usual.model_dump(), **changes})
    except ValidationError as error:
        hint = "Guidance of 1 is off; 2 to 4 is customary." if "guidance_scale" in changes else None
        raise UsageError(explain(error, SamplingConfig, "sampling"), hint=hint) from error


def check_few_steps(settings: SamplingConfig) -> None:
    """Refuse what a model that draws in few steps cannot be taught.

    Raises:
        UsageError: another sampler than euler, a number of steps it does not know, or guidance.
    """
    if settings.sampler["kind"] != "euler" or settings.steps not in CALLS:
        raise UsageError(
            f"A model that draws in few steps takes {', '.join(map(str, CALLS))} of them by sampler 'euler', "
            f"not {settings.steps} by '{settings.sampler['kind']}'.",
            hint="Leave --sampler out, and choose one of these with --steps (sampling.steps in a recipe).",
        )
    if settings.guidance_scale != 1 or settings.clip_x0 is not None:
        raise UsageError(NO_GUIDANCE, hint="Leave --guidance out, or ask the model it was taught by.")


def check_blend_weights(weights: Mapping[str, float]) -> None:
    """Refuse what is no mix.

    Raises:
        UsageError: a weight that is negative or not finite, or none above zero.
    """
    for term, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(f"The weight of '{term}' in a blend is {weight:g}; it must be 0 or more.")
    if not sum(weights.values()) > 0:
        raise UsageError("A blend needs at least one weight above 0.", hint='Example: "Asian:0.5,White:0.5"')
