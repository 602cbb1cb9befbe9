"""Training a denoiser on stored latents or on pixels: noise them, predict the target, compare in float32.

Letters: B batch, N examples, *S sample shape, K numbers that describe an augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import Denoiser, Objective
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import to_unit
from facegen.formats.latents import LatentSplit, LatentStore
from facegen.nn.augmentation import Augmentation
from facegen.placing import placed
from facegen.protocols import Autoencoder, Batch, Conditioner, SampleConditioner
from facegen.types import LatentScaling
from facegen.wording import number_text

if TYPE_CHECKING:
    import pandas as pd

TRAINS_ON = "samples"
NUM_NOISE_LEVELS = 10
VALIDATION_BATCH = 256
VALIDATION_SEED = 20_240_501  # fixed: scores of different runs are comparable
MEAN_EXAMPLES = 4096  # latents averaged for the mean predictor
HARDLY_BETTER = 0.98  # of the trivial loss


class Config(KindConfig, frozen=True):
    kind: Literal["denoising"] = "denoising"
    validation_examples: int = Field(default=256, ge=1)
    """Held-out examples whose loss is measured."""


class LatentSamples:
    """One split's latents in the denoiser's scaled space, drawn from the stored moments."""

    def __init__(self, split: LatentSplit, scaling: LatentScaling, *, flip: bool = False) -> None:
        self._split, self._scaling, self._flip = split, scaling, flip

    @property
    def frame(self) -> pd.DataFrame:
        """Labels, a row an example."""
        return self._split.frame

    def __len__(self) -> int:
        return len(self._split)

    def draw(self, indices: Tensor, draws: Draws) -> tuple[Tensor, None]:
        """Examples `indices` (B,) for training (B, *S), mirrored where asked; nothing is told of that."""
        flipped = draws.uniform(device="cpu") < 0.5 if self._flip else None
        return self._sampled(indices, draws, flipped), None

    def held_out(self, indices: Tensor, draws: Draws) -> Tensor:
        """Examples (B, *S) for scoring: nothing is done to them."""
        return self._sampled(indices, draws, None)

    def means(self, indices: Tensor) -> Tensor:
        """The examples without the noise of a posterior (B, *S)."""
        return self._scaling.apply(self._split.gather(indices).mean)

    def _sampled(self, indices: Tensor, draws: Draws, flipped: Tensor | None) -> Tensor:
        stored = self._split.stored(indices, flipped)
        mean, log_variance = (placed(part, draws.device) for part in (stored.mean, stored.log_variance))
        noise = draws.normal(*mean.shape[1:])
        # `LatentMoments.sample` in place: a batch is larger than a cache, and each pass reads it from memory
        return self._scaling.apply(log_variance.float().mul_(0.5).exp_().mul_(noise).add_(mean))


class PixelSamples:
    """One split's images as [-1, 1] pixels, in colour or grey as `autoencoder` (an identity) gives them.

    `augmentation` is drawn anew each time an image is; held-out images are never augmented.
    """

    def __init__(
        self, split: DatasetSplit, autoencoder: Autoencoder, *, augmentation: Augmentation | None = None
    ) -> None:
        self._split, self._autoencoder, self._augmentation = split, autoencoder, augmentation

    @property
    def frame(self) -> pd.DataFrame:
        """Labels, a row an example."""
        return self._split.frame

    def __len__(self) -> int:
        return len(self._split)

    def draw(self, indices: Tensor, draws: Draws) -> tuple[Tensor, Tensor | None]:
        """As `LatentSamples.draw`, and what was done to each image (B, K) where the model is to be told."""
        augmentation = self._augmentation
        if augmentation is None:
            return self._on(draws.device, indices), None
        parameters = augmentation.draw(draws)
        images = augmentation.apply(self._images(indices, draws.device), parameters)
        told = placed(parameters, draws.device) if augmentation.tell_model else None
        return self._autoencoder.encode(images).mean, told

    def held_out(self, indices: Tensor, draws: Draws) -> Tensor:
        return self._on(draws.device, indices)

    def means(self, indices: Tensor) -> Tensor:
        return self._on(torch.device("cpu"), indices)

    def _on(self, device: torch.device, indices: Tensor) -> Tensor:
        return self._autoencoder.encode(self._images(indices, device)).mean

    def _images(self, indices: Tensor, device: torch.device) -> Tensor:
        return to_unit(placed(self._split.images(indices, keep=True), device))


Samples = LatentSamples | PixelSamples
"""One split of whatever is diffused. All randomness comes from the draws that are handed in."""


def latent_samples(latents: LatentStore, split: str, *, flip: bool = False) -> LatentSamples:
    """One split of a latent folder.

    Raises:
        DataError: the split is missing or empty.
        UsageError: flips asked for that were not encoded.
    """
    if flip and not latents.index.flips:
        raise UsageError(
            "data.flip is on, but these latents were encoded without their mirror images.",
            hint="Encode again with --flips, or train with --set data.flip=false.",
        )
    examples = latents.split(split)
    if len(examples) == 0:
        raise DataError(
            f"The latents have no examples in their '{split}' split.",
            hint="Choose another with --set data.train_split=... or data.validation_split=..., "
            "or prepare the data again with --splits.",
        )
    return LatentSamples(examples, latents.index.scaling, flip=flip)


class DenoisingTask:
    """`TrainingTask` of `build_denoiser()` and `conditioner` on the first `limit` examples of `train`.

    Its module is `ModuleDict(denoiser, conditioner)`.

    Where the model is told about augmentation, a bias-free linear layer "augmentation" adds that to the
    conditioning vector (Karras et al. 2022, arXiv:2206.00364, appendix F.2). Zero means untouched, so that
    validation and sampling need neither the numbers nor the layer. `num_told` is K, how many there are.

    Raises:
        UsageError: there is something to tell, and the conditioner gives no vector to add it to.
    """

    def __init__(
        self,
        config: Config,
        *,
        train: Samples,
        validation: Samples,
        limit: int | None,
        objective: Objective,
        conditioner: Conditioner,
        build_denoiser: Callable[[], nn.Module],
        num_told: int = 0,
    ) -> None:
        if num_told and conditioner.spec.vector_dim is None:
            raise UsageError(
                "data.augmentation.tell_model needs a conditioner that gives a vector, "
                "and this one gives none.",
                hint="--set conditioner.kind=class_label where the data has classes, "
                "otherwise --set data.augmentation.tell_model=false",
            )
        self._objective, self._conditioner, self._build_denoiser = objective, conditioner, build_denoiser
        self._train, self._num_told = train, num_told
        # A conditioner that looks at the sample has nothing to prepare from the labels.
        self._inputs = None if isinstance(conditioner, SampleConditioner) else conditioner.inputs(train.frame)
        self.num_examples = min(len(train), limit or len(train))
        self._validation = self._fixed_examples(validation, config.validation_examples)

    def build_module(self) -> nn.Module:
        """The denoiser, freshly initialised, beside the conditioner it is trained with."""
        conditioner = self._conditioner
        if not isinstance(conditioner, nn.Module):
            raise TypeError("a conditioner must be an nn.Module")
        parts = {"denoiser": self._build_denoiser(), "conditioner": conditioner}
        if self._num_told:
            parts["augmentation"] = nn.Linear(self._num_told, conditioner.spec.vector_dim or 0, bias=False)
        return nn.ModuleDict(parts)

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """x0, noise (B, *S), timestep (B,) and condition inputs (B, ...), dropout and augmentation done."""
        x0, augmentation = self._train.draw(indices, draws)
        noise = draws.normal(*x0.shape[1:])
        timestep = self._objective.timesteps(draws.uniform())
        inputs = self._inputs_of(x0) if self._inputs is None else self._inputs[indices]
        inputs = placed(self._conditioner.drop(inputs, draws), draws.device)
        batch = {"x0": x0, "noise": noise, "timestep": timestep, "inputs": inputs}
        return batch if augmentation is None else {**batch, "augmentation": augmentation}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weighted squared error between output and target."""
        error = self._squared_error(module, batch)
        return {"loss": (error * self._objective.loss_weight(batch["timestep"])).mean()}

    @torch.no_grad()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """Loss per noise level, beside what predicting zero or the mean of the data would give.

        "loss", "zero_loss" and "trivial_loss" (the better trivial predictor of each level) are means over
        noise levels with the training weight.
        """
        levels = self._noise_levels()
        weights = self._objective.loss_weight(levels)
        rows: dict[str, list[float]] = {"model": [], "zero": [], "mean": [], "x0_mean": []}
        for level in levels:
            for name, value in self._errors_at(module, level, device).items():
                rows[name].append(value)
        means = [min(pair) for pair in zip(rows["mean"], rows["x0_mean"], strict=True)]
        floor = [min(pair) for pair in zip(rows["zero"], means, strict=True)]
        loss, zero, trivial = (
            (torch.tensor(values) * weights).mean().item() for values in (rows["model"], rows["zero"], floor)
        )
        return {
            "loss": loss,
            "zero_loss": zero,
            "trivial_loss": trivial,
            "better_than_trivial": loss < HARDLY_BETTER * trivial,
            "verdict": _verdict(loss, zero, trivial),
            "noise_levels": [round(level, 4) for level in self._objective.path.noise_level(levels).tolist()],
            "loss_per_level": rows["model"],
            "zero_predictor_per_level": rows["zero"],
            "mean_predictor_per_level": means,
        }

    @torch.no_grad()
    def losses_by_image(self, module: nn.Module, device: Any) -> Tensor:
        """Of each held-out example what "loss" of `validate` is the mean of, float32 (N,)."""
        levels = self._noise_levels()
        total = torch.zeros(len(self._validation["x0"]))
        for level, weight in zip(levels, self._objective.loss_weight(levels), strict=True):
            parts = [self._squared_error(module, batch) for batch in self._held_out_at(level, device)]
            total += weight * torch.cat(parts).float().cpu()
        return total / len(levels)

    def _noise_levels(self) -> Tensor:
        """Timesteps in the middles of equal parts of the path, clean to noisy."""
        middles = (torch.arange(NUM_NOISE_LEVELS, dtype=torch.float32) + 0.5) / NUM_NOISE_LEVELS
        return self._objective.path.timesteps(middles)

    def _inputs_of(self, x0: Tensor) -> Tensor:
        conditioner: Any = self._conditioner
        return conditioner.inputs_of(x0)

    @cached_property
    def _mean(self) -> Tensor:
        """The mean (1, *S) of the training examples, or of `MEAN_EXAMPLES` of them."""
        indices = torch.randperm(self.num_examples, generator=_validation_generator())[:MEAN_EXAMPLES]
        chunks = indices.sort().values.split(VALIDATION_BATCH)
        total = torch.stack([self._train.means(chunk).sum(0, dtype=torch.float64) for chunk in chunks]).sum(0)
        return (total / len(indices)).float().unsqueeze(0)

    def _fixed_examples(self, samples: Samples, count: int) -> Batch:
        """The same held-out samples, noise and conditions at every validation."""
        indices = torch.randperm(len(samples), generator=_validation_generator())[:count].sort().values
        draws = Draws(VALIDATION_SEED, indices)
        x0 = samples.held_out(indices, draws)
        noise = draws.normal(*x0.shape[1:])
        if self._inputs is None:
            inputs = self._inputs_of(x0)
        else:
            inputs = self._conditioner.inputs(samples.frame.iloc[indices.tolist()])
        return {"x0": x0, "noise": noise, "inputs": inputs}

    def _squared_error(self, module: nn.Module, batch: Batch) -> Tensor:
        x0, noise, timestep = batch["x0"], batch["noise"], batch["timestep"]
        parts: Any = module
        conditioning = parts["conditioner"](batch["inputs"])
        if "augmentation" in batch:
            told = parts["augmentation"](batch["augmentation"])  # (B, D)
            conditioning = replace(conditioning, vector=conditioning.vector + told)
        denoiser = Denoiser.of(parts["denoiser"], self._objective)
        return denoiser.squared_error(x0, noise, timestep, conditioning)

    def _errors_at(self, module: nn.Module, level: Tensor, device: Any) -> dict[str, float]:
        """Mean squared errors at one timestep: the model's and those of the trivial predictors."""
        totals: dict[str, Tensor] = {}
        count = self._validation["x0"].shape[0]
        mean = self._mean.to(device)
        for batch in self._held_out_at(level, device):
            errors = {"model": self._squared_error(module, batch), **_trivial(self._objective, batch, mean)}
            for name, value in errors.items():
                totals[name] = totals.get(name, torch.zeros((), device=device)) + value.sum()
        return {name: (total / count).item() for name, total in totals.items()}

    def _held_out_at(self, level: Tensor, device: Any) -> Iterator[Batch]:
        """The fixed held-out examples in batches, all at one timestep."""
        for start in range(0, len(self._validation["x0"]), VALIDATION_BATCH):
            batch = {
                name: value[start : start + VALIDATION_BATCH].to(device)
                for name, value in self._validation.items()
            }
            yield {**batch, "timestep": level.to(device).expand(batch["x0"].shape[0])}


