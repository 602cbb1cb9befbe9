"""Which words of a prompt a model of free text hardly notices, by leaving out each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.models.generator import FaceGenerator
from facegen.vocabulary.words import FILLERS

MAX_WORDS = 20  # of a prompt; each costs four network rows, together less than three images of 50 steps
SEEDS = (0, 1)  # of the noise, whatever the pictures' own
LEVELS = (0.9, 0.5)  # as shares of the noisiest timestep: where the layout, and where the parts are decided
# Of twenty words that counted alike, each would move the prediction by at least a twentieth of what all do;
# a word under a fiftieth has less than half of that.
WEAK_BELOW = 0.02


@dataclass(frozen=True)
class WordEffects:
    """Each measured word with the change of the prediction without it, as a share of that without any word.

    All shares are 0 where the whole prompt changes nothing. `num_unmeasured` words came after `MAX_WORDS`.
    """

    shares: tuple[tuple[str, float], ...] = ()
    num_unmeasured: int = 0

    @property
    def weak(self) -> tuple[str, ...]:
        """The words that do next to nothing."""
        return tuple(word for word, share in self.shares if share < WEAK_BELOW)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of them, a sentence each."""
        weak = ", ".join(f"'{word}'" for word in self.weak)
        told = f"Next to no effect, under {WEAK_BELOW:.0%} of the whole prompt's: {weak}." if weak else ""
        rest = f"The last {self.num_unmeasured} words were not measured." if self.num_unmeasured else ""
        return tuple(filter(None, (told, rest)))


def word_effects(generator: FaceGenerator, prompt: str) -> WordEffects:
    """Measure the words of `prompt` on noise of its own, at two noise levels; fillers are left out.

    The share of a word is the distance between the network's answers with and without it, over that between
    the answers to the whole prompt and to no words, a mean of both levels. Empty for a model that is not
    asked in free text.
    """
    asking = generator.asking
    if asking is None or not asking.free_text:
        return WordEffects()
    words = prompt.split()
    counted = [number for number, word in enumerate(words) if _bare(word).casefold() not in FILLERS]
    measured = counted[:MAX_WORDS]
    without = [" ".join(words[:number] + words[number + 1 :]) for number in measured]
    inputs = [generator.inputs_for(generator.read(text)) for text in (prompt, "", *without)]
    distances = _distances(generator, torch.cat(inputs))  # (levels, words + 1)
    whole = distances[:, :1]
    shares = torch.where(whole > 0, distances[:, 1:] / whole, 0.0).mean(0)
    named = tuple(zip((_bare(words[number]) for number in measured), shares.tolist(), strict=True))
    return WordEffects(named, len(counted) - len(measured))


def _distances(generator: FaceGenerator, inputs: Tensor) -> Tensor:
    """Distances (levels, N - 1) of the answers to `inputs` (N, ...) from that to the first."""
    count, denoiser, path = len(inputs), generator.denoiser, generator.denoiser.path
    condition = generator.conditioning(inputs.repeat_interleave(len(SEEDS), 0))
    noise = generator.noise(SEEDS)
    x0 = torch.zeros_like(noise)
    distances: list[Tensor] = []
    for level in LEVELS:
        timestep = torch.full((len(SEEDS),), float(round(level * path.last_timestep)), device=noise.device)
        x_t = path.add_noise(x0, noise, timestep)
        states, times = x_t.repeat(count, *[1] * (x_t.ndim - 1)), timestep.repeat(count)
        output = denoiser.output(states, times, condition)
        answers = output.float().reshape(count, -1)  # (N, seeds * values)
        distances.append((answers[1:] - answers[:1]).norm(dim=1).cpu())
        x0 = denoiser.objective.prediction(output, states, times).x0[: len(SEEDS)]
    return torch.stack(distances)


def _bare(word: str) -> str:
    return word.strip(".,;:!?()\"'") or word
