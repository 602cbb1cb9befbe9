"""`facegen plot latents`: PCA against an SVD, t-SNE's determinism, faces, colours, refusals."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.figure_parts import numbers_of
from support.tiny_dataset import write_autoencoder, write_dataset
from threadpoolctl import threadpool_limits

from facegen.config.composition import compose
from facegen.encoding.encode import EncodeOptions, encode
from facegen.errors import DataError, FacegenError, MissingModelError, UsageError
from facegen.formats.latents import LatentStore
from facegen.formats.run import RunDirectory
from facegen.plotting import projections
from facegen.plotting.latents import LatentMapOptions, plot_latents, point_colours, spread_out, view_of
from facegen.plotting.projections import check_method, pca, tsne, umap
from facegen.progress import SilentProgress
from facegen.types import LabelSchema

COUNT = 40


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 latents (D = 64) with their autoencoder."""
    folder = tmp_path_factory.mktemp("latents")
    data = write_dataset(folder / "data", {"train": COUNT, "validation": 2})
    autoencoder = str(write_autoencoder(folder / "ae"))
    encode(data.folder, autoencoder, folder / "latents", EncodeOptions(device="cpu"), SilentProgress())
    return folder / "latents"


def draw(source: Path, out: Path, progress: SilentProgress | None = None, **options: Any) -> Any:
    summary = plot_latents(source, out, LatentMapOptions(**options), progress or SilentProgress(), csv=True)
    return summary, numbers_of(summary)


def scaled(latents: Path) -> torch.Tensor:
    store = LatentStore.open(latents)
    means = store.split("train").gather(torch.arange(COUNT)).mean
    return store.index.scaling.apply(means).flatten(1).double()


def without_autoencoder(latents: Path, folder: Path) -> Path:
    shutil.copytree(latents, folder)
    shutil.rmtree(folder / "autoencoder")
    index = (folder / "index.json").read_text()
    source = LatentStore.open(latents).index.autoencoder["source"]
    (folder / "index.json").write_text(index.replace(source, "nowhere/to-be-found"))
    return folder


def test_pca_is_the_svd_of_the_scaled_latents(latents: Path, tmp_path: Path):
    summary, table = draw(latents, tmp_path / "map.png", thumbnails=0)
    points = scaled(latents)
    u, s, _ = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for axis, name in enumerate("xy"):
        expected, found = (u[:, axis] * s[axis]).numpy(), table[name].to_numpy()
        np.testing.assert_allclose(found * np.sign(found @ expected), expected, atol=1e-4)
    share = float((s[:2] ** 2).sum() / (s**2).sum())
    assert summary.facts["Variance explained"] == f"{100 * share:.1f} %"
    assert table["id"].tolist() == [f"train-{n}" for n in range(COUNT)]


def test_pca_of_long_latents_finds_the_same_variance(monkeypatch):
    points = np.random.default_rng(0).normal(size=(60, 30)) @ np.diag(0.7 ** np.arange(30))
    exact, exact_shares = pca(points, 2)
    monkeypatch.setattr(projections, "EXACT_UP_TO_DIMENSIONS", 10)
    randomised, shares = pca(points, 2)
    np.testing.assert_allclose(shares, exact_shares, rtol=1e-3)
    np.testing.assert_allclose(np.abs(randomised), np.abs(exact), atol=0.05)


def test_the_axes_tell_how_much_each_component_explains(latents: Path, tmp_path: Path):
    draw(latents, tmp_path / "map.svg", thumbnails=0)
    s = torch.linalg.svdvals(scaled(latents) - scaled(latents).mean(0))
    assert (
        f"PC 1 ({100 * float(s[0] ** 2 / (s**2).sum()):.1f} % of the variance)"
        in (tmp_path / "map.svg").read_text()
    )


