"""What two processes write of a training they share: one log of a tracker, one report, one
summary of several seeds; and which launchers start them."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from notebooks import ROOT

sys.path.append(str(ROOT / "tools"))
from kill_and_resume import FLAGS, finish

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs forked processes")


def named(folder, pattern):
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob(pattern))]


def test_a_tracker_few_labels_and_a_report(city):
    out = city.parent / "tracked"
    few = "--target-labels", str(city / "source/train")
    words = finish(city, out, *few, "--trackers", "tensorboard", processes=2)
    events = named(out, "events.out.tfevents*")  # one for settings, one for the rest
    assert len({name.split(".")[-2] for name in events}) == 1, events  # by one process
    history = pd.read_csv(out / "history.csv")
    assert list(history.step) == [2, 4, 6, 8, 10, 12]
    assert (history.labelled[history.phase == "adapt"] > 0).all()
    metrics = pd.read_csv(out / "metrics.csv")
    assert not metrics.duplicated(["step", "class"]).any()
    assert "</html>" in (out / "report.html").read_text(encoding="utf-8")
    assert words.count("report: ") == 1
    assert words.count("result: ") == 1


def test_seeds(city):
    "Both go through the same folders; tables and page are written once, and nothing is left over"
    out = city.parent / "seeds"
    words = finish(city, out, "--seeds", "0", "1", processes=2)
    assert words.count("mIoU on ") == 1
    assert named(out, "last.safetensors") == ["seed_0/last.safetensors", "seed_1/last.safetensors"]
    assert {path.name for path in out.iterdir()} == {"report.html", "seed_0", "seed_1", "seeds.csv"}
    table = pd.read_csv(out / "seeds.csv")
    assert {"seed_0", "seed_1"} <= set(table)
    states = [pd.read_csv(out / f"seed_{seed}/history.csv") for seed in (0, 1)]
    assert not states[0].source.equals(states[1].source)
    again = finish(city, out, "--seeds", "0", "1", processes=2)  # nothing is left to do
    assert again.count("mIoU on ") == 1


@pytest.mark.slow
def test_accelerate_starts_two_on_a_cpu(city):
    "With --multi_gpu, whatever its name says"
    out = city.parent / "launched"
    folders = ["--source", city / "source/train", "--target", city / "target/train", "--out", out]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "hrda_nb.cli", "train"]
    done = subprocess.run(
        [*launch, "mini", *map(str, folders), *FLAGS, "--steps", "2"],
        capture_output=True,
        text=True,
        env=os.environ | dict(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("result: ") == 1
    assert len(named(out, "state_000002.rank*.pt")) == 2
