"A training that is interrupted goes on as if nothing had happened: real processes, real signals."

import functools
import os
import shutil
import signal
import sys
import time

import psutil
import pytest
from notebooks import ROOT

sys.path.append(str(ROOT / "tools"))
from kill_and_resume import (
    Kill,
    Training,
    differences,
    finish,
    install,
    newest_state,
    slow_down,
    wrap,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and forked processes")

WORKERS = ("--workers", "2")


@pytest.fixture(scope="module")
def whole(city):
    "A training that was left alone"
    out = city.parent / "whole"
    finish(city, out)
    return out


@pytest.fixture(scope="module")
def halfway(city):
    "A training killed in step 8 of 12, with the states of steps 3 and 6"
    out = city.parent / "halfway"
    kill_at(city, out, Kill("step", 8))
    return out


def kill_at(city, out, kill, *flags):
    training = Training(city, out, *flags, before=functools.partial(install, kill))
    assert training.wait() == [-signal.SIGKILL], training.words


def wait_for_state(training, after=0):
    "Until a state after a step counts"
    while newest_state(training.out) <= after and training.is_alive:
        time.sleep(0.01)


def loaders(training):
    "The loading processes of a training"
    return psutil.Process(training.processes[0].pid).children()


def refused(training):
    "What a training says that ends with a user's mistake: one line"
    assert training.wait() == [2], training.words
    lines = [line for line in training.words.splitlines() if line.startswith("hrda: ")]
    assert "Traceback" not in training.words
    return lines[-1]


def test_killed_again_and_again(city, whole):
    "In the first step, inside files, before and after their names, while evaluating"
    out = city.parent / "killed"
    kills = [
        Kill("step", 1),
        Kill("state", 1),  # half a file
        Kill("row", 2),  # half a line, and no state yet
        Kill("state", 1, after=True),  # a file without a name
        Kill("step", 4),
        Kill("new name", 3, after=True),
        Kill("evaluation", 1),
        Kill("result", 1),
    ]
    for number, kill in enumerate(kills):
        kill_at(city, out, kill, *(["--resume"] if number else []))
    finish(city, out, "--resume")
    assert differences(whole, out) == ""


def test_an_unfinished_beginning_is_no_dead_end(city, whole):
    "Without --resume it begins anew"
    out = city.parent / "beginning"
    kill_at(city, out, Kill("state", 1))
    assert len((out / "history.csv").read_text().splitlines()) == 2
    finish(city, out)
    assert differences(whole, out) == ""


def flip(path):
    "Flip one bit"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


def test_a_flipped_byte_and_torn_tables(city, whole, halfway):
    out = shutil.copytree(halfway, city.parent / "flipped")
    flip(out / "resume/state_000006.rank0.pt")
    history = (out / "history.csv").read_bytes()
    (out / "history.csv").write_bytes(history[:-9])
    (out / "metrics.csv").unlink()
    words = finish(city, out, "--resume")
    assert "state_000006.rank0.pt is damaged; the state of step 6 is skipped" in words
    assert differences(whole, out) == ""


def test_no_whole_state_left(city, halfway):
    out = shutil.copytree(halfway, city.parent / "damaged")
    for path in (out / "resume").glob("*.pt"):
        flip(path)
    line = refused(Training(city, out, "--resume"))
    assert "no state is whole (of steps [6, 3]); start again without --resume" in line
    kill_at(city, out, Kill("step", 1))  # it does begin again


def test_one_training_a_folder(city, whole):
    "A killed one frees its folder at once, and its loading processes end by themselves"
    out = city.parent / "locked"
    first = Training(city, out, *WORKERS, before=slow_down)
    wait_for_state(first)
    orphans = loaders(first)
    line = refused(Training(city, out, "--resume"))
    pid = first.processes[0].pid
    assert "another training writes here" in line and f"process {pid} on" in line
    assert len(orphans) >= 2
    first.kill()
    finish(city, out, "--resume")
    assert differences(whole, out) == ""
    assert psutil.wait_procs(orphans, timeout=15)[1] == []


def test_signals_to_all_processes_of_a_group(city, whole):
    "As Ctrl-C, SLURM and Docker send them"
    out = city.parent / "signals"
    for number, name in enumerate(("SIGTERM", "SIGINT", "SIGUSR1")):
        resumed = ["--resume"] if number else []
        before = newest_state(out)
        training = Training(city, out, *WORKERS, *resumed, before=slow_down)
        wait_for_state(training, before)
        training.signal(getattr(signal, name), group=True)
        assert training.wait() == [130], training.words
        assert "go on with --resume" in training.words.splitlines()[-1]
        assert "Traceback" not in training.words
    finish(city, out, "--resume", *WORKERS)
    assert differences(whole, out) == ""


def test_a_loading_process_is_killed(city, whole):
    out = city.parent / "loader"
    training = Training(city, out, *WORKERS, before=slow_down)
    wait_for_state(training)
    for loader in loaders(training):
        loader.kill()
    line = refused(training)
    assert "a loading process was killed" in line and "go on with --resume" in line
    finish(city, out, "--resume", *WORKERS)
    assert differences(whole, out) == ""


def fill_disk(place, call, limit):
    "Let no file grow over some bytes while a place is at its n-th call"
    import resource

    def around(inner, number, args):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if number == call:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            return inner()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    wrap(place, around)


def test_a_full_disk(city, whole):
    "In the first state, in a later one, in a row, in the result"
    out = city.parent / "full"
    full = [
        ("state", 1, 10_000, "state_000003.rank0.pt: cannot be written (File too large)"),
        ("row", 2, 150, "history.csv: cannot be written (File too large)"),
        ("state", 2, 10_000, "the state of step 6 is whole: go on from it with --resume"),
        ("result", 1, 10_000, "last.safetensors: cannot be written"),
    ]
    for number, (place, call, limit, words) in enumerate(full):
        fill = functools.partial(fill_disk, place, call, limit)
        resumed = ["--resume"] if number else []
        line = refused(Training(city, out, *resumed, before=fill))
        assert words in line
        assert "untouched" not in line
    finish(city, out, "--resume")
    assert differences(whole, out) == ""


def test_several_processes(city):
    "One is asked to stop and all do; as many go on exactly, another number nearly"
    whole, parts = city.parent / "two_whole", city.parent / "two"
    finish(city, whole, processes=2)
    training = Training(city, parts, processes=2, before=slow_down)
    wait_for_state(training)
    os.kill(training.processes[1].pid, signal.SIGTERM)
    assert training.wait() == [130, 130], training.words
    assert newest_state(parts) > 0
    other = shutil.copytree(parts, city.parent / "one")

    finish(city, parts, "--resume", processes=2)
    assert differences(whole, parts) == ""
    words = finish(city, other, "--resume", "--batch-size", "4")
    assert "began with 2 processes and goes on with 1" in words


def test_prototypes_go_on(city):
    "They are as wide as the encoder's features, which nobody knows before the first batch."
    flags = "--self-training.quality-of prototype --self-training.prototype-momentum 0.5"
    flags = f"{flags} --self-training.prototype-temperature 10".split()
    whole, parts = city.parent / "prototypes", city.parent / "prototypes_in_parts"
    finish(city, whole, *flags)
    kill_at(city, parts, Kill("step", 11), *flags)
    assert newest_state(parts) == 9  # adaptation has begun
    finish(city, parts, "--resume", *flags)
    assert differences(whole, parts) == ""
