"Trainings side by side: stopped together and going on, a failed one is a line and exit code 1."

import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from hrda_nb import cli
from hrda_nb.training.recipes import recipes

COMMAND = "import sys; from hrda_nb.cli import main; sys.exit(main())"
SIZES = "--no-pretrained --channels 8 --context-size 64 64 --detail-size 32 32 --workers 0"
STEPS = "--source-steps 1 --warmup 1 --rare-class-min-pixels 10 --log-every 1 --device cpu"
FLAGS = ["--encoder", "mit_tiny", *SIZES.split(), *STEPS.split()]
PLACES = {"source": "source/train", "target": "target/train", "val": "target/val"}


def train(city, out, *flags):
    "The arguments of a small training of two seeds"
    folders = [f"--{name}={city / path}" for name, path in PLACES.items()]
    return ["train", "demo", *FLAGS, *folders, "--seeds", "0", "1", f"--out={out}", *flags]


def start(args):
    "The command in a process of its own"
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def rows(out, seed):
    "How many steps a training has logged"
    history = out / f"seed_{seed}/history.csv"
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C for one process")
def test_ctrl_c_stops_both_and_the_same_command_goes_on(city, tmp_path):
    args = train(city, tmp_path, "--jobs=2", "--steps=150", "--eval-every=150")
    process = start(args)
    while process.poll() is None and min(rows(tmp_path, 0), rows(tmp_path, 1)) < 1:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert process.returncode == 130
    assert error.strip().endswith("hrda: stopped; the same command goes on from here")
    assert "Traceback" not in error
    for seed in (0, 1):
        assert list((tmp_path / f"seed_{seed}/resume").glob("state_*.json"))
        assert not (tmp_path / f"seed_{seed}/last.safetensors").exists()
        log = (tmp_path / f"seed_{seed}/log.txt").read_text(encoding="utf-8")
        assert "of 150; go on with --resume" in log

    assert cli.main(args) == 0
    for seed in (0, 1):
        history = pd.read_csv(tmp_path / f"seed_{seed}/history.csv")
        assert history.step.tolist() == list(range(1, 151))


def test_failed_training_of_the_demo_is_a_line_and_exit_code_1(tmp_path, monkeypatch, capfd):
    broken = replace(recipes["demo"], encoder_weights=str(tmp_path / "nowhere.pth"))
    monkeypatch.setitem(cli.recipes, "demo", broken)
    assert cli.main(["demo", "--jobs", "2", "--device", "cpu", "--out", str(tmp_path / "out")]) == 1
    error = capfd.readouterr().err
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("hrda: ") and "failed: " in last
    assert "nowhere.pth" in last and "the same command goes on" in last


def test_demo_trains_side_by_side_where_there_is_room(tmp_path, monkeypatch):
    asked = []

    def compare(recipe, *folders_and_jobs, **options):
        asked.append(folders_and_jobs[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "compare", compare)
    for threads in (1, 2, 8):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        cli.main(["demo", "--device", "cpu", "--out", str(tmp_path)])
    cli.main(["demo", "--device", "cpu", "--out", str(tmp_path), "--jobs", "1"])
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun has started all processes there are
    cli.main(["demo", "--device", "cpu", "--out", str(tmp_path)])
    assert asked == [1, 2, 2, 1, 1]


@pytest.mark.parametrize(
    "args, words",
    [
        ("demo --jobs 3", "--jobs 3: choose"),
        ("train demo --source a --target b --out c --jobs 2", "--jobs is for several trainings"),
    ],
)
def test_jobs_that_make_no_sense(args, words, capsys):
    assert cli.main(args.split()) == 2
    assert words in capsys.readouterr().err


def test_seeds_side_by_side_without_torchrun(city, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert cli.main(train(city, tmp_path / "out", "--jobs=2")) == 2
    assert "start it without torchrun" in capsys.readouterr().err
