"""A recipe and its data come in, a run with checkpoints goes out: `train.train`. `wiring` builds the task
that the recipe names, `trainer` trains whatever task it is given."""
