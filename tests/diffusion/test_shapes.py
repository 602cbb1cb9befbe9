"""A wrong shape is caught where it enters, instead of being broadcast: one planted in every module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError

from facegen.denoisers.unet import UNet
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.guidance import clip, guide
from facegen.diffusion.oracles import GaussianDenoiser
from facegen.diffusion.paths import Flow
from facegen.diffusion.walk import fresh_noise
from facegen.diffusion.weighting import MinSnr
from facegen.samplers.ddim import DDIM
from facegen.samplers.ddpm import DDPM
from facegen.samplers.dpmpp_2m import DPMSolver2M
from facegen.samplers.dpmpp_2m_sde import DPMSolver2MSDE
from facegen.samplers.euler import Euler
from facegen.samplers.heun import Heun
from facegen.samplers.unipc import UniPC
from facegen.types import Conditioning

X, TIME, NONE = torch.zeros(4, 3, 8, 8), torch.full((4,), 500.0), Conditioning()
MODEL = Denoiser(lambda x_t, timestep, condition: x_t, Flow())
CUT = Denoiser(lambda x_t, timestep, condition: x_t[:, :1], Flow())
ORACLE = GaussianDenoiser(Flow(), torch.zeros(2), torch.eye(2))
PLANTED: dict[str, Callable[[], object]] = {
    "paths: one noise for the whole batch": lambda: Flow().add_noise(X, X[:1], TIME),
    "paths: a column of timesteps": lambda: Flow().alpha_sigma(TIME[:, None]),
    "denoiser: a timestep too few": lambda: MODEL(X, TIME[:3]),
    "denoiser: a network that cuts channels": lambda: CUT(X, TIME),
    "denoiser: noise of one channel": lambda: MODEL.loss(X, TIME, noise=X[:, :1]),
    "guidance: a timestep for all": lambda: guide(MODEL, NONE, NONE, 2.0)(X, TIME[:1]),
    "guidance: clipped at a timestep for all": lambda: clip(MODEL, 1.0)(X, TIME[:1]),
    "oracles: maps instead of vectors": lambda: ORACLE(X, TIME),
    "oracles: a mean that does not fit": lambda: GaussianDenoiser(Flow(), torch.zeros(3), torch.eye(2)),
    "weighting: alphas in a column": lambda: MinSnr()(TIME[:, None], TIME[:, None]),
    "unet: a timestep for all": lambda: UNet(3, 16, (1, 2), self_attention_levels=())(X, TIME[:1]),
    "walk: noise without a batch": lambda: fresh_noise(0, torch.tensor(1.0)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_shape_is_caught(name: str) -> None:
    with pytest.raises(TypeCheckError):
        PLANTED[name]()


@pytest.mark.parametrize("sampler", [DDIM, DDPM, DPMSolver2M, DPMSolver2MSDE, Euler, Heun, UniPC])
def test_a_sampler_takes_a_batch_of_noise_alone(sampler) -> None:
    with pytest.raises(TypeCheckError):
        list(sampler(MODEL, 2)(torch.tensor(1.0)))
    assert len(list(sampler(MODEL, 2)(X))) == 2
