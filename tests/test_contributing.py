"The recipes of CONTRIBUTING.md do what they say, as they are written."

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import nbformat
import pytest
from nbformat.v4 import new_code_cell
from notebooks import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_LINES = 15  # of code for a part of one's own


def blocks(title, language):
    "The code blocks of a section"
    section = re.split(r"^## ", TEXT.split(f"## {title}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run(command, folder, **settings):
    "The output of a command that has to succeed"
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(places), "PYTHONUTF8": "1"} | settings
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_python(code, folder):
    "The lines in a process of their own"
    child = forked.Child(folder / "log", exec, code, {"__name__": "__main__"}, folder=folder)
    assert child.wait(300) == 0, child.err


@pytest.fixture
def clone(tmp_path):
    "The parts of the tree that exporting needs, in another place"
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "walkthroughs", "apps")
    for part in ("nbs", "hrda_nb", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=skip)
    for part in ("pyproject.toml", "settings.ini"):
        shutil.copy(ROOT / part, tmp_path)
    return tmp_path


def test_edit_a_notebook_and_export_it(clone):
    cells = blocks("Recipe 1", "python")
    (commands,) = blocks("Recipe 1", "bash")
    path = clone / "nbs/00a_registry.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells += [new_code_cell(source.strip()) for source in cells]
    nbformat.write(nb, path)
    for line in commands.splitlines():
        run(line.split(), clone, PYTHONPATH=str(clone))
    module = clone / "hrda_nb/data/registry.py"
    assert cells[0].splitlines()[1] in module.read_text(encoding="utf-8")
    assert "'names'" in module.read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["an encoder", "a decoder"])
def test_add_a_part(part, tmp_path):
    number = {"an encoder": 2, "a decoder": 3}[part]
    definition, training = blocks(f"Recipe {number}: add {part}", "python")
    assert len(definition.splitlines()) <= MOST_LINES
    assert len(training.splitlines()) <= MOST_LINES
    run_python(f"{definition}\n{training}\nassert int(history.step.iloc[-1]) == 10", tmp_path)


def test_add_a_loss(tmp_path):
    definition, training = blocks("Recipe 4", "python")
    assert len(definition.splitlines()) <= MOST_LINES
    assert len(training.splitlines()) <= MOST_LINES
    check = 'assert 0 < float(losses["entropy"]) < 0.01 * 19; assert step.iteration == 10'
    run_python(f"{definition}\n{training}\n{check}", tmp_path)


def test_the_commands_exist():
    "Files that the page names"
    named = re.findall(r"python ((?:tools|tests)/\w+\.py)", TEXT)
    assert {"tools/style.py", "tools/torch_versions.py"} <= set(named)
    assert [f for f in named if not (ROOT / f).is_file()] == []
    assert "pre-commit" in (ROOT / "settings.ini").read_text(encoding="utf-8")
