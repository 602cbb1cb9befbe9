"""Training a VAE-GAN: reconstruction, then KL, then classes in the latent space, then a discriminator.

Kingma & Welling 2014 (VAE), Larsen et al. 2016 (arXiv:1512.09300, VAE-GAN), Wen et al. 2016 (centre loss).
The step is simultaneous: the generator's adversarial loss sees a discriminator with detached weights, the
discriminator's loss detached reconstructions, so that one backward pass gives each its own gradient.

Letters: B batch, H pixels a side, D latent entries, K classes.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from facegen.config.kinds import KindConfig, Section
from facegen.draws import Draws
from facegen.errors import DataError
from facegen.formats.classifier_run import CLASSIFIER_PREFIX
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import to_unit
from facegen.nn.class_head import ClassHead
from facegen.nn.discriminator import Discriminator, discriminator_loss, generator_loss
from facegen.placing import placed
from facegen.protocols import Batch
from facegen.tasks._images import TrainingImages
from facegen.tasks._reconstruction import Reconstruction, kl_divergence
from facegen.vocabulary.classes import class_numbers, classes_of

TRAINS_ON = "images"
CLASS_COLUMN = "class_column"  # the key of `Config` that names one
FIRST_PHASE = "reconstruction"


class Phases(Section):
    """Share of the run at which each phase begins, on top of those before it; 1 means never."""

    kl: float = Field(default=0.1, ge=0, le=1)
    """The KL loss."""
    classes: float = Field(default=0.3, ge=0, le=1)
    """The losses of classes and their centres."""
    adversarial: float = Field(default=0.5, ge=0, le=1)
    """The discriminator."""

    @model_validator(mode="after")
    def _in_order(self) -> Phases:
        if not self.kl <= self.classes <= self.adversarial:
            raise ValueError("the phases begin in the order kl, classes, adversarial")
        return self

    def at(self, done: float) -> str:
        """Name of the phase at `done`, the share of the run in [0, 1)."""
        begun = [name for name in Phases.model_fields if done >= getattr(self, name)]
        return begun[-1] if begun else FIRST_PHASE

    def strength(self, phase: str, done: float, ramp: float) -> float:
        """How strongly `phase`'s losses count: 0 until it begins, then up to 1 over `ramp` of the run."""
        begun = done - getattr(self, phase)
        if begun <= 0:
            return 0.0
        return 1.0 if begun >= ramp else begun / ramp


class PerceptualConfig(Section):
    """The network that images are compared through. None of its weights enter the checkpoint.

    `efficientnet-lite0`, trained on ImageNet, comes with the extra `imagenet`; `auto` is it where that is
    installed, else `random_vgg16`, which needs no file. `weights` of `vgg16` is a file of torchvision's
    (.pth, .safetensors) or a hub name; without it torch's own cache is looked into. `classifier:RUN` is a
    facegen attribute classifier.
    """

    network: str = "auto"
    """`auto`, `efficientnet-lite0`, `vgg16`, `random_vgg16` or `classifier:RUN`."""
    weights: str | None = None
    """File or hub name of vgg16's weights."""
    layers: tuple[str, ...] | None = None
    """Names of its maps that are compared; left out: the default ones of the network."""
    downscale: Literal[1, 2, 4] = 1
    """Pixels a side averaged first, which divides the cost by their square."""

    @model_validator(mode="after")
    def _network_known(self) -> PerceptualConfig:
        known = ("auto", "none", "efficientnet-lite0", "vgg16", "random_vgg16")
        if self.network not in known and not self.network.startswith(CLASSIFIER_PREFIX):
            raise ValueError(f"network is one of {', '.join(known)} or {CLASSIFIER_PREFIX}RUN")
        if self.weights is not None and self.network != "vgg16":
            raise ValueError("weights belong to the network 'vgg16'")
        if self.layers is not None and self.network == "auto":
            raise ValueError("layers belong to a network by name, not to 'auto'")
        return self


