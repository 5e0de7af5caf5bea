"A training that is struck down goes on as if nothing had happened: real processes, real signals."

import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from safetensors.torch import load_file

from hrda_nb.data.samples import write_samples

FLAGS = (
    "--no-pretrained --channels 8 --context-size 64 64 --detail-size 32 32 --steps 12 --source-steps 6 --warmup 2 --log-every 2 --save-every 3 "
    "--eval-every 100 --picture-every 100 --rare-class-min-pixels 10 --device cpu"
).split()


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("city") / "city", seed=5, count=4, size=(64, 128))


def training(city, out, *more):
    command = [
        sys.executable,
        "-c",
        "import sys; from hrda_nb.cli import main; sys.exit(main())",
        "train",
        "mini",
        "--source",
        str(city / "source/train"),
        "--target",
        str(city / "target/train"),
        "--out",
        str(out),
        *FLAGS,
        *more,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def rows(out):
    log = out / "history.csv"
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


def wait_for_rows(process, out, n):
    while rows(out) < n and process.poll() is None:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(city):
    out = city.parent / "whole"
    process = training(city, out)
    assert process.wait() == 0, process.stderr.read()
    return out


@pytest.mark.parametrize(
    "how",
    [
        "kill",
        pytest.param(
            "interrupt",
            marks=pytest.mark.skipif(
                sys.platform == "win32", reason="no SIGINT for child processes on Windows"
            ),
        ),
    ],
)
def test_goes_on(city, whole, how):
    out = city.parent / how
    process = training(city, out)
    wait_for_rows(process, out, 4)
    process.kill() if how == "kill" else process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    if how == "interrupt":
        assert process.returncode == 130 and "go on with --resume" in error, error
    assert not (out / "last.safetensors").exists()
    process = training(city, out, "--resume")
    assert process.wait() == 0, process.stderr.read()
    a, b = load_file(whole / "last.safetensors"), load_file(out / "last.safetensors")
    assert all(a[k].equal(b[k]) for k in a)
    a, b = (pd.read_csv(o / "history.csv").drop(columns="seconds") for o in (whole, out))
    pd.testing.assert_frame_equal(a, b)
