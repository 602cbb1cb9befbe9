"""A trained model and a wish come in, pictures go out: `sample.sample`. `reproduce.reproduce` makes a
picture again from what its file says."""
