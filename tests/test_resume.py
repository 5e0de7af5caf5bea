"A training that is interrupted goes on as if nothing had happened: real processes, real signals."

import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from safetensors.torch import load_file

from hrda_nb.data.samples import write_samples

COMMAND = "import sys; from hrda_nb.cli import main; sys.exit(main())"
SIZES = "--no-pretrained --channels 8 --context-size 64 64 --detail-size 32 32"
STEPS = "--steps 12 --source-steps 6 --warmup 2 --rare-class-min-pixels 10 --device cpu"
EVERY = "--log-every 2 --save-every 3 --eval-every 100 --picture-every 100"

no_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="no SIGINT for child processes on Windows"
)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("city") / "city", seed=5, count=4, size=(64, 128))


def training(city, out, *more):
    "A training in a process of its own"
    source = ["--source", str(city / "source/train")]
    target = ["--target", str(city / "target/train")]
    flags = f"{SIZES} {STEPS} {EVERY}".split()
    command = [sys.executable, "-c", COMMAND, "train", "mini", *source, *target]
    return subprocess.Popen(
        [*command, "--out", str(out), *flags, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def finish(process):
    error = process.communicate()[1]
    assert process.returncode == 0, error


def rows(out):
    log = out / "history.csv"
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


def wait_for_rows(process, out, n):
    while rows(out) < n and process.poll() is None:
        time.sleep(0.02)


def history(out):
    return pd.read_csv(out / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def uninterrupted(city):
    out = city.parent / "uninterrupted"
    finish(training(city, out))
    return out


@pytest.mark.parametrize("by", ["kill", pytest.param("interrupt", marks=no_signals)])
def test_an_interrupted_training_goes_on(city, uninterrupted, by):
    out = city.parent / by
    process = training(city, out)
    wait_for_rows(process, out, 4)
    if by == "kill":
        process.kill()
    else:
        process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    if by == "interrupt":
        assert process.returncode == 130 and "go on with --resume" in error, error
    assert not (out / "last.safetensors").exists()

    finish(training(city, out, "--resume"))
    assert_equal_trainings(uninterrupted, out)


def assert_equal_trainings(one, other):
    expected = load_file(one / "last.safetensors")
    found = load_file(other / "last.safetensors")
    assert all(expected[k].equal(found[k]) for k in expected)
    pd.testing.assert_frame_equal(history(one), history(other))


def test_prototypes_go_on(city):
    "They are as wide as the encoder's features, which nobody knows before the first batch."
    flags = "--self-training.quality-of prototype --self-training.prototype-momentum 0.5"
    flags = f"{flags} --self-training.prototype-temperature 10".split()
    whole, parts = city.parent / "prototypes", city.parent / "prototypes_in_parts"
    finish(training(city, whole, *flags))
    process = training(city, parts, *flags)
    wait_for_rows(process, parts, 5)  # of six: adaptation has begun
    process.kill()
    process.communicate()
    finish(training(city, parts, "--resume", *flags))
    assert_equal_trainings(whole, parts)
    assert history(whole).quality.notna().any()
