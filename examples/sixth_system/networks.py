"""A denoiser of one's own: anything that offers `Config` and `build` can be named in a recipe."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.config.kinds import KindConfig
from facegen.errors import UsageError
from facegen.nn.embeddings import TimestepEmbedding
from facegen.types import Conditioning, ConditioningSpec, SampleSpec


class TinyConvNet(nn.Module):
    """x_t (B, C, H, W), timestep (B,), Conditioning -> (B, C, H, W): dilated convolutions at full size."""

    class Config(KindConfig):
        channels: int = Field(32, ge=8, multiple_of=8)
        depth: int = Field(8, ge=1)

    @staticmethod
    def build(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> TinyConvNet:
        """A network for `sample`; raises UsageError for what is no image or no vector condition."""
        if len(sample.shape) != 3 or conditioning.vector_dim is None:
            raise UsageError("TinyConvNet needs samples (C, H, W) and a conditioner that gives a vector.")
        return TinyConvNet(sample.shape[0], config.channels, config.depth, conditioning.vector_dim)

    def __init__(self, sample_channels: int, channels: int, depth: int, vector_dim: int) -> None:
        super().__init__()
        self.time = TimestepEmbedding(channels)
        self.vector = nn.Linear(vector_dim, channels)
        self.modulation = nn.Linear(channels, depth * 2 * channels)
        self.conv_in = nn.Conv2d(sample_channels, channels, 3, padding=1)
        dilations = [2 ** (index % 4) for index in range(depth)]
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation) for dilation in dilations
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(depth))
        self.conv_out = nn.Conv2d(channels, sample_channels, 3, padding=1)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.vector is not None
        told = F.silu(self.time(timestep) + self.vector(conditioning.vector))  # (B, channels)
        signals = self.modulation(told)[:, :, None, None].chunk(2 * len(self.layers), dim=1)
        x = self.conv_in(x_t)
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            scale, shift = signals[2 * number : 2 * number + 2]
            x = x + F.silu(layer(norm(x) * (1 + scale) + shift))
        return self.conv_out(x)
