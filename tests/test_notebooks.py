"Every notebook runs, says something on the web, is clean, and its module is what it exports."

import ast
import builtins
import json
import re
import shutil
import subprocess
import sys

import browser
import notebooks
import pytest
from notebooks import ROOT

PATHS = notebooks.paths()
ASSERTS = re.compile(r"\b(assert|test_\w+|expect_fail|torch\.testing|np\.testing|assert_close)\b")
MACHINE_PATH = re.compile(r"/(?:home|root|tmp|work|Users|private)/[\w.]|[A-Z]:\\\\\w")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "Notebooks and library in another place, after nbdev-export and nbdev-clean"
    to = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for part in ("nbs", "hrda_nb"):
        shutil.copytree(ROOT / part, to / part, ignore=skip)
    for part in ("pyproject.toml", "settings.ini"):
        shutil.copy(ROOT / part, to)
    for command in (
        "nbdev.doclinks import nbdev_export as run",
        "nbdev.clean import nbdev_clean as run",
    ):
        subprocess.run(
            [sys.executable, "-c", f"from {command}; run.__wrapped__()"], cwd=to, check=True
        )
    return to


def changed(old, new, pattern):
    "Files that differ, or stand in one of two folders only"

    def names(root):
        return {
            p.relative_to(root)
            for p in root.rglob(pattern)
            if "__pycache__" not in p.parts and ".ipynb_checkpoints" not in p.parts
        }

    def text(file):
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def same(p):
        return text(old / p) == text(new / p)

    return sorted(str(p) for p in names(old) | names(new) if not same(p))


def test_modules_are_what_the_notebooks_export(copy):
    assert changed(ROOT / "hrda_nb", copy / "hrda_nb", "*.py") == [], "run nbdev-export"


def test_notebooks_are_clean(copy):
    assert changed(ROOT / "nbs", copy / "nbs", "*.ipynb") == [], "run nbdev-clean"


def test_every_module_comes_from_a_notebook():
    from_notebooks = set(notebooks.modules())
    by_hand = [
        p
        for p in (ROOT / "hrda_nb").rglob("*.py")
        if p not in from_notebooks and p.name not in ("__init__.py", "_modidx.py")
    ]
    assert by_hand == []


@pytest.mark.parametrize("path", PATHS)
def test_reads_well_on_the_web(path):
    nb = notebooks.load(path)
    size = (ROOT / path).stat().st_size
    code = [c for c in nb["cells"] if c["cell_type"] == "code"]
    outputs = [o for c in code for o in c["outputs"]]
    first = next(c for c in nb["cells"] if c["cell_type"] == "markdown")
    title, subtitle, *more = filter(str.strip, "".join(first["source"]).splitlines())
    assert title.startswith("# ")
    assert subtitle.startswith("> ")
    assert not more, "text after the subtitle is lost in the docs: give it a cell of its own"
    assert size <= 300_000, f"{size // 1000} KB, over the limit of 300 KB"
    assert outputs or not code, "no outputs: readers on the web see nothing"
    assert [o for o in outputs if o["output_type"] == "error"] == []
    stderr = ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]
    assert stderr == [], "warnings or progress bars in the outputs"
    paths = [text[1] for text in re.finditer(rf"(.{{0,60}}{MACHINE_PATH.pattern})", json.dumps(nb))]
    assert paths == [], "names a path of one machine"


@pytest.mark.parametrize("path", PATHS)
def test_exports_are_tested_where_they_stand(path):
    cells = notebooks.code_cells(path)
    if any(map(notebooks.is_exported, cells)):
        others = [c for c in cells if not notebooks.is_exported(c)]
        assert any(map(ASSERTS.search, others)), "exports, but asserts nothing"


def names(tree):
    "Names that code reads, and names that it binds"
    loads, bound = set(), set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Name):
            (loads if isinstance(n.ctx, ast.Load) else bound).add(n.id)
        if isinstance(n, (ast.Import, ast.ImportFrom)):
            bound |= {(a.asname or a.name).split(".")[0] for a in n.names}
        if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)):
            bound.add(n.name)
        if isinstance(n, ast.arg):
            bound.add(n.arg)
    return loads, bound


@pytest.mark.parametrize("path", PATHS)
def test_cells_with_imports_need_no_other_cell(path):
    "The documentation runs every cell that holds an import or an export, and no other"
    cells = notebooks.code_cells(path)
    if not any(map(notebooks.is_exported, cells)):
        return
    known = {*dir(builtins), "get_ipython", "show_doc"}
    missing = {}
    for source in cells:
        is_exported = notebooks.is_exported(source)
        tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))
        if is_exported or any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(tree)):
            loads, bound = names(tree)
            known |= bound
            if not is_exported and loads - known:
                missing[source] = loads - known
    assert missing == {}


@pytest.mark.parametrize("module", [p.relative_to(ROOT).as_posix() for p in notebooks.modules()])
def test_exported_names_have_type_hints(module):
    bare = []
    for name, f in notebooks.public(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        args = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
        args = [a for a in args if a.arg not in ("self", "cls")]
        bare += [f"{name}({a.arg})" for a in args if a.annotation is None]
    assert bare == []


CELL = 40  # lines of an exported cell; longer is two ideas


def test_length_of_exported_cells(remark):
    "A report: how many cells are longer than 40 lines, and which are longest"
    cells = [
        (len(source.splitlines()), path.split("/")[-1].removesuffix(".ipynb"))
        for path in PATHS
        for source in filter(notebooks.is_exported, notebooks.code_cells(path))
    ]
    long = sorted((cell for cell in cells if cell[0] > CELL), reverse=True)
    names = ", ".join(f"{name} {lines}" for lines, name in long[:10]) or "-"
    remark(
        f"{len(long)} of {len(cells)} exported cells have more than {CELL} lines; longest: {names}"
    )


WRITTEN = ("nbs", "tests", "tools", "benchmarks", "setup.py")  # the library is exported


@pytest.mark.parametrize("command", [("check", "hrda_nb"), ("format", "--check")])
def test_ruff(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *WRITTEN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def test_a_failing_notebook_fails(tmp_path):
    "The runner sees a failing cell, counts flagged cells, and is not content with no cell at all"
    path = tmp_path / "a.ipynb"

    def run(*sources):
        browser.write_notebook(path, *sources)
        return notebooks.run(str(path))

    good = run("1+1", "#| slow\n1/0")
    assert good.ok, good.log
    assert (good.cells, good.skipped) == (1, 1)
    bad = run("1+1", "1/0")
    assert not bad.ok
    assert "ZeroDivisionError" in bad.log
    flagged = run("#| cuda\n1/0")
    assert (flagged.cells, flagged.skipped) == (0, 1)


HAS_BROWSER = bool(browser.find())
# test_browser.py runs these: nothing runs twice
IN_BROWSER = {p for p in PATHS if HAS_BROWSER and ("/walkthroughs/" in p or "/apps/" in p)}


@pytest.mark.parametrize("executed", sorted(set(PATHS) - IN_BROWSER))
def test_runs(executed, request, note_run):
    run = notebooks.run(executed, request.config.getoption("--flags").split())
    note_run(executed, run)
    assert run.ok, f"{executed} failed after {run.seconds:.0f} s\n{run.log}"
    assert run.cells or not notebooks.code_cells(executed), "no cell ran"
