"Exercises follow one pattern, and what is solved is noted outside of the repository."

import os
import re
import sys
from pathlib import Path

import forked
import notebooks
import pytest
from notebooks import ROOT

sys.path.append(str(ROOT / "tools"))
import lessons

from hrda_nb.data.glossary import GLOSSARY
from hrda_nb.data.lessons import (
    LESSONS,
    Exercises,
    note_solved,
    progress_file,
    read_lessons,
    read_progress,
)

WALKTHROUGHS = ROOT / "nbs/walkthroughs"
CHECKS = re.compile(r'^ *check\(\s*"([^"]+)"', re.MULTILINE)
ASKING = [p for p in notebooks.paths() if any(map(CHECKS.search, notebooks.code_cells(p)))]


def test_every_lesson_is_in_the_course():
    found = {p.stem for p in WALKTHROUGHS.glob("*.ipynb")} - {"course"}
    assert found == set(LESSONS)


@pytest.mark.parametrize("lesson", read_lessons(WALKTHROUGHS), ids=LESSONS)
def test_a_lesson_can_be_finished(lesson):
    assert lesson.exercises >= 3
    assert 3 <= len(lesson.checks) == len({*lesson.checks})
    assert lesson.state({lesson.name: lesson.checks}) == "finished"


@pytest.mark.parametrize("path", ASKING)
def test_exercises_follow_one_pattern(path):
    "An answer is open, its cell says so, and nothing else judges."
    stem = Path(path).stem
    assert f'check = Exercises("{stem}")' in "\n".join(notebooks.code_cells(path))
    if stem == "00d_lessons":  # which shows what the cells say
        return
    for cell in notebooks.load(path)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert not re.search(r'print\(.*"right"|not yet', source)
            shown = "".join(t for o in cell["outputs"] for t in o.get("text", []))
            assert all(f"{name}: not answered yet" in shown for name in CHECKS.findall(source))


def test_an_unanswered_notebook_notes_nothing():
    assert notebooks.run("nbs/08_crops.ipynb").ok
    assert "08_crops" not in read_progress()


def test_tests_note_nothing_in_the_users_folder(monkeypatch, tmp_path):
    assert not progress_file().is_relative_to(Path.home() / ".local")
    monkeypatch.delenv("HRDA_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert not progress_file().is_relative_to(ROOT)


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="XDG is Linux'")
def test_progress_lies_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.delenv("HRDA_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    Exercises("a")("b", 1, 1)
    assert (tmp_path / "hrda_nb/progress.json").exists()
    assert read_progress() == {"a": ["b"]}


def note_twenty(lesson):
    for i in range(20):
        note_solved(lesson, str(i))


def test_two_notebooks_note_at_once(monkeypatch, tmp_path):
    file = str(tmp_path / "progress.json")
    monkeypatch.setenv("HRDA_PROGRESS", file)
    running = [forked.Child(tmp_path / n, note_twenty, n, HRDA_PROGRESS=file) for n in "ab"]
    assert [process.wait() for process in running] == [0, 0], running[0].err + running[1].err
    assert {n: len(solved) for n, solved in read_progress().items()} == {"a": 20, "b": 20}


@pytest.mark.parametrize("term", GLOSSARY)
def test_a_terms_notebook_uses_it(term):
    path = ROOT / f"nbs/{GLOSSARY[term].notebook}.ipynb"
    assert path.exists()
    pattern = term.replace("-", "[- ]")
    cells = notebooks.load(path)["cells"]
    assert re.search(pattern, " ".join("".join(c["source"]) for c in cells), re.IGNORECASE)


@pytest.mark.parametrize("name, least", [("course", 10), ("adapt_in_five_minutes", 10)])
def test_first_uses_carry_their_definition(name, least):
    text = (WALKTHROUGHS / f"{name}.ipynb").read_text(encoding="utf-8")
    shown = re.findall(r"<abbr title=.*?>(.*?)</abbr>", text)
    assert len(set(shown)) == len(shown) >= least
    assert "glossary.ipynb" in text


@pytest.mark.parametrize("path", lessons.paths(), ids=lambda path: path.stem)
def test_notebooks_are_finished(path):
    "Definitions are the glossary's, hidden cells and solutions are folded"
    assert path.read_text(encoding="utf-8") == lessons.finished(path), "run python tools/lessons.py"


def test_launch_links():
    "Two links and the line that Colab needs, once the repository has an address"
    nb = dict(cells=[dict(cell_type="markdown", id="a", metadata={}, source=["# A"])])
    assert len(lessons.finish(nb, "scale_up", None)["cells"]) == 1
    with_links = lessons.finish(nb, "scale_up", "somebody/hrda")
    text = "".join(with_links["cells"][1]["source"])
    notebook = "nbs/walkthroughs/scale_up.ipynb"
    assert f"colab.research.google.com/github/somebody/hrda/blob/main/{notebook})" in text
    assert f"mybinder.org/v2/gh/somebody/hrda/main?urlpath=lab/tree/{notebook})" in text
    assert "%pip install" in text
    assert lessons.finish(with_links, "scale_up", "somebody/hrda") == with_links
    assert lessons.finish(with_links, "scale_up", None) == nb