def test_tsne_is_the_same_for_a_seed_and_keeps_clusters_apart():
    centres = np.repeat(np.eye(3, 10) * 40, 30, axis=0)
    points = centres + np.random.default_rng(0).normal(size=(90, 10))
    first, again = (tsne(points, 8, 3, SilentProgress()) for _ in range(2))
    assert np.array_equal(first, again)
    clusters = first.reshape(3, 30, 2)
    spread = max(cluster.std(axis=0).max() for cluster in clusters)
    middles = clusters.mean(axis=1)
    assert min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 4 * spread


def test_components_and_tsne_are_the_same_on_any_number_of_cores():
    points = np.random.default_rng(0).normal(size=(600, 700))
    found = []
    for cores in (1, 2):
        with threadpool_limits(cores):
            components, _ = pca(points, 50)
            found.append((components, tsne(components, 30, 0, SilentProgress())))
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


def test_the_same_seed_gives_the_same_file(latents: Path, tmp_path: Path):
    options = {"method": "tsne", "perplexity": 5.0, "count": 30}
    files = [draw(latents, tmp_path / f"{n}.png", seed=n // 2, **options)[0].path for n in range(3)]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


@pytest.mark.parametrize("wanted", [20, 10_000])
def test_squares_of_thumbnails_do_not_overlap_and_leave_no_room(wanted: int):
    points = np.random.default_rng(0).normal(size=(500, 2))
    side = view_of(points).thumbnail
    chosen = spread_out(points, wanted, side)
    apart = np.abs(points[:, None] - points[chosen][None]).max(axis=2)  # (500, chosen)
    others = apart[chosen] + 9 * np.eye(len(chosen))
    assert others.min() >= side
    assert len(chosen) == 20 or wanted > len(chosen)
    if wanted > len(chosen):
        assert (apart.min(axis=1) < side).all()  # each point lies under a square, or is too near to one


def test_thumbnails_are_the_decoded_faces(latents: Path, tmp_path: Path, monkeypatch):
    seen: list[Any] = []
    from facegen.plotting import latents as module

    original = module._place_thumbnails

    def spy(axes, points, colours, indices, pictures, **options):
        seen.append((indices, pictures))
        return original(axes, points, colours, indices, pictures, **options)

    monkeypatch.setattr(module, "_place_thumbnails", spy)
    summary, _ = draw(latents, tmp_path / "map.png", thumbnails=5)
    indices, pictures = seen[0]
    from facegen.autoencoders import load_autoencoder
    from facegen.formats.images import to_uint8

    means = LatentStore.open(latents).split("train").gather(torch.from_numpy(indices)).mean
    with torch.no_grad():
        decoded = to_uint8(load_autoencoder(latents / "autoencoder").module.decode(means))
    assert np.abs(decoded.permute(0, 2, 3, 1).numpy().astype(int) - pictures.astype(int)).max() <= 1
    assert summary.facts["Faces shown"] == len(indices) == 5


def test_without_the_autoencoder_there_are_no_faces_and_it_is_said(latents: Path, tmp_path: Path):
    bare, progress = without_autoencoder(latents, tmp_path / "bare"), SilentProgress()
    summary, _ = draw(bare, tmp_path / "map.png", progress)
    assert "Faces shown" not in summary.facts
    assert "nowhere/to-be-found" in progress.warned[0]
    with pytest.raises(MissingModelError):
        draw(bare, tmp_path / "asked.png", thumbnails=3)
    assert not (tmp_path / "asked.png").exists()


def test_colours_are_by_default_those_of_the_most_balanced_attribute():
    frame = pd.DataFrame({"id": list("abcdef"), "Rare": [0, 0, 0, 0, 0, 1], "Even": [0, 1, 0, 1, None, 1]})
    frame["Unknown"] = [None] * 5 + [1]
    frame = frame.astype(dict.fromkeys(("Rare", "Even", "Unknown"), "Int8"))
    frame["age"] = [1.0, 2, 3, 4, None, 6]
    labels = LabelSchema(("Rare", "Even", "Unknown"))
    colours = point_colours(frame, labels, None)
    assert colours is not None
    assert (colours.name, colours.codes.tolist()) == ("Even", [0, 1, 0, 1, -1, 1])
    ages = point_colours(frame, labels, "age")
    assert ages is not None
    assert not ages.classes
    assert np.isnan(ages.codes[4])
    assert point_colours(frame.loc[:, ["id"]], LabelSchema(), None) is None


@pytest.mark.parametrize("name", ["Smiling", "age_group", "age"])
def test_attributes_classes_and_numbers_can_colour(latents: Path, tmp_path: Path, name: str):
    summary, table = draw(latents, tmp_path / "map.svg", color_by=name, thumbnails=0)
    assert summary.facts["Coloured by"] == name
    frame = LatentStore.open(latents).split("train").frame
    assert table[name].isna().tolist() == frame[name].isna().tolist()
    assert table[name].dropna().tolist() == frame[name].dropna().tolist()
    if name == "age_group":
        assert "young (20)" in summary.path.read_text()


def test_a_run_is_drawn_by_the_latents_it_was_trained_on(latents: Path, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    RunDirectory(run).start(compose("celeba-attributes", overrides=[f"data.path={latents}"]))
    of_run, of_latents = (draw(source, tmp_path / "map.png", count=20)[1] for source in (run, latents))
    assert of_run.equals(of_latents)
    gone = tmp_path / "gone"
    gone.mkdir()
    RunDirectory(gone).start(compose("celeba-attributes", overrides=["data.path=nowhere"]))
    with pytest.raises(UsageError, match=r"'nowhere'.*\n.*facegen plot latents LATENTS"):
        draw(gone, tmp_path / "none.png")


def test_umap_without_its_package_says_how_to_get_it(latents: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(projections, "find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match=r"pip install 'facegen\[umap\]'") as caught:
        draw(latents, tmp_path / "map.png", method="umap")
    assert caught.value.exit_code == 4
    check_method("tsne")


def test_umap_is_given_seed_and_points(monkeypatch):
    """The package is not needed here: what it is asked is."""
    asked: dict[str, Any] = {}

    class UMAP:
        def __init__(self, **settings):
            asked.update(settings)

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setattr(projections, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    points = np.random.default_rng(0).normal(size=(30, 4))
    assert np.array_equal(umap(points, 7, SilentProgress()), points[:, :2])
    assert asked["random_state"] == 7
    with pytest.raises(DataError, match="17 points or more"):
        umap(points[:16], 7, SilentProgress())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"color_by": "Smilling"}, "Did you mean 'Smiling'"),
        ({"color_by": "hat"}, "There are: Smiling, age_group, age"),
        ({"method": "tsne"}, "--perplexity 12"),
        ({"perplexity": 5.0}, "belongs to t-SNE, not to PCA"),
        ({"method": "tsne", "perplexity": 0.5}, "1 or more"),
        ({"split": "validation"}, "3 latents or more; there are 2"),
        ({"split": "trian"}, "Did you mean 'train'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(latents: Path, tmp_path: Path, options: dict[str, Any], says: str):
    with pytest.raises(FacegenError) as caught:
        draw(latents, tmp_path / "map.png", **options)
    assert says in str(caught.value)
    assert caught.value.exit_code in (2, 3)
    assert not (tmp_path / "map.png").exists()


def test_the_perplexity_that_is_proposed_is_accepted(latents: Path, tmp_path: Path):
    summary, _ = draw(latents, tmp_path / "map.png", method="tsne", perplexity=12.0)
    assert summary.facts["Perplexity"] == 12.0


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="facegen encode"):
        draw(tmp_path, tmp_path / "map.png")
    with pytest.raises(UsageError, match="no folder"):
        draw(tmp_path / "gone", tmp_path / "map.png")
    data = write_dataset(tmp_path / "data", {"train": 4}).folder
    with pytest.raises(
        UsageError, match=r"is a data set.*\n.*facegen encode .*data --autoencoder .* LATENTS"
    ):
        draw(data, tmp_path / "map.png")
