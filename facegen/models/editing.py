"""Photos that a generator draws again with something else asked: everything between pixels and the walk.

Where an edit changes nothing, the photo's own pixels come back, with what the autoencoder loses of them;
where it does, that would let the old face shine through, and is left out. Shapes: images (B, 3, H, W).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, avg_pool2d, interpolate

from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.inversion import Inversion, invert, redraw
from facegen.diffusion.walk import at, moves, trailing
from facegen.formats.images import to_unit
from facegen.models.fixed_rows import encoded
from facegen.models.generator import FaceGenerator
from facegen.models.walking import bound
from facegen.samplers.euler import Euler
from facegen.types import Conditioning, SamplerStep

CHANGED_LEVELS = 12.0  # grey levels of 0 to 255; where an edit changes as much, 37 % of the loss come back


@dataclass(frozen=True, eq=False)
class EditablePhotos:
    """Photos, uint8 (B, 3, H, W), with their walk into noise as what `told` says they show.

    `plain` are they after the autoencoder alone, uint8. `where` (H, W) in [0, 1] is not 0 where there may be
    change; None is everywhere.
    """

    generator: FaceGenerator
    images: Tensor
    plain: Tensor
    told: Conditioning
    settings: SamplingConfig
    inversion: Inversion
    where: Tensor | None = None

    def redrawn(self, inputs: Tensor, strength: float) -> Iterator[SamplerStep]:
        """Walk down from `strength` with condition `inputs` (B, ...), led away from what the photos show.

        `finished` makes pictures of the last x0.
        """
        cells = None if self.where is None else _cells(self.where, self.generator)
        steps = steps_of(strength, self.settings.steps)
        return redraw(self._led_to(inputs), self.inversion, steps, cells)

    def region(self, inputs: Tensor, share: float) -> Tensor:
        """The `share` of the picture that condition `inputs` (B, ...) are about: (H, W), 1 there and else 0.

        It is where slopes differ most from those of what the photos show, over all levels of the photos' own
        walk: the mask of Couairon et al. 2022 (arXiv:2210.11427, "DiffEdit"), without noise of its own. The
        same for all photos of the batch.
        """
        led, walk = self._led_to(inputs), self.inversion
        differ = torch.zeros_like(walk.states[-1])
        for (level, _), state, slope in zip(walk.steps, walk.states, walk.slopes, strict=False):
            differ += (led.path.ode_slope(led(state, level.batch(state))) - slope).abs()
        cells = differ.mean((0, 1), keepdim=True)
        about = _around(interpolate(cells, self.images.shape[-2:], mode="bilinear"))
        about = about.flatten().cpu()
        places = about.argsort(descending=True, stable=True)[: max(1, round(share * len(about)))]
        places = places[about[places] > 0]  # nothing where nothing else is asked than what is shown
        return torch.zeros(len(about)).index_fill(0, places, 1.0).view(self.images.shape[-2:])

    def _led_to(self, inputs: Tensor) -> BoundDenoiser:
        asked = self.generator.conditioning(inputs, self.settings)
        return bound(self.generator.denoiser, asked, self.told, self.settings)

    def renoised(self, inputs: Tensor, strength: float, noise: Tensor) -> Iterator[SamplerStep]:
        """SDEdit (Meng et al. 2022, arXiv:2108.01073): add `noise` (B, *S) and walk down by Euler steps.

        Led away from an open request, as drawing is. To compare with: nothing of the photo's own is kept.
        """
        generator, steps = self.generator, steps_of(strength, self.settings.steps)
        asked, null = (
            generator.conditioning(rows, self.settings)
            for rows in (inputs, generator.conditioner.null_inputs(len(inputs)))
        )
        path, x0 = generator.denoiser.path, self.inversion.states[-1]
        timesteps = trailing(path, self.settings.steps)[-steps:]
        start = path.add_noise(x0, noise, torch.full((len(x0),), timesteps[0], device=x0.device))
        return Euler(bound(generator.denoiser, asked, null, self.settings), steps, at(*timesteps))(start)

    def finished(self, x0: Tensor) -> Tensor:
        """Pictures, uint8 (B, 3, H, W), of samples that `redrawn` came to."""
        drawn, plain, photo = (each.float() for each in (self.generator.decode(x0), self.plain, self.images))
        change = _around((drawn - plain).abs().mean(1, keepdim=True))
        kept = torch.exp(-((change / CHANGED_LEVELS) ** 2))
        finished = drawn + kept * (photo - plain)
        if self.where is not None:
            finished = photo + _soft(self.where) * (finished - photo)
        return finished.round().clamp(0, 255).byte()


def editable(
    generator: FaceGenerator, images: Tensor, inputs: Tensor, settings: SamplingConfig, strength: float
) -> EditablePhotos:
    """Walk uint8 `images` (B, 3, H, W) into noise up to `strength`, as what condition `inputs` (B, ...) say.

    Raises:
        UsageError: more steps than timesteps.
    """
    settings = settings.model_copy(update={"guidance_from": "model"})  # away from what the photos show
    x0 = generator.scaling.apply(encoded(generator.autoencoder, to_unit(images), generator.device))
    told, path = generator.conditioning(inputs, settings), generator.denoiser.path
    plain_settings = settings.model_copy(update={"guidance_scale": 1.0})
    down = moves(path, trailing(path, settings.steps)[-steps_of(strength, settings.steps) :])
    inversion = invert(bound(generator.denoiser, told, told, plain_settings), x0, down)
    return EditablePhotos(generator, images, generator.decode(x0), told, settings, inversion)


def steps_of(strength: float, steps: int) -> int:
    """How many of a whole walk's `steps` a walk from `strength` in (0, 1] has; at least one."""
    return max(1, round(strength * steps))


def _cells(where: Tensor, generator: FaceGenerator) -> Tensor:
    """Latent cells (1, 1, h, w) of which a part may change."""
    cells = adaptive_max_pool2d((where > 0).float()[None, None], generator.sample_spec.shape[-2:])
    return cells.to(generator.device)


def _soft(where: Tensor) -> Tensor:
    """`where` (H, W), softer towards its edge and 0 outside as before."""
    return where * _around((where > 0).float()[None, None])


def _around(maps: Tensor) -> Tensor:
    """The mean of maps (B, 1, H, W) around each pixel, in a square of about a sixteenth of the side."""
    reach = maps.shape[-1] // 32
    return avg_pool2d(maps, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
