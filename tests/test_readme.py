"The README is made from nbs/index.ipynb, and what it tells people to type exists."

import configparser
import re
import subprocess
import sys

import notebooks
import pytest
from notebooks import ROOT

from hrda_nb.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"```\w+\n(.*?)```", README, re.DOTALL))


def test_readme_is_made_from_the_index():
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, 'tools'); from readme import readme; "
            "sys.stdout.buffer.write(readme().encode())",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert made == README, "run python tools/readme.py"


def test_ci_runs_the_readmes_own_command():
    command = re.search(r"^python3 -m venv .* -m pytest$", README, re.MULTILINE)[0]
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


def test_extras_exist():
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    named = {
        extra for extras in re.findall(r'-e "\.\[(.+?)\]"', CODE) for extra in extras.split(",")
    }
    assert named
    assert {f"{n}_requirements" for n in named} <= set(config["DEFAULT"])


LINES = sorted(
    set(re.findall(r"\bhrda (\w[^#;&\n]*)", CODE.replace("from hrda", "")))
)  # e.g. "train mini --source source"


@pytest.mark.parametrize("line", LINES)
def test_hrda_commands_exist(line, capsys):
    "with the options the README gives them"
    words = line.split(" --")[0].split()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert words[0] in shown.out
    assert [o for o in re.findall(r"--[\w-]+", line) if o not in shown.out] == []


def test_the_first_lines_of_python_run():
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len(example.splitlines()) <= 5
    shown = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert re.match(r"\(\d+, \d+\) 0\.\d+", shown.stdout)


def test_it_is_short():
    "and shows what it is, the picture, the commands and some Python on the first screen"
    lines = README.splitlines()
    assert len(lines) <= 120
    first = "\n".join(lines[:40])
    assert all(part in first for part in ("widgets.gif", "hrda demo", "pytest", "import hrda_nb"))


def test_every_notebook_is_listed(monkeypatch):
    "on the front page of the documentation, with its title of today"
    monkeypatch.chdir(ROOT / "nbs")
    known = {}
    for source in notebooks.code_cells("nbs/index.ipynb"):
        exec(source, known)
    outputs = [o for c in notebooks.load("nbs/index.ipynb")["cells"] for o in c.get("outputs", [])]
    shown = "".join(outputs[-1]["data"]["text/markdown"])
    assert shown == known["contents"](), "run nbs/index.ipynb"
    others = {"nbs/index.ipynb", "nbs/equations.ipynb"}
    listed = {f"nbs/{link}" for link in re.findall(r"\(([\w/]+\.ipynb)\)", shown)}
    assert listed == set(notebooks.paths()) - others
    assert "equations.ipynb" in README
