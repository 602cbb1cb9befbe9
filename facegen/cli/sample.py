"""`facegen sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.forecast import print_forecast
from facegen.cli.options import DryRun, RunOrBox
from facegen.cli.results import print_facts, print_tree
from facegen.errors import UsageError
from facegen.options import Option
from facegen.processes import world
from facegen.sampling.options import REQUEST, SampleOptions

if TYPE_CHECKING:
    from facegen.forecast import Forecast
    from facegen.protocols import Progress
    from facegen.sampling.sample import SampleSummary
    from facegen.vocabulary.explanation import Explanation

Explain = Annotated[
    str | None, Option("Tell how a prompt is read, and draw nothing.", REQUEST, metavar="PROMPT")
]


def _print(result: SampleSummary | Explanation | Forecast) -> None:
    from facegen.forecast import Forecast
    from facegen.vocabulary.explanation import Explanation

    if isinstance(result, Forecast):
        print_forecast(result)
        return
    if isinstance(result, Explanation):
        _print_explanation(result)
        return
    reading = result.reading
    understood = "; ".join(f"'{words}' as {meaning}" for words, meaning in reading.understood)
    print_facts(
        {
            "Images": f"{len(result.paths)} in {result.grid.parent}",
            "Grid": result.grid,
            "Blend": result.strip,
            "Understood": understood or None,
            "Not understood": reading.left_over or None,
        }
    )


def _print_explanation(explanation: Explanation) -> None:
    """The prompt, and beneath it each phrase with what became of it."""
    branches = [(said.text, said.outcomes) for said in explanation.said]
    if explanation.refusal is not None:
        branches.append(("refused", [str(explanation.refusal).splitlines()[0]]))
    print_tree(f"'{explanation.prompt}', read by {explanation.read_by}", branches)
    for note in explanation.notes:
        print(note)


@command(_print, many=True)
def sample(
    run: RunOrBox = None,
    *,
    explain: Explain = None,
    dry_run: DryRun = False,
    options: SampleOptions,
    progress: Progress,
) -> SampleSummary | Explanation | Forecast:
    """Draw faces for words, attributes or a class.

    Makes PNGs that carry their settings, and a grid. Image i has seed SEED + i and is the same at any batch
    size. Stopped, the same command goes on where it stood.

        facegen sample --prompt "smiling, round glasses, blond hair"
        facegen sample runs/celeba --prompt "a smiling woman with blond hair"
        facegen sample runs/celeba --attributes "Smiling=1,Eyeglasses=0" --count 64
        facegen sample runs/utkface --class female --guidance 2 --sampler ddim
        facegen sample runs/celeba --prompt "an old man" --negative "a hat" --seed 7
        facegen sample runs/utkface --blend "Asian:0.5,White:0.5"
        facegen sample runs/vector --like me.jpg --count 8
        facegen sample runs/vector --between me.jpg you.jpg --frames 9
        facegen sample runs/celeba --count 10000 --dry-run
        facegen sample --explain "an old man, no hat, hardly smiling"
        facegen sample runs/celeba --explain "a smiling woman without glasses"
    """
    if explain is not None:
        return _explained(run, explain, options)
    from facegen.formats.box import opened_box

    if dry_run:
        from facegen.sampling.dry_run import sampling_forecast

        return world().first(lambda: sampling_forecast(run or opened_box(), options))
    from facegen.sampling.sample import sample

    return sample(run or opened_box(), options, progress)


def _explained(run: Path | None, prompt: str, options: SampleOptions) -> Explanation:
    """How the prompt is read by the run's model, or by CelebA's attributes."""
    if options != SampleOptions(device=options.device, weights=options.weights):
        raise UsageError("--explain draws nothing: it goes with no option of a request or of drawing.")
    from facegen.models.loading import load
    from facegen.sampling.request import explain

    return explain(None if run is None else load(run, options.device, options.weights), prompt)
