"""What tests share: two processes of one thread each, the `--flags` option, the closing count.

`python -m pytest` runs everything that is not flagged. `python -m pytest --flags "slow cuda"` also
runs tests and notebook cells that carry one of these flags. The last line is always
`N passed, N failed, N skipped`; a skipped cell counts like a skipped test.
"""

import os
import tempfile

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # with more they would wait for each other

PROGRESS = tempfile.TemporaryDirectory()  # exercises that tests solve are not the user's
os.environ["HRDA_PROGRESS"] = os.path.join(PROGRESS.name, "progress.json")

import hashlib
import shutil
import subprocess
from dataclasses import asdict

import notebooks
import pytest
from filelock import FileLock
from notebooks import FLAGS, Run
from xdist.scheduler import LoadScopeScheduling

# what takes longest begins first, notebooks fill up the gaps at the end, the shortest last
FIRST = (
    *("test_browser.py", "test_page_browser.py", "test_docs.py", "test_ablate.py"),
    *("test_sharding.py", "test_processes.py", "test_resume.py", "test_predict_processes.py"),
)
LONG = (
    *(
        "25b_trainer",
        "11_weights",
        "14_pseudo_labels",
        "19_self_training",
        "11a_graph",
        "25e_ablate",
    ),
    *(
        "10_hrda",
        "25i_plan",
        "25d_tables",
        "27_cli",
        "10b_sharding",
        "25f_bench",
        "26e_predictions",
    ),
)


def pytest_addoption(parser):
    parser.addoption(
        "--flags",
        default="",
        help="also run tests and notebook cells with these flags, e.g. 'slow cuda'",
    )


def pytest_configure(config):
    for flag in FLAGS:
        config.addinivalue_line("markers", f"{flag}: runs with --flags {flag}")
    is_worker = hasattr(config, "workerinput")
    config.tree = _tree() if os.environ.get("CI") and not is_worker else None


def pytest_collection_modifyitems(config, items):
    "Leave out what is flagged, unless its flag was asked for"
    flags = config.getoption("--flags").split()
    for item in items:
        for flag in FLAGS:
            if item.get_closest_marker(flag) and flag not in flags:
                item.add_marker(pytest.mark.skip(reason=f"runs with --flags {flag}"))
    items.sort(key=lambda item: _turn(item.path.name, item.name))


def _turn(file, test):
    "Which files begin first, and which notebooks"
    if file in FIRST:
        return FIRST.index(file)
    if file != "test_notebooks.py":
        return len(FIRST)
    return len(FIRST) + (1 if any(name in test for name in LONG) else 2)


class Files(LoadScopeScheduling):
    "Tests of a file stay together, since they share what they need; each notebook stands alone"

    def _split_scope(self, nodeid):
        file, _, test = nodeid.partition("::")
        return nodeid if test.startswith("test_runs[") else file


def pytest_xdist_make_scheduler(config, log):
    return Files(config, log)


def _tree():
    "What git says about the working tree"
    return subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=notebooks.ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    "`once(name, make)`: the folder that `make(folder)` filled, once for all processes of this run"
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name, make):
        folder, part = root / f"once_{name}", root / f"part_{name}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return once


@pytest.fixture(scope="module")
def city(once, tmp_path_factory):
    "A city of small pictures, which the tests of a file may change"
    from hrda_nb.data.samples import write_samples

    made = once("city", lambda folder: write_samples(folder, seed=5, count=4, size=(64, 128)))
    return shutil.copytree(made, tmp_path_factory.mktemp("city") / "city")


@pytest.fixture(scope="session")
def graph(once):
    "Stands for `write_view_graph`: to trace a network takes long, and is done once in a run"
    from hrda_nb.models.graph import write_view_graph

    def write(model, path):
        weights = b"".join(x.numpy().tobytes() for x in model.state_dict().values())
        name = f"graph_{hashlib.sha256(weights).hexdigest()[:12]}"
        made = once(name, lambda folder: write_view_graph(model, folder / "graph.onnx.gz"))
        shutil.copy(made / "graph.onnx.gz", path)
        return path.stat().st_size

    return write


@pytest.fixture
def note_run(record_property):
    "A function that puts a notebook's run into the closing report"
    return lambda path, run: record_property("run", (path, asdict(run)))


@pytest.fixture
def remark(record_property):
    "A function that adds a line to the closing report"
    return lambda line: record_property("remark", line)


def _noted(reporter, kind):
    "What the tests have recorded of a kind"
    reports = (r for found in reporter.stats.values() for r in found if hasattr(r, "when"))
    notes = (note for r in reports if r.when == "call" for note in r.user_properties)
    return [value for name, value in notes if name == kind]


def _runs(reporter):
    "Path and run of each notebook"
    return sorted((path, Run(**fields)) for path, fields in _noted(reporter, "run"))


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    if runs := _runs(terminalreporter):
        write("\nnotebook                                          seconds   cells  skipped")
        for path, run in runs:
            late = "  over 60 s" if run.seconds > 60 else ""
            write(f"{path:<50}{run.seconds:7.1f} {run.cells:7d} {run.skipped:8d}{late}")
        cells = sum(run.cells for _, run in runs)
        write(f"{len(runs)} notebooks, {cells} code cells run")
    for line in _noted(terminalreporter, "remark"):
        write(line)


def pytest_sessionfinish(session):
    "In CI, where nobody else edits, the tests must leave the tree as they found it"
    config = session.config
    if config.tree is not None and (now := _tree()) != config.tree:
        print(f"FAILED: the tests changed the working tree:\n{now}")
        session.exitstatus = config.changed = 1


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.getoption("collectonly"):
        return
    count = {k: len(reporter.stats.get(k, [])) for k in ("passed", "failed", "error", "skipped")}
    skipped = count["skipped"] + sum(run.skipped for _, run in _runs(reporter))
    failed = count["failed"] + count["error"] + getattr(config, "changed", 0)
    print(f"{count['passed']} passed, {failed} failed, {skipped} skipped", flush=True)