class Config(KindConfig, frozen=True):
    """Each weight is that of its loss once its phase's ramp is through; `ramp` is a share of the run."""

    kind: Literal["adversarial_autoencoding"] = "adversarial_autoencoding"
    class_column: str | None = None
    """A class column or a yes/no attribute; left out: no class losses."""
    phases: Phases = Phases()
    """When each phase begins."""
    ramp: float = Field(default=0.1, ge=0, le=1)
    """Share of the run in which a phase's weight rises."""
    l1_weight: float = Field(default=1.0, ge=0)
    """Of the mean absolute error."""
    mse_weight: float = Field(default=1.0, ge=0)
    """Of the mean squared error."""
    perceptual_weight: float = Field(default=0.1, ge=0)
    """Of the difference that the network of `perceptual` sees."""
    kl_weight: float = Field(default=1e-3, ge=0)
    """Of the divergence from a standard normal."""
    classifier_weight: float = Field(default=0.02, ge=0)
    """Of telling the class by the latent."""
    centre_weight: float = Field(default=0.01, ge=0)
    """Of the distance from the class's learned centre."""
    adversarial_weight: float = Field(default=0.02, ge=0)
    """Of fooling the discriminator."""
    r1_weight: float = Field(default=1.0, ge=0)
    """Of the discriminator's gradient at real images."""
    perceptual: PerceptualConfig = PerceptualConfig()
    """The network that images are compared through."""
    discriminator_widths: tuple[int, ...] = Field(default=(32, 64, 128, 256), min_length=1)
    """Channels of the discriminator's levels."""
    validation_images: int = Field(default=256, ge=1)
    """Held-out images that are measured."""

    def weights_at(self, done: float) -> dict[str, float]:
        """Weight of every loss that counts at `done`, the share of the run in [0, 1)."""
        begun = {name: self.phases.strength(name, done, self.ramp) for name in Phases.model_fields}
        weights = {
            "reconstruction": 1.0,
            "perceptual": self.perceptual_weight,
            "kl": self.kl_weight * begun["kl"],
            "classifier": self.classifier_weight * begun["classes"],
            "centre": self.centre_weight * begun["classes"],
            "adversarial": self.adversarial_weight * begun["adversarial"],
            "discriminator": float(begun["adversarial"] > 0),  # no ramp: it may be ahead of the generator
            "gradient_penalty": self.r1_weight / 2 * float(begun["adversarial"] > 0),
        }
        return {name: weight for name, weight in weights.items() if weight > 0}