build = DenoisingTask


def _trivial(objective: Objective, batch: Batch, mean: Tensor) -> dict[str, Tensor]:
    """Squared errors (B,) of three predictors that know nothing of the sample but the data's mean.

    zero: output 0. mean: the target's own mean over data and noise. x0_mean: x0 = mean, and the noise
    that then explains x_t; all parameterisations' targets are linear in (x0, eps), so `target` reads it.
    """
    x0, noise, timestep = batch["x0"], batch["noise"], batch["timestep"]
    target = objective.target(x0, noise, timestep)
    mean = mean.expand_as(x0)
    alpha, sigma = objective.path.columns(timestep, x0)
    explained = noise + (alpha / sigma) * (x0 - mean)
    return {
        "zero": _mean_square(target),
        "mean": _mean_square(target - objective.target(mean, torch.zeros_like(noise), timestep)),
        "x0_mean": _mean_square(target - objective.target(mean, explained, timestep)),
    }


def _validation_generator() -> Generator:
    return Generator().manual_seed(VALIDATION_SEED)


def _mean_square(difference: Tensor) -> Tensor:
    return difference.float().square().flatten(1).mean(1)


def _verdict(loss: float, zero: float, trivial: float) -> str:
    told = f"validation loss {number_text(loss)}"
    if not loss < HARDLY_BETTER * zero:
        return f"{told}: no better than predicting zero ({number_text(zero)})"
    if not loss < HARDLY_BETTER * trivial:
        return f"{told}: no better than zero or the data's mean ({number_text(trivial)})"
    below = 100 * (1 - loss / trivial)
    return f"{told}: {below:.0f} % below the trivial floor ({number_text(trivial)})"
