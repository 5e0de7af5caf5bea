"`import hrda_nb` is light, and leads to the names that most people need."

import inspect
import subprocess
import sys

import pytest
from notebooks import ROOT

import hrda_nb

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