class AdversarialAutoencodingTask:
    """`PhasedTask` whose module is `ModuleDict(autoencoder, discriminator, class_head)`.

    Without a class column there is no class head.

    Raises:
        UsageError: images of a size the autoencoder does not take or to be augmented, no such class column.
        MissingModelError: the perceptual network's weights are not to be had.
        DataError: a split that is missing or empty.
    """

    def __init__(self, config: Config, images: TrainingImages) -> None:
        self.config = config
        self.perceptual = images.load_perceptual(config.perceptual, images.size)
        self._images = Reconstruction(images)
        self.num_examples = self._images.num_examples
        self.classes: tuple[str, ...] = ()
        if config.class_column is not None:
            labels = images.dataset.manifest.labels
            self.classes = classes_of(labels, config.class_column, "task.class_column")
        self._numbers = self._class_numbers(images.train)[: self.num_examples]
        self._held_out = self._class_numbers(images.validation)[: config.validation_images]
        self._known_share = float((self._numbers < len(self.classes)).float().mean())
        if self.classes and self._known_share == 0:
            raise DataError(
                f"No training image has a known class in column '{config.class_column}'.",
                hint="Name another with --set task.class_column=..., or none: --set task.class_column=null",
            )

    def phase_at(self, done: float) -> str:
        """Name of the phase at `done`, the share of the run in [0, 1)."""
        return self.config.phases.at(done)

    def build_module(self) -> nn.Module:
        """Autoencoder, discriminator and class head with fresh weights."""
        parts = {
            "autoencoder": self._images.build_autoencoder(),
            "discriminator": Discriminator(self.config.discriminator_widths),
        }
        if self.classes:
            parts["class_head"] = ClassHead(len(self.classes), self._images.latent_shape[0])
        return nn.ModuleDict(parts)

    def autoencoder_in(self, module: nn.Module) -> nn.Module:
        return module.get_submodule("autoencoder")

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """`images` uint8 (B, 3, H, H), mirrored at random where asked, `noise` (B, D), `classes` (B,)."""
        return {**self._images.batch(indices, draws), "classes": placed(self._numbers[indices], draws.device)}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`loss` and the parts that count at `batch["done"]`, each before its weight."""
        parts: Any = module
        weights = self.config.weights_at(float(batch["done"][0]))
        x = to_unit(batch["images"])
        moments = parts["autoencoder"].encode(x)
        y = parts["autoencoder"].decode(moments.sample(batch["noise"]))
        losses = self._image_losses(x, y)
        if "kl" in weights:
            losses["kl"] = kl_divergence(moments)
        if self.classes and {"classifier", "centre"} & weights.keys():
            # A constant divisor, not the batch's own count of known classes: micro-batches add up exactly.
            pair = parts["class_head"].losses(moments.mean, batch["classes"])
            losses["classifier"], losses["centre"] = (each.mean() / self._known_share for each in pair)
        if "discriminator" in weights:
            discriminator = parts["discriminator"]
            losses["adversarial"] = generator_loss(discriminator, y)
            losses["discriminator"], losses["gradient_penalty"] = discriminator_loss(discriminator, x, y)
        total = [weights[name] * value for name, value in losses.items() if name in weights]
        return {"loss": torch.stack(total).sum(), **losses}

    @torch.inference_mode()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """Held-out reconstructions from the posterior's mean: `psnr` in dB, the mean image's, the losses;
        and how often the latent classifier is right, beside always the commonest class.

        "loss" is the reconstruction and perceptual part with its full weight, which no phase changes.
        """
        parts: Any = module
        answers: list[Tensor] = []

        def judge(x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            moments = parts["autoencoder"].encode(x)
            y = parts["autoencoder"].decode(moments.mean)
            if self.classes:
                answers.append(parts["class_head"](moments.mean).argmax(1).cpu())
            return {**self._image_losses(x, y), "kl": kl_divergence(moments)}, y

        scores = self._images.scores(self.config.validation_images, module, device, judge)
        loss = scores["reconstruction"] + self.config.perceptual_weight * scores.get("perceptual", 0.0)
        classes = self._class_scores(torch.cat(answers)) if answers else {}
        verdict = scores.pop("verdict")
        if classes:
            right, majority = classes["class_accuracy"], classes["class_majority"]
            verdict += f" Class told from the latent in {right:.1%} (always the commonest: {majority:.1%})."
        return {"loss": loss, **scores, **classes, "verdict": verdict}

    def _image_losses(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        error, config = y.float() - x, self.config
        l1, mse = error.abs().mean(), error.square().mean()
        losses = {"reconstruction": config.l1_weight * l1 + config.mse_weight * mse}
        if self.perceptual is not None and config.perceptual_weight > 0:
            losses["perceptual"] = self.perceptual.to(x.device)(x, y).mean()
        return losses

    def _class_numbers(self, split: DatasetSplit) -> Tensor:
        """(N,) int64; all of them 0, which counts as unknown, where there are no classes."""
        column = self.config.class_column
        if column is None:
            return torch.zeros(len(split), dtype=torch.int64)
        return class_numbers(split.frame, column, self.classes)

    def _class_scores(self, answers: Tensor) -> dict[str, float]:
        """Share of the held-out images of known class that the latent classifier tells right."""
        known = self._held_out < len(self.classes)
        truth = self._held_out[known]
        if not len(truth):
            return {}
        majority = torch.bincount(truth).max().item() / len(truth)
        accuracy = (answers[known] == truth).double().mean().item()
        return {"class_accuracy": accuracy, "class_majority": majority}


build = AdversarialAutoencodingTask
