"Write README.md from nbs/index.ipynb: `python tools/readme.py`."

import re
from pathlib import Path, PurePosixPath

import nbformat
from nbconvert import MarkdownExporter
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]


def page_cells(cell):
    "What a reader sees of a cell: nothing hidden, no source of `echo: false`, no directives"
    if cell.cell_type != "code":
        return [cell]
    directives = {
        line.removeprefix("#|").strip()
        for line in cell.source.splitlines()
        if line.startswith("#|")
    }
    if {"hide", "readme: false"} & directives:
        return []
    if "echo: false" in directives:
        return [new_markdown_cell(o["data"]["text/markdown"]) for o in cell.outputs]
    cell.source = "\n".join(s for s in cell.source.splitlines() if not s.startswith("#|")).strip()
    return [cell] if cell.source else []


def link(target):
    "A link that starts in nbs/, seen from the root"
    if re.match(r"[a-z]+:|#", target):
        return target
    parts = PurePosixPath("nbs", target).parts
    return "/".join(parts[2:] if parts[1] == ".." else parts)


def readme():
    "The text of README.md"
    nb = nbformat.read(ROOT / "nbs/index.ipynb", as_version=4)
    nb.cells = [shown for cell in nb.cells for shown in page_cells(cell)]
    text, resources = MarkdownExporter().from_notebook_node(nb)
    assert not resources["outputs"], "save pictures of index.ipynb under nbs/images and link them"
    text = re.sub(r"(\]\()([^)\s]+)(\))", lambda m: m[1] + link(m[2]) + m[3], text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(), encoding="utf-8", newline="\n")
