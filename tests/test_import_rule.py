"""Data flows one way, and a module imports only from its left:
data -> models -> uda -> inference -> plots -> training -> widgets -> cli.

Inside data, models, uda, widgets and city a module imports only from notebooks of a lower number
(26a, 26b, ...; a package's own notebook comes after its modules). `city` stands beside data: it
reads class tables and other parts of data, and data.samples alone imports it."""

import ast
import re
import subprocess
import sys

import notebooks
import pytest
from notebooks import ROOT

ROOMS = "data", "models", "uda", "inference", "plots", "training", "widgets", "cli"
CITY = "city"  # beside data
SAMPLES = "hrda_nb.data.samples"  # the one door of the city
# rooms whose notebooks build on each other in the order of their numbers
ORDERED = "data", "models", "uda", "widgets", CITY
# writing a file needs nothing but `UserError`, and every notebook of data may do it
TOOLS = ("hrda_nb.data.files",)
# rooms that names are imported from: one module, or a package that re-exports
FLAT = tuple(f"hrda_nb.{room}" for room in ("plots", "widgets", "cli"))


def room(module):
    return module.split(".")[1]


def is_in_house(module):
    return room(module) in (*ROOMS, CITY)


def goes_back(here, there, numbers):
    "Does module `here` step back when it imports `there`? A whole room comes after its modules."
    if room(here) == room(there):
        number_here = numbers.get(here, 99)
        is_later = numbers.get(there, 99) >= number_here
        return room(here) in ORDERED and here != there and there not in TOOLS and is_later
    if room(there) == CITY:
        return here != SAMPLES
    if room(here) == CITY:
        return room(there) != "data" or there == SAMPLES
    return ROOMS.index(room(there)) > ROOMS.index(room(here))


def absolute(node, module):
    "The module that a `from ... import` of `module` reads: `..uda` of models.crops is hrda_nb.uda."
    base = module.split(".")[: -node.level] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


def targets(node, module):
    "The dotted names that one statement imports."
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    origin = absolute(node, module)
    depth = 1 if origin.endswith(FLAT) else 2  # dots in the name of a module
    if origin.count(".") >= depth:
        return [origin]
    return [f"{origin}.{a.name}" for a in node.names]


def imported(source, module):
    "Every hrda_nb module that `source`, the code of `module`, imports, wherever the import stands."
    for node in ast.walk(ast.parse(source)):
        for name in targets(node, module):
            if name.startswith("hrda_nb."):
                yield ".".join(name.split(".")[:3])


def steps_back(sources, numbers):
    "Imports against the order: (importing module, imported module)."
    found = {(m, i) for m, source in sources.items() for i in imported(source, m)}
    return sorted((m, i) for m, i in found if is_in_house(i) and goes_back(m, i, numbers))


def name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def number(notebook, module):
    """Where a module stands in the order.

    8 for 08_crops, 26.02 for 26b_..., 26.0202 for 26bb_..., 26.99 for the package's own."""
    digits, letters = re.search(r"/(\d+)([a-z]*)_", notebook).groups()
    if module.endswith("__init__"):
        return int(digits) + 0.99
    places = enumerate(letters, 1)
    return int(digits) + sum((ord(letter) - 96) / 100**place for place, letter in places)


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
    "The package's own module imports from all of them, and none from it."
    canvas = "hrda_nb.widgets.canvas"
    crops = "hrda_nb.widgets.crops"
    package = "hrda_nb.widgets.__init__"
    numbers = {
        canvas: number("nbs/26a_canvas.ipynb", canvas),
        crops: number("nbs/26g_crops.ipynb", crops),
        package: number("nbs/26_widgets.ipynb", package),
    }
    right = {
        package: "from .canvas import Canvas\nfrom .crops import explore_crops",
        crops: "from .canvas import Canvas",
    }
    assert steps_back(right, numbers) == []
    assert steps_back({canvas: "from .crops import explore_crops"}, numbers)
    assert steps_back({canvas: "from hrda_nb.widgets import explore_crops"}, numbers)


