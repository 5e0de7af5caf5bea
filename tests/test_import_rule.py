"""Data flows one way: data -> models -> uda -> inference -> plots -> training -> widgets -> cli; a module imports only from its left,
and inside data, models, uda and widgets only from notebooks of a lower number (26a, 26b, ...; a package's own notebook comes after its modules)."""

import ast
import re
import subprocess
import sys

import notebooks
import pytest
from notebooks import ROOT

ROOMS = "data", "models", "uda", "inference", "plots", "training", "widgets", "cli"
ORDERED = (
    "data",
    "models",
    "uda",
    "widgets",
)  # rooms whose notebooks build on each other in the order of their numbers
FLAT = tuple(
    f"hrda_nb.{room}" for room in ("plots", "widgets", "cli")
)  # rooms that names are imported from: one module, or a package that re-exports


def room(module):
    return module.split(".")[1]


def goes_back(here, there, numbers):
    "Does module `here` step back when it imports `there`? A whole room stands after all its modules."
    if room(here) != room(there):
        return ROOMS.index(room(there)) > ROOMS.index(room(here))
    return (
        room(here) in ORDERED and here != there and numbers.get(there, 99) >= numbers.get(here, 99)
    )


def imported(source, module):
    "Every hrda_nb module that `source`, the code of `module`, imports, wherever the import stands"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [
                f"{origin}.{a.name}"
                if origin.count(".") < (1 if origin.endswith(FLAT) else 2)
                else origin
                for a in node.names
            ]
        else:
            continue
        yield from (
            ".".join(n.split(".")[:3])
            for n in names
            if n.split(".")[0] == "hrda_nb" and n != "hrda_nb"
        )


def steps_back(sources, numbers):
    "Imports against the order: (importing module, imported module)"
    return sorted(
        {
            (m, i)
            for m, source in sources.items()
            for i in imported(source, m)
            if room(i) in ROOMS and goes_back(m, i, numbers)
        }
    )


def name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def number(notebook, module):
    "Where a module stands in the order: 8 for 08_crops, 26.02 for 26b_..., 26.99 for the notebook of the package"
    digits, letter = re.search(r"/(\d+)([a-z]?)_", notebook).groups()
    return int(digits) + (
        0.99 if module.endswith("__init__") else (ord(letter) - 96) / 100 if letter else 0
    )


NOTEBOOKS = {notebook: name(p) for p, notebook in notebooks.modules().items()}
MODULES = {m: number(notebook, m) for notebook, m in NOTEBOOKS.items()}
SOURCES = {name(p): p.read_text(encoding="utf-8") for p in notebooks.modules()}


def test_modules_import_only_from_their_left():
    assert MODULES, "no exported modules found"
    assert steps_back(SOURCES, MODULES) == []


@pytest.mark.parametrize(
    "line",
    [
        "from hrda_nb.training.trainer import train",
        "from ..training.trainer import train",
        "import hrda_nb.cli",
        "from ..uda import losses",
        "from .decoders import conv",
        "from .hrda import build_model",
        "def f():\n    from hrda_nb import plots",
    ],
)
def test_a_step_back_is_seen(line):
    numbers = {
        "hrda_nb.models.decoders": 8,
        "hrda_nb.models.crops": 8,
        "hrda_nb.models.hrda": 10,
        "hrda_nb.uda.losses": 12,
        "hrda_nb.plots": 22,
    }
    assert steps_back({"hrda_nb.models.crops": line}, numbers)


def test_widgets_build_on_each_other():
    "The package's own module imports from all of them, and none from it"
    numbers = {
        "hrda_nb.widgets.canvas": number("nbs/26a_canvas.ipynb", "hrda_nb.widgets.canvas"),
        "hrda_nb.widgets.crops": number("nbs/26g_crops.ipynb", "hrda_nb.widgets.crops"),
        "hrda_nb.widgets.__init__": number("nbs/26_widgets.ipynb", "hrda_nb.widgets.__init__"),
    }
    assert (
        steps_back(
            {
                "hrda_nb.widgets.__init__": "from .canvas import Canvas\nfrom .crops import explore_crops",
                "hrda_nb.widgets.crops": "from .canvas import Canvas",
            },
            numbers,
        )
        == []
    )
    assert steps_back({"hrda_nb.widgets.canvas": "from .crops import explore_crops"}, numbers)
    assert steps_back(
        {"hrda_nb.widgets.canvas": "from hrda_nb.widgets import explore_crops"}, numbers
    )


def test_steps_forward_are_fine():
    numbers = {
        "hrda_nb.data.labels": 0,
        "hrda_nb.models.crops": 8,
        "hrda_nb.models.hrda": 10,
        "hrda_nb.plots": 22,
        "hrda_nb.cli": 27,
    }
    right = {
        "hrda_nb.models.hrda": "import torch\nfrom .crops import Box\nfrom ..data.labels import UserError\nfrom hrda_nb import __version__",
        "hrda_nb.cli": "from .plots import show\nfrom hrda_nb.plots import show",
    }
    assert steps_back(right, numbers) == []


def test_notebooks_follow_the_same_order():
    "Cells that are not exported too; a figure may use plots"
    wrong = []
    for path, here in NOTEBOOKS.items():
        for source in notebooks.code_cells(path):
            lines = "\n".join(
                line for line in source.splitlines() if re.match(r"(from|import) hrda_nb", line)
            )
            wrong += [
                (path, i)
                for i in imported(lines, here)
                if room(i) in ROOMS
                and i not in (here, here.removesuffix(".__init__"), "hrda_nb.plots")
                and goes_back(here, i, MODULES)
            ]
    assert wrong == []


def test_every_module_stands_in_a_room():
    assert [m for m in MODULES if room(m) not in ROOMS] == []


def test_libraries_import_names_one_by_one():
    stars = [
        m
        for m, source in SOURCES.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
    ]
    assert stars == []


def test_importing_the_package_is_light():
    code = "import hrda_nb, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "hrda_nb" in loaded
    assert not {"torch", "timm", "transformers", "matplotlib", "pandas", "jupyterlab"} & set(loaded)
