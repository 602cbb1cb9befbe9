"""What `facegen plot` draws, one file a subcommand: from runs, data sets and latents to a saved figure."""
