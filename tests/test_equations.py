"nbs/equations.ipynb leads from every cited equation to the function that computes it."

import ast
import re

import notebooks
import pytest
from notebooks import ROOT

PAPERS = {"SegFormer", "DAFormer", "HRDA", "ClassMix", "DACS", "CBST", "ProDA", "MIC", "PiPa"}
CITES = re.compile(rf"\((?:[^()]*; )?({'|'.join(sorted(PAPERS))}), ([^();]+)")
CODE = notebooks.code_cells("nbs/equations.ipynb")
SHOWN = [c for c in notebooks.load("nbs/equations.ipynb")["cells"] if c.get("outputs")]


@pytest.fixture(scope="module")
def page():
    "What the notebook's definitions say: `rows`, `where`, `table`"
    known = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "nbs")
        for source in CODE:
            exec(source, known)
    return known


def rows(page):
    "Paper, equation, meaning and function names of each row"
    return [line.split(" | ") for line in page["rows"].strip().splitlines()]


def cited():
    "Functions, classes and methods whose docstring cites one of the papers: name -> citation"
    found = {}
    for module, notebook in notebooks.modules().items():
        if notebook.startswith(("nbs/26", "nbs/27")):  # views show what other notebooks compute
            continue
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for name, node in definitions(tree):
            citation = CITES.search(ast.get_docstring(node) or "")
            if citation:
                found[name] = citation[0]
    return found


def definitions(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}", method


def test_every_cited_equation_is_in_the_table(page):
    listed = {name for row in rows(page) for name in row[3].split()}
    citations = cited()
    missing = {name: text for name, text in citations.items() if name not in listed}
    assert len(citations) > len(PAPERS)
    assert missing == {}, "add a row to nbs/equations.ipynb"


def test_every_row_leads_to_a_definition(page):
    exported = {
        name
        for module in notebooks.modules()
        for name, _ in definitions(ast.parse(module.read_text(encoding="utf-8")))
    }
    for row in rows(page):
        for name in row[3].split():
            assert name in exported, f"{name} is not in the library"
            notebook, heading = page["where"][name]
            text = (ROOT / f"nbs/{notebook}.ipynb").read_text(encoding="utf-8")
            assert name.split(".")[-1] in text
            assert heading


def test_every_paper_has_a_table(page):
    assert {row[0] for row in rows(page)} == PAPERS
    code = "\n".join(CODE)
    assert [paper for paper in PAPERS if f'table("{paper}")' not in code] == []


def test_the_page_is_up_to_date(page):
    for cell in SHOWN:
        paper = re.search(r'table\("(\w+)"\)', "".join(cell["source"]))[1]
        shown = "".join(cell["outputs"][0]["data"]["text/markdown"])
        assert shown == page["table"](paper).data, "run nbs/equations.ipynb"
    assert len(SHOWN) == len(PAPERS)


def test_citations_are_found():
    found = [CITES.search(text) for text in ("A (MIC, eq. 4).", "B (Mean Teacher; DACS).", "C.")]
    assert found[0].groups() == ("MIC", "eq. 4")
    assert found[1:] == [None, None]
