"""Put into the lessons what is alike in all of them: `python tools/lessons.py`.

* Definitions of terms, `<abbr title="">logits</abbr>`, from the glossary.
* Folded cells: what the documentation hides, and solutions with their outputs; in the notebooks
  of the library the solutions alone.
* Links that open a lesson on Colab or Binder, as soon as pyproject.toml names the repository:
  `Repository = "https://github.com/OWNER/NAME"` under `[project.urls]`."""

import json
import re
from pathlib import Path

from hrda_nb.data.glossary import hover
from hrda_nb.data.lessons import LESSONS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "nbs/walkthroughs"
LAUNCH = "launch"  # id of the cell with links
COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"


def repository() -> str | None:
    "OWNER/NAME on GitHub, if pyproject.toml tells"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"', text, re.MULTILINE)
    return found[1] if found else None


def launch_cell(name: str, owner_and_name: str) -> dict:
    "Links that open a lesson elsewhere"
    path = f"{FOLDER}/{name}.ipynb"
    colab = f"{COLAB}/github/{owner_and_name}/blob/main/{path}"
    binder = f"{BINDER}/v2/gh/{owner_and_name}/main?urlpath=lab/tree/{path}"
    package = f'"hrda_nb[offline] @ git+https://github.com/{owner_and_name}"'
    text = (
        f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({colab})\n"
        f"[![Open on Binder]({BINDER}/badge_logo.svg)]({binder})\n\n"
        f"On Colab, run this in a new cell first: `%pip install {package}`"
    )
    return dict(cell_type="markdown", id=LAUNCH, metadata={}, source=text.splitlines(True))


def with_definitions(text: str) -> str:
    "The text with each term's definition in its title"
    return re.sub(r'<abbr title="[^"]*">(.*?)</abbr>', lambda m: hover(m[1]), text)


def folded(source: str, in_lesson: bool) -> dict[str, bool]:
    "What JupyterLab does not show of a cell until it is clicked on"
    directives = {s[2:].strip() for s in source.splitlines() if s.startswith("#|")}
    if "code-fold: true" in directives:  # a solution
        return dict(outputs_hidden=True, source_hidden=True)
    is_hidden = in_lesson and {"hide", "echo: false"} & directives
    return dict(source_hidden=True) if is_hidden else {}


def finish_cell(cell: dict, in_lesson: bool = True) -> dict:
    "A cell as it should be"
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return cell | dict(source=with_definitions(source).splitlines(True)) if in_lesson else cell
    fold = folded(source, in_lesson)
    others = {k: v for k, v in cell["metadata"].items() if k != "jupyter"}
    return cell | dict(metadata=others | (dict(jupyter=fold) if fold else {}))


def finish(nb: dict, name: str, owner_and_name: str | None) -> dict:
    "A lesson as it should be"
    cells = [finish_cell(c) for c in nb["cells"] if c["id"] != LAUNCH]
    if owner_and_name and name in LESSONS:
        cells.insert(1, launch_cell(name, owner_and_name))
    return nb | dict(cells=cells)


def finished(path: Path) -> str:
    "The text of a notebook's file as it should be"
    nb = json.loads(path.read_text(encoding="utf-8"))
    if path.parent == ROOT / FOLDER:
        nb = finish(nb, path.stem, repository())
    else:
        nb |= dict(cells=[finish_cell(cell, in_lesson=False) for cell in nb["cells"]])
    return json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def paths() -> list[Path]:
    "The lessons, and the notebooks with solutions"
    others = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
    with_solutions = [p for p in others if "#| code-fold: true" in p.read_text(encoding="utf-8")]
    return [*sorted((ROOT / FOLDER).glob("*.ipynb")), *with_solutions]


def main() -> None:
    for path in paths():
        path.write_text(finished(path), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
