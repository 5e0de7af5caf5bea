"""What every test shares: the `--flags` option, notebooks two at a time, the closing count.

`python -m pytest` runs everything that is not flagged. `python -m pytest --flags "slow cuda"` also
runs tests and notebook cells that carry one of these flags. The last line is always
`N passed, N failed, N skipped`; a skipped cell counts like a skipped test.
"""

import os
import subprocess
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

import notebooks
import pytest
from notebooks import FLAGS


def pytest_addoption(parser):
    parser.addoption(
        "--flags",
        default="",
        help="also run tests and notebook cells with these flags, e.g. 'slow cuda'",
    )


def pytest_configure(config):
    for flag in FLAGS:
        config.addinivalue_line("markers", f"{flag}: runs with --flags {flag}")
    config.runs = {}  # path -> Run, for the closing report
    config.remarks = []  # further lines of it
    config.tree = _tree() if os.environ.get("CI") else None


def pytest_collection_modifyitems(config, items):
    "Leave out what is flagged, unless its flag was asked for"
    flags = config.getoption("--flags").split()
    for item in items:
        for flag in FLAGS:
            if item.get_closest_marker(flag) and flag not in flags:
                item.add_marker(pytest.mark.skip(reason=f"runs with --flags {flag}"))


def _tree():
    "What git says about the working tree"
    return subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=notebooks.ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


class NotebookRuns:
    "Notebooks that run in the background, each in a process of one thread"

    def __init__(self, paths, flags):
        self.waiting = deque(paths)
        self.results = {path: Future() for path in paths}
        self.flags = flags
        self.begun = False

    def add_worker(self):
        Thread(target=self._work, daemon=True).start()

    def _work(self):
        with suppress(IndexError):  # none is waiting any more
            while True:
                path = self.waiting.popleft()
                self.results[path].set_result(notebooks.run(path, self.flags))


def pytest_collection_finish(session):
    "Queue the notebooks: one runs beside other tests, two once it is their turn"
    config = session.config
    chosen = [
        item.callspec.params["executed"]
        for item in session.items
        if "executed" in getattr(item, "fixturenames", ())
    ]
    config.notebook_runs = NotebookRuns(chosen, config.getoption("--flags").split())


# they need both cores: a third busy thread slows them down several times
ALONE = "test_ablate.py", "test_bad_input.py", "test_browser.py"


def pytest_runtest_setup(item):
    "Begin with the notebooks once the lessons in the browser are over"
    runs = item.config.notebook_runs
    if item.path.name not in ALONE and not runs.begun:
        runs.begun = True
        runs.add_worker()


@pytest.fixture(scope="session")
def run_notebook(request):
    "A function that waits for one notebook's run"
    config = request.config
    config.notebook_runs.add_worker()

    def wait(path):
        config.runs[path] = run = config.notebook_runs.results[path].result()
        return run

    yield wait
    config.notebook_runs.waiting.clear()


@pytest.fixture
def remark(request):
    "Add a line to the closing report"
    return request.config.remarks.append


def pytest_terminal_summary(terminalreporter, config):
    write = terminalreporter.write_line
    if config.runs:
        write("\nnotebook                                          seconds   cells  skipped")
        for path, run in sorted(config.runs.items()):
            late = "  over 60 s" if run.seconds > 60 else ""
            write(f"{path:<50}{run.seconds:7.1f} {run.cells:7d} {run.skipped:8d}{late}")
        cells = sum(r.cells for r in config.runs.values())
        write(f"{len(config.runs)} notebooks, {cells} code cells run")
    for line in config.remarks:
        write(line)


def pytest_sessionfinish(session):
    "In CI, where nobody else edits, the tests must leave the tree as they found it"
    if session.config.tree is not None and (now := _tree()) != session.config.tree:
        session.config.remarks.append(f"FAILED: the tests changed the working tree:\n{now}")
        session.exitstatus = session.config.changed = 1


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.getoption("collectonly"):
        return
    count = {k: len(reporter.stats.get(k, [])) for k in ("passed", "failed", "error", "skipped")}
    skipped = count["skipped"] + sum(r.skipped for r in getattr(config, "runs", {}).values())
    failed = count["failed"] + count["error"] + getattr(config, "changed", 0)
    print(f"{count['passed']} passed, {failed} failed, {skipped} skipped", flush=True)
