"""`hrda predict` and `hrda evaluate` of many pictures: two processes share them out, and after a
kill the same command goes on."""

import functools
import itertools
import json
import os
import subprocess
import sys
import time

import forked
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hrda_nb.cli import main
from hrda_nb.data.labels import cityscapes
from hrda_nb.models.hrda import build_model
from hrda_nb.models.weights import save_checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and SIGKILL")
PICTURES = 12
MANIFEST = "predictions.json"
NUMBERS = itertools.count()
IN_TWO = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A checkpoint, and labelled pictures of several sizes in two data folders"
    home = tmp_path_factory.mktemp("many")
    torch.manual_seed(0)
    model = build_model("hrda", "mit_b0", detail_size=(32, 32), channels=8)
    save_checkpoint(home / "net.safetensors", model, dict(classes=cityscapes.as_dict()))
    cityscapes.to_json(home / "classes.json")
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        folder = home / ("a" if i < PICTURES / 2 else "b")
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        size = (160 + 8 * (i % 3), 224)
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{i:02d}.png")
        ids = rng.choice([7, 8, 11, 23, 26], size).astype(np.uint8)
        Image.fromarray(ids).save(folder / f"labels/{i:02d}.png")
    return home


def launched(home, *args):
    "Exit code and errors of the command in two processes that torchrun starts"
    done = subprocess.run(
        [sys.executable, "-m", *IN_TWO, "hrda_nb.cli", *args, "--device", "cpu"],
        cwd=home,
        capture_output=True,
        text=True,
        env=os.environ | dict(OMP_NUM_THREADS="1"),
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


class Two:
    "The command in two processes, without a launcher"

    def __init__(self, home, *args):
        log = home / f"log{next(NUMBERS)}"
        start = functools.partial(forked.hrda, folder=home)
        words = *map(str, args), "--device", "cpu"
        self.processes = [start(f"{log}.{env['RANK']}", *words, **env) for env in forked.group(2)]

    def said(self):
        "What both said, once they have ended well"
        assert [p.wait() for p in self.processes] == [0, 0], [p.err for p in self.processes]
        return "".join(p.out for p in self.processes)

    def kill_when(self, is_far_enough):
        "SIGKILL to both; False if one had ended before"

        def is_running():
            return all(p.poll() is None for p in self.processes)

        while is_running() and not is_far_enough():
            time.sleep(0.005)
        was_running = is_running()
        for process in self.processes:
            process.kill()
        return was_running


def in_this_process(home, *args):
    "Exit code of the command in one process"
    before = os.getcwd()
    os.chdir(home)
    try:
        return main([*args, "--device", "cpu"])
    finally:
        os.chdir(before)


def pixels(folder):
    return {p.name: np.asarray(Image.open(p)).tolist() for p in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def alone(home):
    "What one process predicts"
    assert in_this_process(home, "predict", "net.safetensors", "a", "b", "--out", "alone") == 0
    return pixels(home / "alone")


def test_two_processes_predict_what_one_does(home, alone):
    torn = [home / "a/images/torn.jpg", home / "b/images/torn2.jpg"]
    for path in torn:
        path.write_bytes(b"torn")
    code, error = launched(home, "predict", "net.safetensors", "a", "b", "--out", "two")
    assert code == 1, error  # the launcher's code for any failure
    for path in torn:
        path.unlink()
    assert error.count("hrda: ") == 1
    assert f"2 of {PICTURES + 2} pictures left out, the others are in two" in error
    assert error.index("torn.jpg:") < error.index("torn2.jpg:")
    assert f"{PICTURES + 2}/{PICTURES + 2}" in error  # one bar for all
    assert pixels(home / "two") == alone and len(alone) == PICTURES
    assert sorted(p.name for p in (home / "two").iterdir()) == [*sorted(alone), MANIFEST]


def test_a_killed_prediction_goes_on(home, alone, capsys):
    out = home / "killed"
    # nobody writes into this pipe: the first process waits at it, in the middle of its pictures
    os.mkfifo(home / "pipe.png")
    command = ["predict", "net.safetensors", "a", "pipe.png", "b", "--out", "killed"]

    def done():
        return list(out.glob("*.png"))

    there = PICTURES * 3 // 4
    assert Two(home, *command).kill_when(lambda: len(done()) == there)
    (home / "pipe.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in done()}
    assert len(before) == there
    command.remove("pipe.png")
    assert Two(home, *command).said() == f"{PICTURES} pictures in killed\n"  # once
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert pixels(out) == alone
    capsys.readouterr()
    assert in_this_process(home, *command, "--flip") == 2
    assert "hrda: killed: holds predictions made with other flip" in capsys.readouterr().err
    assert json.loads((out / MANIFEST).read_text())["flip"] is False


def scores(path):
    return pd.read_csv(path, header=[0, 1], index_col=0)


def test_a_killed_evaluation_goes_on(home, capsys):
    command = ["evaluate", "net.safetensors", "--data", "a", "b", "--out"]
    assert in_this_process(home, *command, "alone.csv") == 0
    parts = home / "killed.csv.parts"

    def lines():
        return sum(p.read_text().count("]\n") for p in parts.glob("*.jsonl"))

    assert Two(home, *command, "killed.csv").kill_when(lambda: lines() >= 2)
    known = lines()
    assert known >= 2 and not (home / "killed.csv").exists()
    capsys.readouterr()
    assert in_this_process(home, *command, "killed.csv") == 0  # in another number of processes
    said = capsys.readouterr()
    assert said.out.count("mIoU in percent") == 1
    first = min(known, PICTURES // 2)
    assert f" {first}/{PICTURES // 2} " in said.err or f" {first - 1}/{PICTURES // 2} " in said.err
    pd.testing.assert_frame_equal(scores(home / "killed.csv"), scores(home / "alone.csv"))
    assert not parts.exists()
    assert Two(home, *command, "two.csv").said().count("mIoU in percent") == 1
    pd.testing.assert_frame_equal(scores(home / "two.csv"), scores(home / "alone.csv"))
    assert scores(home / "alone.csv").loc["mIoU"].notna().all()
