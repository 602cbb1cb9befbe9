"""Upsampling that starts without a checkerboard."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from facegen.nn.vector_autoencoder import VectorDecoder, smooth_upsampling


def test_a_fresh_transposed_convolution_interpolates_bilinearly() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1, bias=False)
    mix = 2 * layer.weight[:, :, :1, :1].detach().clone()
    x = torch.randn(1, 3, 6, 6)
    expected = F.interpolate(F.conv_transpose2d(x, mix), scale_factor=2.0, mode="bilinear")
    found = smooth_upsampling(layer)(x)
    inner = slice(1, -1)  # at the edge the layer pads with zeros
    torch.testing.assert_close(found[:, :, inner, inner], expected[:, :, inner, inner])


def test_an_untrained_decoder_draws_no_checkerboard() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        images = VectorDecoder(32, (8, 16), 1, 4)(torch.randn(4, 4))[:, :, 4:-4, 4:-4]
    checkers = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(3, 1, 2, 2) / 4
    pattern = F.conv2d(images, checkers, stride=2, groups=3)
    assert pattern.square().mean() < 1e-2 * images.var()
