"""What is trained and how it is scored, a file a kind; the trainer owns everything else.

A kind says what it is trained on: `TRAINS_ON = "images"` is built with `TrainingImages`, "samples" (latents,
or pixels of a denoiser) with what `DenoisingTask` takes.
"""

from facegen.tasks._images import TrainingImages

__all__ = ["TrainingImages"]
