"The README is made from nbs/index.ipynb, and what it tells people to type exists."

import configparser
import re
import subprocess
import sys

import notebooks
import pytest
from notebooks import ROOT

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
def test_hrda_commands_exist(line):
    "with the options the README gives them"
    words = line.split(" --")[0].split()
    main = "import sys; from hrda_nb.cli import main; sys.exit(main())"
    shown = subprocess.run(
        [sys.executable, "-c", main, *words, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert words[0] in shown.stdout
    assert [o for o in re.findall(r"--[\w-]+", line) if o not in shown.stdout] == []


def test_every_notebook_is_listed():
    missing = [
        p
        for p in notebooks.paths()
        if p not in README and "/apps/" not in p and p != "nbs/index.ipynb"
    ]
    assert missing == [], "run nbs/index.ipynb, then python tools/readme.py"
