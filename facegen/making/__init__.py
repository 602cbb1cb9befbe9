"""A source of faces, whatever it is, becomes a judged generator in a given time: `make`."""
