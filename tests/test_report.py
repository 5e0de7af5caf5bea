"The page about a training: in a real browser, after a stop, and what it must never do."

import itertools
import json
import os
import signal
import sys
import time
from dataclasses import replace

import browser
import forked
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hrda_nb.cli import main
from hrda_nb.data.labels import UserError
from hrda_nb.training import report
from hrda_nb.training.recipes import recipes
from hrda_nb.training.trainer import train

SIZES = "--no-pretrained --channels 8 --context-size 64 64 --detail-size 32 32"
STEPS = "--source-steps 1 --warmup 1 --rare-class-min-pixels 10 --log-every 1 --device cpu"
FLAGS = ["--encoder", "mit_tiny", *SIZES.split(), *STEPS.split()]
PLACES = {"source": "source/train", "target": "target/train", "val": "target/val"}
TINY = replace(
    recipes["demo"],
    encoder="mit_tiny",
    pretrained=False,
    channels=8,
    context_size=(64, 64),
    detail_size=(32, 32),
    steps=4,
    source_steps=1,
    warmup=1,
    log_every=1,
    eval_every=2,
    picture_every=2,
    save_every=2,
    rare_class_min_pixels=10,
)


@pytest.fixture(scope="module")
def where(city):
    folders = dict(source=city / "source/train", target=city / "target/train")
    return folders | dict(val=city / "target/val", device="cpu", progress=False)


@pytest.fixture(scope="module")
def run(where, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    train(TINY, **where, out=out)
    return out


HEADINGS = "() => [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
PICTURES = """() => [...document.querySelectorAll('img')]
  .map(i => [i.alt.length, i.complete && i.naturalWidth])"""
DRAWINGS = """() => [...document.querySelectorAll('svg')]
  .map(s => [s.getAttribute('role'), s.getAttribute('aria-label')])"""
IDS = "() => [...document.querySelectorAll('[id]')].map(e => e.id)"
TABLES = """() => [...document.querySelectorAll('table')]
  .map(t => !!t.caption && t.querySelectorAll('th[scope]').length > 1)"""
WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"
COLOUR = "() => getComputedStyle(document.body).backgroundColor"


def test_page_in_a_browser(run):
    "No complaint, no request, words for every picture, headings in order, wide tables scroll"
    executable = browser.needed()
    said, asked = [], []
    address = (run / "report.html").as_uri()
    with browser.open_page(executable) as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(dict(width=390, height=800))
        page.goto(address)
        headings = page.evaluate(HEADINGS)
        pictures = page.evaluate(PICTURES)
        drawings = page.evaluate(DRAWINGS)
        ids = page.evaluate(IDS)
        tables = page.evaluate(TABLES)
        wide, screen = page.evaluate(WIDTHS)
        colour = page.evaluate(COLOUR)
        page.set_viewport_size(dict(width=1200, height=900))
        page.emulate_media(color_scheme="light")
        light = page.evaluate(COLOUR)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))
    assert len(pictures) == 3 and all(words and width for words, width in pictures)
    assert len(drawings) == 4 and all(role == "img" and words for role, words in drawings)
    assert len(ids) == len(set(ids))
    assert len(tables) == 5 and all(tables)
    assert wide <= screen
    assert (light, colour) == ("rgb(255, 255, 255)", "rgb(20, 23, 27)")


def test_what_a_run_leaves(run):
    assert len((run / "report.html").read_bytes()) < 2_000_000
    confusion = pd.read_csv(run / "confusion.csv", index_col="truth")
    assert list(confusion.index) == list(confusion.columns)
    assert set(map(str, confusion.dtypes)) == {"int64"}
    names = sorted(p.name for p in (run / "pictures").iterdir())
    kinds = ("batch", "step")
    assert names == [f"{kind}_{step:06d}.jpg" for kind in kinds for step in (2, 4)]
    (start,) = json.loads((run / "about.json").read_text(encoding="utf-8"))["starts"]
    assert start["step"] == 0 and start["peak_gib"] > 0


def test_stopped_training_has_a_page_and_a_second_start(city, tmp_path):
    out = tmp_path / "out"
    folders = ["--source", city / "source/train", "--target", city / "target/train"]
    args = ["train", "demo", *FLAGS, *folders, "--steps", 5000, "--out", out]
    process = forked.hrda(tmp_path / "log", *args)
    while not (out / "history.csv").exists() and process.poll() is None:
        time.sleep(0.05)
    if sys.platform == "win32":
        process.kill()
    else:
        os.kill(process.process.pid, signal.SIGTERM)
        assert process.wait(60) == 130
        assert "Stopped or under way: step" in (out / "report.html").read_text(encoding="utf-8")
        (out / "report.html").unlink()
    process.wait(60)
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Stopped or under way: step" in page and "begun, " in page


def test_failing_page_is_a_line(where, tmp_path, monkeypatch, capsys):
    def fail(out):
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr(report, "write_report", fail)
    history = train(replace(TINY, steps=1, source_steps=0), **where, out=tmp_path / "out")
    assert len(history) == 1 and (tmp_path / "out/last.safetensors").exists()
    error = capsys.readouterr().err
    assert "no report could be written (no ink)" in error and "Traceback" not in error


def test_no_training_is_a_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "holds no training" in capsys.readouterr().err


class PowerCut(Exception):
    pass


def test_tensorboard_goes_on_without_doubled_steps(where, tmp_path):
    "Steps logged after the last state are logged again, and stand there once"

    def cut_power(row):
        if row["step"] == 3:
            raise PowerCut

    options = dict(where, out=tmp_path / "out", trackers=["tensorboard"])
    with pytest.raises(PowerCut):
        train(TINY, **options, callback=cut_power)
    history = train(TINY, **options, resume=True)
    log = EventAccumulator(str(tmp_path / "out/tensorboard"))
    log.Reload()
    events = log.Scalars("train/source")
    assert [event.step for event in events] == history.step.tolist()
    assert [e.value for e in events] == pytest.approx(history.source.tolist(), rel=1e-5)
    assert {"val_fused/mIoU", "val_detail/road"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Images("pictures/batch")] == [2, 4]
    starts = json.loads((tmp_path / "out/about.json").read_text(encoding="utf-8"))["starts"]
    assert [start["step"] for start in starts] == [0, 2]


def test_missing_tracker_is_said_before_anything_is_written(where, tmp_path):
    with pytest.raises(UserError, match="no tracker is called 'tensorbord'"):
        train(TINY, **where, out=tmp_path / "out", trackers=["tensorbord"])
    assert not (tmp_path / "out").exists()


def test_seeds_on_the_command_line(city, tmp_path, capsys):
    folders = [f"--{name}={city / path}" for name, path in PLACES.items()]
    args = ["train", "demo", *FLAGS, *folders, "--steps", "2", "--eval-every", "2"]
    args += ["--seeds", "0", "1", "--out", str(tmp_path / "out")]
    assert main([*args, "--baseline"]) == 0
    assert "difference" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out/seeds.csv")
    fused = table[(table["view"] == "fused") & (table["class"] == "mIoU")].set_index("row")
    assert fused.n.tolist() == [2, 2] and fused.low["adapted"] <= fused.high["adapted"]
    written = (tmp_path / "out/seed_0/last.safetensors").stat().st_mtime_ns
    assert main(args) == 0
    assert (tmp_path / "out/seed_0/last.safetensors").stat().st_mtime_ns == written
    assert main([*args, "--resume"]) == 2
    assert "leave --resume out" in capsys.readouterr().err
