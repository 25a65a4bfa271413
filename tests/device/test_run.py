"""The live release classifies a file, whatever form the picture has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drops import Made
from picture_files import COLOUR, GREY, live_in, npz, png, pnm
from PIL import Image

import fcnship.device
from fcnship.device.inference import _scores, classify, images_of, nearest_size
from fcnship.device.live import Live
from fcnship.device.manifest import Manifest, read_manifest
from fcnship.sizes import Profile, Size

PACKAGE = Path(fcnship.device.__file__).parents[2]


@pytest.fixture(scope="module")
def live(drops: tuple[Made, Made], tmp_path_factory: pytest.TempPathFactory) -> Live:
    """The first drop, live; it takes grey images of 8x8 to 16x16, 1 to 4 at once, in 0 to 1."""
    return live_in(tmp_path_factory.mktemp("run") / "root", drops[0])


@pytest.fixture
def colour(drop: Made) -> Manifest:
    """A manifest of a network that takes RGB in -1 to 1, channels last."""
    drop.rewrite(lambda m: m["network"].update(channels=3, value_range=[-1, 1], layout="nhwc"))
    return read_manifest(drop.folder)


def test_an_image_has_its_scores_and_the_best_label(live: Live, tmp_path: Path) -> None:
    facts = classify(live, png(tmp_path / "a.png", GREY))
    (image,) = facts["images"]
    assert [row["label"] for row in image["scores"]] == ["a", "b", "c"]
    assert sum(row["score"] for row in image["scores"]) == pytest.approx(1)
    assert image["top"] == max(image["scores"], key=lambda row: row["score"])
    assert (facts["size"], facts["profile"], facts["precision"]) == ([10, 12], 0, "fp32")
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_same_picture_in_every_form_has_the_same_scores(live: Live, tmp_path: Path) -> None:
    values = (GREY / 255).astype(np.float32)
    files = [
        png(tmp_path / "a.png", GREY),
        png(tmp_path / "b.bmp", GREY),
        pnm(tmp_path / "c.pgm", GREY),
        pnm(tmp_path / "d.ppm", np.repeat(GREY[..., None], 3, 2)),
        png(tmp_path / "e.webp", GREY, lossless=True),
        npz(tmp_path / "f.npz", image=GREY),
        npz(tmp_path / "g.npz", image=GREY[..., None]).rename(tmp_path / "g.NPZ"),
        npz(tmp_path / "h.npz", image=values[None, None], other=np.zeros(3)),
        npz(tmp_path / "i.npz", image=values.astype(np.float64)),
    ]
    np.save(tmp_path / "j.npy", values[None, None])
    np.save(tmp_path / "k.npy", np.asfortranarray(GREY))
    files += [tmp_path / "j.npy", tmp_path / "k.npy"]
    scores = [classify(live, file)["images"][0]["scores"] for file in files]
    wanted = [row["score"] for row in scores[0]]
    for file, rows in zip(files, scores, strict=True):
        assert [row["score"] for row in rows] == pytest.approx(wanted, abs=1e-6), file


def test_golden_files_can_be_run(live: Live) -> None:
    golden = live.manifest.golden[1]
    facts = classify(live, live.folder / golden.file)
    with np.load(live.folder / golden.file) as arrays:
        expected = arrays["expected"]
    got = [[row["score"] for row in image["scores"]] for image in facts["images"]]
    assert np.abs(np.array(got) - expected).max() < 1e-6


def test_pixels_are_brought_to_the_value_range(colour: Manifest, tmp_path: Path) -> None:
    fed = images_of(png(tmp_path / "a.png", COLOUR), colour)
    assert (fed.shape, fed.dtype) == ((1, 10, 12, 3), np.float32)
    assert np.abs(fed[0] - (COLOUR / 127.5 - 1)).max() < 1e-6
    assert np.array_equal(images_of(pnm(tmp_path / "a.ppm", COLOUR), colour), fed)
    assert np.array_equal(images_of(npz(tmp_path / "a.npz", image=COLOUR), colour), fed)
    grey = images_of(pnm(tmp_path / "a.pgm", GREY), colour)
    assert np.array_equal(grey, images_of(png(tmp_path / "grey.png", GREY), colour))
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_colour_becomes_grey_as_pillow_does_it(live: Live, tmp_path: Path) -> None:
    by_hand = images_of(pnm(tmp_path / "a.ppm", COLOUR), live.manifest)
    assert np.array_equal(by_hand, images_of(png(tmp_path / "a.png", COLOUR), live.manifest))


def test_a_photograph_is_turned_upright(live: Live, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is at the right
    path = png(tmp_path / "a.png", GREY, exif=exif)
    fed = images_of(path, live.manifest)
    assert fed.shape == (1, 1, 12, 10)
    assert np.array_equal(fed[0, 0], np.rot90(GREY, -1) / np.float32(255))


def test_the_size_of_a_photograph_is_that_of_the_upright_one(drop: Made, tmp_path: Path) -> None:
    drop.rewrite(lambda m: m["profiles"][0].update(max=[16, 12]))
    exif = Image.Exif()
    exif[0x0112] = 8
    path = png(tmp_path / "a.png", np.zeros((10, 16), np.uint8), exif=exif)
    assert images_of(path, read_manifest(drop.folder)).shape == (1, 1, 16, 10)


def test_what_is_transparent_is_white(live: Live, tmp_path: Path) -> None:
    pixels = np.zeros((10, 12, 4), np.uint8)
    pixels[:5, :, 3] = 255
    fed = images_of(png(tmp_path / "a.png", pixels), live.manifest)
    assert (fed[0, 0, 0, 0], fed[0, 0, 9, 0]) == (0, 1)


def test_of_several_profiles_the_nearest_size() -> None:
    small, tall = (
        Profile(Size(8, 8), Size(8, 8), Size(16, 16)),
        Profile(Size(64, 8), Size(64, 8), Size(80, 16)),
    )
    assert nearest_size([small, tall], Size(50, 8)) == Size(64, 8)
    assert nearest_size([small, tall], Size(20, 8)) == Size(16, 8)


def test_a_map_is_the_mean_of_its_cells(drop: Made) -> None:
    manifest = read_manifest(drop.rewrite(lambda m: m["network"].update(labels=[])).folder)
    cells = np.array([[[1, 0]], [[0, 0]], [[0, 1]]], np.float32)  # three classes, 1 row, 2 columns
    told = _scores(cells, manifest)
    assert (told["rows"], told["columns"], told["top"]) == (1, 2, {"label": "0", "score": 0.5})
    assert [row["score"] for row in told["scores"]] == [0.5, 0, 0.5]


def test_the_commands(live: Live, tmp_path: Path) -> None:
    root, path = live.folder.parents[1], pnm(tmp_path / "a.pgm", GREY)

    def command(*words: str) -> tuple[int, dict[str, Any], str]:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        done = subprocess.run(
            [sys.executable, "-m", "fcnship.device", *words],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    status, facts, told = command("run", str(path), "--root", str(root))
    assert (status, facts["ok"], facts["command"]) == (0, True, "run")
    assert told == f"fcnship-device: {path}: {facts['images'][0]['top']['label']} " + (
        f"({facts['images'][0]['top']['score']:.4f})\n"
    )
    status, facts, told = command("run", str(tmp_path / "none.png"), "--root", str(root))
    assert (status, facts["ok"], facts["error"]["exit"]) == (3, False, 3)
    assert f"{tmp_path / 'none.png'} cannot be classified" in told
    copy = shutil.copytree(root, tmp_path / "root", symlinks=True)
    (copy / "current").unlink()
    assert command("run", str(path), "--root", str(copy))[0] == 2
