"Data flows one way: data -> models -> uda -> inference -> plots -> training -> widgets -> cli; a module imports only from its left."
import ast
import subprocess
import sys

import notebooks
import pytest
from notebooks import ROOT

ROOMS = "data", "models", "uda", "inference", "plots", "training", "widgets", "cli"

def position(module, numbers):
    "Where `hrda_nb.room.module` stands: (room, notebook number); a whole room stands at its end"
    room = module.split(".")[1]
    assert room in ROOMS, f"{module}: no such room"
    return ROOMS.index(room), numbers.get(module, 99)

def imported(source, module):
    "Every hrda_nb module that `source`, the code of `module`, imports, wherever the import stands"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[:-node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{origin}.{a.name}" if origin.count(".") < (1 if origin.endswith(FLAT) else 2) else origin for a in node.names]
        else: continue
        yield from (".".join(n.split(".")[:3]) for n in names if n.split(".")[0] == "hrda_nb" and n != "hrda_nb")

FLAT = tuple(f"hrda_nb.{room}" for room in ("plots", "widgets", "cli"))  # rooms that are one module

def steps_back(sources, numbers):
    "Imports against the order: (importing module, imported module)"
    return [(m, i) for m, source in sources.items() for i in imported(source, m)
            if i.split(".")[1] in ROOMS and position(i, numbers) >= position(m, numbers)]

def name(path): return ".".join(path.relative_to(ROOT).with_suffix("").parts)

MODULES = {name(p): number for p, number in notebooks.modules().items()}
SOURCES = {name(p): p.read_text(encoding="utf-8") for p in notebooks.modules()}

def test_modules_import_only_from_their_left():
    assert MODULES, "no exported modules found"
    assert steps_back(SOURCES, MODULES) == []

@pytest.mark.parametrize("line", ["from hrda_nb.training.trainer import train", "from ..training.trainer import train", "import hrda_nb.cli",
                                  "from ..uda import losses", "from .hrda import build_model", "def f():\n    from hrda_nb import plots"])
def test_a_step_back_is_seen(line):
    numbers = {"hrda_nb.models.crops": 8, "hrda_nb.models.hrda": 10, "hrda_nb.uda.losses": 12, "hrda_nb.plots": 22}
    assert steps_back({"hrda_nb.models.crops": line}, numbers)

def test_steps_forward_are_fine():
    numbers = {"hrda_nb.data.labels": 0, "hrda_nb.models.crops": 8, "hrda_nb.models.hrda": 10, "hrda_nb.plots": 22, "hrda_nb.cli": 27}
    right = {"hrda_nb.models.hrda": "import torch\nfrom .crops import Box\nfrom ..data.labels import UserError\nfrom hrda_nb import __version__",
             "hrda_nb.cli": "from .plots import show\nfrom hrda_nb.plots import show"}
    assert steps_back(right, numbers) == []

def test_notebooks_follow_the_same_order():
    "Cells that are not exported too; a figure may use plots"
    numbered = {p: int(p.split("/")[-1][:2]) for p in notebooks.paths() if p.split("/")[-1][:2].isdigit()}
    place = {number: position(m, MODULES) for m, number in MODULES.items()}
    wrong = []
    for path, number in numbered.items():
        for source in notebooks.code_cells(path):
            lines = "\n".join(line for line in source.splitlines() if "hrda_nb" in line and "import" in line and line.lstrip() == line)
            wrong += [(path, m) for m in imported(lines, "notebook") if m != "hrda_nb.plots" and m.split(".")[1] in ROOMS
                      and position(m, MODULES) > place.get(number, (99,))]
    assert wrong == []

def test_libraries_import_names_one_by_one():
    stars = [m for m, source in SOURCES.items() for node in ast.walk(ast.parse(source))
             if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)]
    assert stars == []

def test_importing_the_package_is_light():
    code = "import hrda_nb, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "hrda_nb" in loaded
    assert not {"torch", "timm", "transformers", "matplotlib", "pandas", "jupyterlab"} & set(loaded)
