"""What goes in is a run, a data set, latents or a preset, and what to draw of it; what comes out is a figure
or an animation on disk and, if asked for, the numbers behind it as CSV. One file a figure, `X.plot_X` in
each."""
