"`import hrda_nb` is light, and leads to the names that most people need."

import inspect
import os
import re
import subprocess
import sys

import pytest
from notebooks import ROOT

import hrda_nb
from hrda_nb.cli import main

NAMES = [name for name in hrda_nb.__all__ if not name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_names_lead_somewhere(name):
    value = getattr(hrda_nb, name)
    assert value is not None
    if inspect.isfunction(value) or inspect.isclass(value):
        assert value.__doc__, f"help(hrda_nb.{name}) says nothing"


def test_names_are_offered_before_they_are_loaded():
    code = "import hrda_nb, sys; print(*dir(hrda_nb)); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    offered, torch_loaded = done.stdout.splitlines()
    assert set(NAMES) <= set(offered.split())
    assert torch_loaded == "False"


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'build'"):
        hrda_nb.build  # noqa: B018


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("command", [["--help"], ["train", "mini", "--help"], ["lessons"]])
def test_a_reader_may_leave(command):
    "as in `hrda train mini --help | head -1`"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "hrda_nb.cli", *command]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_begins_with_what_every_training_needs(capsys):
    with pytest.raises(SystemExit):
        main(["train", "mini", "--help"])
    said = capsys.readouterr().out
    flags = re.findall(r"^  (--[\w.-]+)", said, re.MULTILINE)
    assert flags[:6] == ["--source", "--out", "--target", "--val", "--classes", "--resume"]
    assert len(flags) == len(set(flags)) > 100
    headings = re.findall(r"^ (\w.*?) *\n -+ *$", said, re.MULTILINE)
    assert len(headings) > 15
