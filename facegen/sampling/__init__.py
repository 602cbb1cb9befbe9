"""A trained model and a wish come in, pictures go out: `sample.sample`; with a photo: `edit.edit`.
`reproduce.reproduce` makes a picture again from what its file says."""
