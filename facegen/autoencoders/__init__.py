"""Autoencoders: pixels to latents and back. `load_autoencoder` gives a trained one, whatever made it."""

from facegen.autoencoders._loading import LoadedAutoencoder, load_autoencoder, save_autoencoder

__all__ = ["LoadedAutoencoder", "load_autoencoder", "save_autoencoder"]
