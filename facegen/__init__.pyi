from .config.composition import compose
from .config.recipe import Recipe
from .denoisers.unet import UNet
from .diffusion.denoiser import Denoiser, Objective
from .diffusion.guidance import autoguide, clip, guide, guide_projected
from .diffusion.oracles import GaussianDenoiser, MixtureDenoiser
from .diffusion.paths import Flow, VarianceExploding, VariancePreserving
from .diffusion.schedules import betas_of
from .diffusion.walk import at, karras, leading, trailing
from .diffusion.weighting import LogitNormal, MinSnr
from .encoding.encode import encode
from .encoding.options import EncodeOptions
from .evaluation.attributes import evaluate_attributes
from .evaluation.compare import compare
from .evaluation.distribution import evaluate
from .evaluation.options import DistributionOptions
from .evaluation.reconstruction import evaluate_reconstruction
from .formats.dataset import open_dataset
from .formats.latents import open_latents
from .metrics import FeatureStatistics, frechet_distance
from .models.faces import Faces
from .models.generator import FaceGenerator
from .models.loading import load
from .preparation.options import PrepareOptions
from .preparation.prepare import prepare
from .samplers.ddim import DDIM
from .samplers.ddpm import DDPM
from .samplers.dpmpp_2m import DPMSolver2M
from .samplers.dpmpp_2m_sde import DPMSolver2MSDE
from .samplers.euler import Euler
from .samplers.heun import Heun
from .samplers.unipc import UniPC
from .sampling.options import SampleOptions
from .sampling.sample import sample
from .training.train import train
from .types import Conditioning, Prediction, SamplerStep

__version__: str
__all__ = [
    "DDIM",
    "DDPM",
    "Conditioning",
    "DPMSolver2M",
    "DPMSolver2MSDE",
    "Denoiser",
    "DistributionOptions",
    "EncodeOptions",
    "Euler",
    "FaceGenerator",
    "Faces",
    "FeatureStatistics",
    "Flow",
    "GaussianDenoiser",
    "Heun",
    "LogitNormal",
    "MinSnr",
    "MixtureDenoiser",
    "Objective",
    "Prediction",
    "PrepareOptions",
    "Recipe",
    "SampleOptions",
    "SamplerStep",
    "UNet",
    "UniPC",
    "VarianceExploding",
    "VariancePreserving",
    "at",
    "autoguide",
    "betas_of",
    "clip",
    "compare",
    "compose",
    "encode",
    "evaluate",
    "evaluate_attributes",
    "evaluate_reconstruction",
    "frechet_distance",
    "guide",
    "guide_projected",
    "karras",
    "leading",
    "load",
    "open_dataset",
    "open_latents",
    "prepare",
    "sample",
    "trailing",
    "train",
]
