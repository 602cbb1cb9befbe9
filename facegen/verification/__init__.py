"""Is what stands on disk whole, and does it belong together? `verify` answers for anything facegen writes.

In: a data set, latents, a run, a checkpoint or a picture. Out: a `Verification`, and on request what could be
mended from what still stands.
"""
