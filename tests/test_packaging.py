"What a wheel carries, and that each fact about the package stands in one place."

import ast
import configparser
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import PathDistribution, version

import pytest
from notebooks import ROOT

import hrda_nb

try:
    import tomllib
except ImportError:
    import tomli as tomllib  # Python 3.10

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

CHECKPOINTS = [
    f"data_samples/checkpoints/{name}.safetensors" for name in ("adapted", "source_only")
]
BROUGHT = {
    "PIL": "pillow",
    "traitlets": "anywidget",
}  # import name -> the requirement that brings it, where they differ
SITE = "app.js", "texts/en.json"  # what npm would build, in small


def settings():
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def git_files():
    "Files of the tree that git tracks, or would"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted({f for f in listed.stdout.split("\0") if f and (ROOT / f).is_file()})


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    "A folder with an sdist of the tree with a built page, and the wheel built from it"
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for f in git_files():
        (tree / f).parent.mkdir(parents=True, exist_ok=True)
        (tree / f).write_bytes((ROOT / f).read_bytes())
    for f in [*(f"dist/{f}" for f in SITE), "node_modules/esbuild/package.json"]:
        (tree / "page" / f).parent.mkdir(parents=True, exist_ok=True)
        (tree / "page" / f).write_text("{}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist):
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel):
    return PathDistribution(
        zipfile.Path(wheel, f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/")
    )


def test_wheel_carries_the_library_the_samples_the_tables_and_the_page(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f for f in git_files() if f.startswith("hrda_nb/")}
    samples = {f"hrda_nb/{f}" for f in git_files() if f.startswith("data_samples/")}
    tables = {
        f"hrda_nb/{f.removeprefix('benchmarks/')}"
        for f in git_files()
        if f.startswith("benchmarks/tables/")
    }
    site = {f"hrda_nb/page_site/{f}" for f in SITE}
    assert modules and samples and tables
    assert modules | samples | tables | site == {n for n in names if not n.startswith("hrda_nb-")}
    assert {f"hrda_nb/{f}" for f in CHECKPOINTS} <= samples


def test_sdist_can_build(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {n.split("/", 1)[-1] for n in sdist.getnames()}
    assert {
        "settings.ini",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "page/build.mjs",
        "page/src/maths.js",
        *CHECKPOINTS,
    } <= names
    assert not {n for n in names if "node_modules" in n}


def test_every_dynamic_entry_is_set(installed):
    meta, groups = installed.metadata, {e.group for e in installed.entry_points}
    stands = {
        "version": "Version",
        "description": "Summary",
        "readme": "Description",
        "authors": "Author",
        "license": "License-Expression",
        "keywords": "Keywords",
        "classifiers": "Classifier",
        "requires-python": "Requires-Python",
        "dependencies": "Requires-Dist",
        "optional-dependencies": "Provides-Extra",
    }
    is_set = {k: bool(meta[v] or (k == "readme" and meta.get_payload())) for k, v in stands.items()}
    is_set |= {"scripts": "console_scripts" in groups, "entry-points": "nbdev" in groups}
    assert {k: is_set[k] for k in PROJECT["dynamic"]} == dict.fromkeys(PROJECT["dynamic"], True)


def test_what_is_imported_is_required():
    "Imports at the top of a module; what is imported inside a function is an extra"
    required = {re.split(r"[<>=\[]", r)[0] for r in settings()["requirements"].split()}
    nodes = [
        n
        for f in (ROOT / "hrda_nb").rglob("*.py")
        for n in ast.parse(f.read_text(encoding="utf-8")).body
    ]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names} | {
        n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level
    }
    third = {n.split(".")[0] for n in names} - set(sys.stdlib_module_names) - {"hrda_nb"}
    assert "anywidget" in third
    assert {BROUGHT.get(n, n) for n in third} - required == set()


def test_metadata_are_those_of_settings(installed):
    config, meta = settings(), installed.metadata
    assert meta["Name"] == config["lib_name"] == PROJECT["name"]
    assert meta["Summary"] == config["description"]
    assert meta["Requires-Python"] == ">=" + config["min_python"]
    assert set(meta.get_all("Provides-Extra")) == {
        k.removesuffix("_requirements") for k in config if k.endswith("_requirements")
    }
    assert [
        f"{e.name}={e.value}" for e in installed.entry_points.select(group="console_scripts")
    ] == config["console_scripts"].split()


def test_the_version_stands_in_one_place(installed):
    assert installed.version == hrda_nb.__version__ == version("hrda_nb"), (
        "installed before the version changed? pip install -e . again"
    )
    assert [
        f
        for f in ("settings.ini", "setup.py", "pyproject.toml")
        if hrda_nb.__version__ in (ROOT / f).read_text(encoding="utf-8")
    ] == []


@pytest.mark.slow
def test_demo_runs_from_a_wheel_outside_the_clone(wheel, tmp_path):
    "What a user without the repository does"
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([bin_ / "python", "-m", "pip", "install", "-q", f"{wheel}[offline]"], check=True)
    done = subprocess.run(
        [bin_ / "hrda", "demo", "--quick", "--out", tmp_path / "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fused" in done.stdout
    assert list((tmp_path / "out").rglob("*.png")) or list((tmp_path / "out").rglob("*.jpg"))