def test_steps_forward_are_fine():
    numbers = {
        "hrda_nb.data.labels": 0,
        "hrda_nb.models.crops": 8,
        "hrda_nb.models.hrda": 10,
        "hrda_nb.plots": 22,
        "hrda_nb.cli": 27,
    }
    right = {
        "hrda_nb.models.hrda": """import torch
from .crops import Box
from ..data.labels import UserError
from hrda_nb import __version__""",
        "hrda_nb.cli": "from .plots import show\nfrom hrda_nb.plots import show",
    }
    assert steps_back(right, numbers) == []


CITY_NUMBERS = {
    "hrda_nb.data.labels": number("nbs/00_labels.ipynb", "hrda_nb.data.labels"),
    "hrda_nb.data.registry": number("nbs/00a_registry.ipynb", "hrda_nb.data.registry"),
    SAMPLES: number("nbs/01_samples.ipynb", SAMPLES),
    "hrda_nb.city.world": number("nbs/01a_world.ipynb", "hrda_nb.city.world"),
    "hrda_nb.city.camera": number("nbs/01d_camera.ipynb", "hrda_nb.city.camera"),
    "hrda_nb.data.files": number("nbs/03a_files.ipynb", "hrda_nb.data.files"),
    "hrda_nb.data.datasets": number("nbs/03c_datasets.ipynb", "hrda_nb.data.datasets"),
}


def test_the_city_stands_beside_data():
    right = {
        "hrda_nb.city.world": "from hrda_nb.data.labels import cityscapes",
        "hrda_nb.city.camera": "from .world import World\nfrom ..data.registry import Registry",
        SAMPLES: "from hrda_nb.city.camera import render\nfrom .files import write_atomically",
        "hrda_nb.data.files": "from .labels import UserError",
    }
    assert steps_back(right, CITY_NUMBERS) == []


@pytest.mark.parametrize(
    "module, line",
    [
        ("hrda_nb.city.world", "from .camera import render"),
        ("hrda_nb.city.world", "from hrda_nb.data.samples import write_samples"),
        ("hrda_nb.city.camera", "from hrda_nb.models.crops import crop_boxes"),
        ("hrda_nb.data.labels", "from hrda_nb.city.world import World"),
        ("hrda_nb.data.datasets", "from hrda_nb.city import world"),
        ("hrda_nb.data.labels", "import hrda_nb.city"),
        ("hrda_nb.models.crops", "from ..city.camera import render"),
        ("hrda_nb.cli", "from hrda_nb.city.camera import render"),
        ("hrda_nb.data.files", "from .datasets import open_folder"),
    ],
)
def test_nobody_else_enters_the_city(module, line):
    assert steps_back({module: line}, CITY_NUMBERS)


IMPORT = re.compile(r"^(?:from hrda_nb\S* import (?:\([^)]*\)|.*)|import hrda_nb.*)$", re.MULTILINE)


def hrda_imports(path):
    "The imports from hrda_nb at the beginning of a line, in any cell."
    return "\n".join(i for source in notebooks.code_cells(path) for i in IMPORT.findall(source))


def is_wrong(here, there):
    "A notebook may read its own module, and a figure may use plots."
    own = (here, here.removesuffix(".__init__"), "hrda_nb.plots")
    return is_in_house(there) and there not in own and goes_back(here, there, MODULES)


def test_notebooks_follow_the_same_order():
    "Cells that are not exported too."
    wrong = [
        (path, i)
        for path, here in NOTEBOOKS.items()
        for i in imported(hrda_imports(path), here)
        if is_wrong(here, i)
    ]
    assert wrong == []


def test_every_module_stands_in_a_room():
    assert [m for m in MODULES if not is_in_house(m)] == []


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
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "hrda_nb" in loaded
    assert not {"torch", "timm", "transformers", "matplotlib", "pandas", "jupyterlab"} & set(loaded)
