"""A data set and an autoencoder come in, latents go out: `encode.encode`. Text and image features that a
model is conditioned on are encoded beside them."""
