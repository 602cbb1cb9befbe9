"""One recipe with many settings, side by side within a given time: `sweep`.

In: a recipe, and which values to try. Out: a run for each of them, and what they came to beside one another.
"""
