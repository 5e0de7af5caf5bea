"How the code reads, in figures (`python tools/style.py`), stays within limits."

import statistics
import sys

import pytest
from notebooks import ROOT

sys.path.append(str(ROOT / "tools"))
import style

PLACES = {
    "library": ["hrda_nb"],
    "notebooks": ["nbs"],
    "around them": ["tests", "tools", "benchmarks", "setup.py"],
}
MEDIAN = 50  # characters of a code line
PERCENT_OVER = 5  # of functions over 25 lines
PUBLIC_NAMES = 300  # of the library


@pytest.fixture(scope="module")
def figures():
    "place -> its figures"
    return {name: style.measure([str(ROOT / p) for p in PLACES[name]]) for name in PLACES}


@pytest.mark.parametrize("place", PLACES)
def test_no_line_is_too_long(figures, place):
    assert figures[place].long_lines == []


@pytest.mark.parametrize("place", PLACES)
def test_one_statement_a_line(figures, place):
    assert figures[place].joined == 0


@pytest.mark.parametrize("place", PLACES)
def test_long_functions_have_a_reason(figures, place):
    assert [f"{f.name}: {f.lines}" for f in figures[place].unexplained] == []


@pytest.mark.parametrize("place", PLACES)
def test_most_functions_are_short(figures, place):
    assert figures[place].percent_over <= PERCENT_OVER


def test_lines_are_short(figures):
    assert statistics.median(figures["library"].code) <= MEDIAN


def test_the_library_shows_what_users_need(figures):
    assert 0 < figures["library"].public_names <= PUBLIC_NAMES


def test_what_is_measured(tmp_path):
    "A long line, a joined statement, a long function with a reason and one without"
    body = "    pass\n" * 41
    names = f"__all__ = ['{'a' * 120}',\n 'b']\n"
    code = f"{names}x = 1; y = 2\n# long: a table\ndef f():\n{body}\ndef g():\n{body}\n"
    (tmp_path / "a.py").write_text(code + f"z = '{'z' * 100}'\n", encoding="utf-8")
    found = style.measure([str(tmp_path)])
    assert len(found.long_lines) == 1
    assert found.joined == 1
    assert [(f.name, f.lines, f.reason) for f in found.over] == [
        ("a.f", 42, "a table"),
        ("a.g", 42, ""),
    ]
    assert [f.name for f in found.unexplained] == ["a.g"]
    assert found.percent_over == 100
    assert found.public_names == 2
