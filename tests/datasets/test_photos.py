"""Every face of a folder of photos is found, cut, judged and accounted for."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, features
from support.marked_faces import FINDER, Marked, MarkedFace, find_points, marked_photo

from facegen.datasets import _photo_search
from facegen.datasets._photo_choice import Rules, choose, doubles
from facegen.datasets._photo_search import Search, look_at
from facegen.errors import DataError, FacegenError, MissingModelError, UsageError
from facegen.formats.faces import face_square
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import PrepareSummary, prepare
from facegen.types import FoundFace

GPS, MAKE, ORIENTATION = 0x8825, 0x010F, 0x0112
DEVICE = "Some-camera-of-mine"


@pytest.fixture(autouse=True)
def fresh_finder() -> Iterator[None]:
    Marked.looked, Marked.interrupted_at = 0, None
    yield
    Marked.interrupted_at = None


def options(**more: Any) -> PrepareOptions:
    return PrepareOptions(**{"size": 64, "workers": 1, "finder": FINDER, **more})


def save(path: Path, *faces: MarkedFace, size: tuple[int, int] = (200, 200), **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    marked_photo(*faces, size=size).save(path, **how)
    return path


def make(source: Path, out: Path, **more: Any) -> PrepareSummary:
    return prepare("photos", source, out, options(**more))


def account(out: Path) -> dict[str, dict[str, str]]:
    """The rows of account.csv by id, or by file where there is none."""
    with (out / "account.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["id"] or row["file"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def pictures(out: Path) -> dict[str, Image.Image]:
    """The images of all splits by id."""
    files = sorted((out / "data").glob("*.parquet"))
    rows: list[dict[str, Any]] = [row for path in files for row in pq.read_table(path).to_pylist()]
    return {row["id"]: Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows}


@pytest.fixture
def party(tmp_path: Path) -> Path:
    """Photos of every fate, and a file that is none."""
    root = tmp_path / "party"
    faces = MarkedFace(90, 100, 60, 12, seed=1), MarkedFace(260, 120, 90, -25, seed=2)
    save(root / "two.png", *faces, size=(340, 240))
    save(root / "far.png", MarkedFace(100, 100, 36, seed=3))
    save(root / "soft.png", MarkedFace(100, 100, 60, seed=4))
    soft = Image.open(root / "soft.png").resize((50, 50), Image.Resampling.BOX).resize((200, 200))
    Image.blend(Image.new("RGB", soft.size, "gray"), soft, 1.0).save(root / "soft.png")
    save(root / "none.png")
    same = marked_photo(faces[1], size=(340, 240))
    same.resize((272, 192), Image.Resampling.LANCZOS).save(root / "two again.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (root / "notes.txt").write_text("who is who")
    return root


def test_every_file_and_every_face_has_its_row(party: Path, tmp_path: Path) -> None:
    summary = make(party, tmp_path / "out", min_sharpness=0.15)
    table = account(tmp_path / "out")
    fates = {name: row["reason"].split(":")[0] or row["taken_as"] for name, row in table.items()}
    assert fates.pop("two.png#1") in ("train", "validation", "test")
    assert fates.pop("two.png#2") in ("train", "validation", "test")
    assert fates == {
        "far.png#1": "face too small",
        "soft.png#1": "face blurred",
        "none.png": "no face",
        "two again.png#1": "face double",
        "broken.jpg": "unreadable",
        "party/notes.txt": "not an image",
    }
    assert summary.counts["train"] + sum(list(summary.counts.values())[1:]) == 2
    row = table["two.png#1"]
    assert (row["file"], float(row["tilt"])) == ("party/two.png", pytest.approx(-25, abs=1))
    assert float(row["face_pixels"]) == pytest.approx(90, abs=2)
    square = face_square(MarkedFace(260, 120, 90, -25).points(), "ffhq")
    assert (float(row["x"]), float(row["y"])) == pytest.approx((square.x, square.y), abs=1)


def test_of_doubles_the_largest_stays(party: Path, tmp_path: Path) -> None:
    make(party, tmp_path / "out")
    table = account(tmp_path / "out")
    assert table["two again.png#1"]["reason"] == "face double: of two.png#1"


def test_eyes_are_where_ffhq_or_celeba_has_them(tmp_path: Path) -> None:
    for number, (tilt, pixels) in enumerate(((0, 60), (30, 90), (-30, 70))):
        face = MarkedFace(150, 150, pixels, tilt, seed=number)
        save(tmp_path / "photos" / f"{number}.png", face, size=(300, 300))
    upright = MarkedFace(150, 150, 60).points()
    for align in ("ffhq", "celeba"):
        make(tmp_path / "photos", tmp_path / align, align=align)
        made = pictures(tmp_path / align)
        assert len(made) == 3
        square = face_square(upright, align)
        wanted = [square.to_square(point, 64) for point in upright[:2]]
        for image in made.values():
            assert np.allclose(find_points(image)[0][:2], wanted, atol=0.8)


@pytest.mark.parametrize(
    ("orientation", "turned"), [(6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)]
)
def test_exif_turns_the_photo_and_goes_no_further(orientation: int, turned: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, DEVICE
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[29] = "2031:07:06"
    photo = marked_photo(MarkedFace(100, 120, 70, 10, seed=5), size=(260, 200))
    (tmp_path / "photos").mkdir()
    photo.transpose(turned).save(tmp_path / "photos" / "1.png", exif=exif)
    photo.transpose(turned).save(tmp_path / "photos" / "2.jpg", exif=exif, quality=100, subsampling=0)
    assert DEVICE.encode() in (tmp_path / "photos" / "2.jpg").read_bytes()
    make(tmp_path / "photos", tmp_path / "out")
    rows = account(tmp_path / "out")
    assert float(rows["1.png#1"]["tilt"]) == pytest.approx(10, abs=1.5)
    assert float(rows["2.jpg#1"]["tilt"]) == pytest.approx(10, abs=1.5)
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(told in data for data in written for told in (DEVICE.encode(), b"2031:07:06", b"Exif"))
    assert all(image.info == {} and not image.getexif() for image in pictures(tmp_path / "out").values())


def test_a_face_is_enlarged_only_where_min_face_allows_it(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", MarkedFace(100, 100, 45, seed=1))
    save(tmp_path / "photos" / "b.png", MarkedFace(100, 100, 34, seed=2))
    make(tmp_path / "photos", tmp_path / "kept")
    assert set(pictures(tmp_path / "kept")) == {"a.png#1"}  # 45 * 1.6 = 72 pixels for 64
    with pytest.raises(DataError, match="face too small"):
        make(tmp_path / "photos", tmp_path / "larger", size=128)
    make(tmp_path / "photos", tmp_path / "enlarged", size=128, min_face=30, min_sharpness=0.0)
    assert set(pictures(tmp_path / "enlarged")) == {"a.png#1", "b.png#1"}


def test_the_largest_face_of_each_photo_alone(party: Path, tmp_path: Path) -> None:
    make(party, tmp_path / "out", faces="largest")
    table = account(tmp_path / "out")
    assert table["two.png#2"]["reason"] == "face not the largest: of its photo"


def test_a_face_at_the_edge_is_reflected_and_one_beyond_it_left_out() -> None:
    class At:
        version = "at"

        def __init__(self, face: MarkedFace) -> None:
            self.face = face

        def check(self) -> None: ...

        def find(self, image: Image.Image, smallest_pixels: float) -> list[FoundFace]:
            return [FoundFace((0, 0, 1, 1), self.face.points(), 1.0)]

    rules = Rules("all", None, 0.0, 64, ())
    for x, cut_off in ((25, False), (2, True), (198, True)):
        face = MarkedFace(x, 100, 90)
        data = io.BytesIO()
        marked_photo(face).save(data, "PNG")
        seen = look_at(Search(At(face), "ffhq", 64, 30), data.getvalue)
        assert [each.cut_off for each in seen.faces] == [cut_off]
        why = "face cut off: by the photo's edge" if cut_off else ""
        assert choose({"a": seen}, rules) == {"a#1": why}


def test_a_list_of_faces_is_left_out_without_searching_again(party: Path, tmp_path: Path) -> None:
    out, names = tmp_path / "out", tmp_path / "leave-out.txt"
    make(party, out)
    looked = Marked.looked
    names.write_text("two.png#2\n\nno such.png#1\n")
    with pytest.raises(UsageError, match="--renew makes it anew"):
        make(party, out, exclude=str(names))
    assert account(out)["two.png#2"]["reason"] == ""
    summary = make(party, out, exclude=str(names), renew=True)
    assert account(out)["two.png#2"]["reason"] == "face excluded: by --exclude"
    assert "1 lines name no face (such as 'no such.png#1')" in summary.repairs[0]
    assert 'data-id="two.png#2"' in (out / "review.html").read_text()
    names.write_text("two.png\n")  # a whole photo, in the same file
    with pytest.raises(UsageError, match="--renew makes it anew"):
        make(party, out, exclude=str(names))
    make(party, out, renew=True)
    assert account(out)["two.png#2"]["reason"] == ""
    assert Marked.looked == looked
    make(party, out, renew=True, min_face=30)  # smaller ones are looked for now
    assert Marked.looked > looked


def test_the_same_command_again_searches_only_what_is_new(party: Path, tmp_path: Path) -> None:
    assert not make(party, tmp_path / "out").already_done
    looked = Marked.looked
    assert make(party, tmp_path / "out").already_done
    save(party / "new.png", MarkedFace(100, 100, 60, seed=9))
    with pytest.raises(UsageError, match=r"1 image is new \(such as 'new.png#1'\)"):
        make(party, tmp_path / "out")
    make(party, tmp_path / "out", renew=True)
    assert "new.png#1" in pictures(tmp_path / "out")
    assert Marked.looked == looked + 1


def test_an_interrupted_search_goes_on_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_photo_search, "PHOTOS_PER_PART", 2)
    for number in range(8):
        save(tmp_path / "photos" / f"{number}.png", MarkedFace(100, 100, 60, seed=number))
    make(tmp_path / "photos", tmp_path / "whole")
    Marked.looked, Marked.interrupted_at = 0, 5
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "photos", tmp_path / "out")
    Marked.looked, Marked.interrupted_at = 0, None
    make(tmp_path / "photos", tmp_path / "out")
    assert Marked.looked == 4  # the third part was not whole
    files = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for path in files:
        assert (tmp_path / "out" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes(), path


def test_two_processes_and_an_archive_give_what_one_gives(party: Path, tmp_path: Path) -> None:
    one = make(party, tmp_path / "one")
    assert make(party, tmp_path / "two", workers=2).fingerprint == one.fingerprint
    with zipfile.ZipFile(tmp_path / "party.zip", "w") as archive:
        for path in sorted(party.iterdir()):
            archive.write(path, path.name)
    make(tmp_path / "party.zip", tmp_path / "three")
    first, third = (
        {id: image.tobytes() for id, image in pictures(tmp_path / name).items()} for name in ("one", "three")
    )
    assert first == third


def test_no_face_in_any_photo_is_said(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png")
    with pytest.raises(DataError, match=r"None of the 3 photos of .* can be used: 3 no face"):
        make(tmp_path / "photos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_heic_without_the_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.formats.images._heic_is_read", lambda: False)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        (tmp_path / "photos" / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    with pytest.raises(DataError, match=r"2 unreadable") as refused:
        make(tmp_path / "photos", tmp_path / "out")
    assert refused.value.hint == "pip install 'facegen[heic]'"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_and_heic_where_the_extra_is(tmp_path: Path) -> None:
    suffixes = ["avif"]
    if find_spec("pillow_heif") is not None:
        __import__("pillow_heif").register_heif_opener()
        suffixes.append("heic")
    for number, suffix in enumerate(suffixes):
        save(tmp_path / "photos" / f"{number}.{suffix}", MarkedFace(100, 100, 60, seed=number), quality=95)
    make(tmp_path / "photos", tmp_path / "out")
    assert len(pictures(tmp_path / "out")) == len(suffixes)


def test_a_photo_of_200_megapixels_is_a_row(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", MarkedFace(100, 100, 60))
    Image.new("1", (20_000, 10_000)).save(tmp_path / "photos" / "vast.png")
    make(tmp_path / "photos", tmp_path / "out")
    row = account(tmp_path / "out")["vast.png"]
    assert "more than 80,000,000 pixels" in row["reason"]


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facegen.finders import mtcnn

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(mtcnn, "import_module", absent)
    mtcnn._networks.cache_clear()
    save(tmp_path / "photos" / "a.png", MarkedFace(100, 100, 60))
    with pytest.raises(MissingModelError) as refused:
        make(tmp_path / "photos", tmp_path / "out", finder="mtcnn")
    assert "pip install 'facegen[faces]'" in str(refused.value)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"finder": "mtcn"}, "Did you mean 'mtcnn'"),
        ({"exclude": "nowhere.txt"}, "nowhere.txt"),
        ({"min_face": 3}, "min_face"),
        ({"min_sharpness": -1.0}, "min_sharpness"),
        ({"labels": "table.csv"}, "--labels"),
        ({"crop": "center"}, "Crops of photos"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_searched(more: Any, told: str, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", MarkedFace(100, 100, 60))
    with pytest.raises(FacegenError) as refused:
        make(tmp_path / "photos", tmp_path / "out", **more)
    assert told in str(refused.value)
    assert Marked.looked == 0


def test_what_is_for_photos_says_so_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--min-face is for other kinds"):
        prepare("image-folder", tmp_path, tmp_path / "out", PrepareOptions(min_face=40))


def test_people_are_no_doubles_and_of_many_copies_one_stays() -> None:
    def seen(seed: int, pixels: float) -> Any:
        data = io.BytesIO()
        marked_photo(MarkedFace(200, 200, pixels, seed=seed), size=(400, 400)).save(data, "PNG")
        return look_at(Search(Marked(), "ffhq", 64, 30), data.getvalue).faces[0]

    faces = {f"{seed} {pixels}": seen(seed, pixels) for seed in range(4) for pixels in (60, 120, 90)}
    assert doubles(faces) == {f"{seed} {pixels}": f"{seed} 120" for seed in range(4) for pixels in (60, 90)}


def test_a_click_puts_a_face_on_the_list(party: Path, tmp_path: Path, browser: Any) -> None:
    make(party, tmp_path / "out")
    page = browser.new_page()
    page.goto((tmp_path / "out" / "review.html").as_uri())
    assert page.locator(".face").count() == sum("#" in name for name in account(tmp_path / "out"))
    page.locator('button[data-id="two.png#2"]').click()
    assert page.locator("#names").input_value() == "two.png#2\n"
    with page.expect_download() as saved:
        page.locator("#save").click()
    assert Path(saved.value.path()).read_text() == "two.png#2\n"
    page.locator('button[data-id="two.png#2"]').click()
    assert page.locator("#names").input_value() == ""
    page.close()
