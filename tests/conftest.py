"""What every test shares: the `--flags` option, notebooks two at a time, the closing count.

`python -m pytest` runs everything that is not flagged. `python -m pytest --flags "slow cuda"` also
runs tests and notebook cells that carry one of these flags. The last line is always
`N passed, N failed, N skipped`; a skipped cell counts like a skipped test.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

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


@pytest.fixture(scope="session")
def run_notebook(request):
    "A function that waits for one notebook's run; all chosen ones are queued at once"
    config = request.config
    flags = config.getoption("--flags").split()
    chosen = [
        i.callspec.params["executed"]
        for i in request.session.items
        if "executed" in getattr(i, "fixturenames", ())
    ]
    # two processes of one thread each beat one process of two threads
    pool = ThreadPoolExecutor(max_workers=2)
    runs = {path: pool.submit(notebooks.run, path, flags) for path in chosen}

    def wait(path):
        config.runs[path] = run = runs[path].result()
        return run

    yield wait
    pool.shutdown(cancel_futures=True)


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
