"""Files of a trained or published network come in, something that can be called goes out:
`generator.FaceGenerator.load`. Beside it stand the judges (classifier, feature networks, distances) and
what all of them share."""
