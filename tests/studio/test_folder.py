"""The studio's folder stays small."""

import os

from facegen.studio.folder import UPLOADS, remove_leftovers, tidy


def fill(folder, count, size=1):
    paths = [folder / UPLOADS / f"upload-{number}" / "photo.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(size))
        os.utime(path, (number, number))
    return paths


def test_the_oldest_files_go_with_their_folders(tmp_path):
    paths = fill(tmp_path, 5)
    tidy(tmp_path, max_files=3)
    assert [path.exists() for path in paths] == [False, False, True, True, True]
    assert not paths[0].parent.exists()


def test_the_oldest_go_until_the_others_are_small_enough(tmp_path):
    paths = fill(tmp_path, 5, size=100)
    tidy(tmp_path, max_bytes=250)
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_what_broken_uploads_left_goes_and_whole_ones_stay(tmp_path):
    (whole,) = fill(tmp_path, 1)
    (tmp_path / UPLOADS / "tmp123").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert whole.exists()
    assert not (tmp_path / UPLOADS / "tmp123").exists()
