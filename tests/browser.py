"""A notebook in a real browser: served by JupyterLab or Voilà, opened, run and looked at.

The browser is the one that the environment variable HRDA_BROWSER names, else the system's Chromium
or Chrome, else playwright's own."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import forked
import notebooks
import numpy as np
import psutil
import pytest
from forked import free_port
from notebooks import ROOT
from PIL import Image

SCREENSHOTS = ROOT / "tests/screenshots"
OFFLINE = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
SETTINGS = {
    # render cells that are out of sight too
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}


def find():
    "Path of a Chromium, or None"
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    named = [os.environ.get("HRDA_BROWSER"), *map(shutil.which, names)]
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as p:
            named.append(p.chromium.executable_path)
    except ImportError:
        return None
    return next((path for path in named if path and Path(path).is_file()), None)


def needed():
    "Path of a Chromium; without one a test is left out, but not in CI"
    executable = find()
    if not executable:
        assert not os.environ.get("CI"), "CI needs a browser: install Chromium"
        pytest.skip("no Chromium: install one, or name one in HRDA_BROWSER")
    return executable


def copy_notebooks(to):
    "A copy of `nbs/` without outputs and without the cells that tests leave out"
    shutil.copytree(ROOT / "nbs", to, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "out"))
    for path in to.rglob("*.ipynb"):
        nb = json.loads(path.read_text(encoding="utf-8"))
        for cell in (c for c in nb["cells"] if c["cell_type"] == "code"):
            cell["outputs"] = []
            if notebooks.flags_of("".join(cell["source"])) & set(notebooks.FLAGS):
                cell["cell_type"] = "raw"
                del cell["outputs"], cell["execution_count"]
        path.write_text(json.dumps(nb), encoding="utf-8")


def write_notebook(path, *sources):
    "A notebook of these code cells"
    cells = [
        dict(cell_type="code", id=f"c{i}", source=s, metadata={}, outputs=[], execution_count=None)
        for i, s in enumerate(sources)
    ]
    kernel = dict(name="python3", display_name="python3", language="python")
    nb = dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)
    path.write_text(json.dumps(nb), encoding="utf-8")


@contextmanager
def serving(command, env, log, url):
    "A server while it runs, once its address answers; yields its process"
    with open(log, "w", encoding="utf-8") as to:
        server = subprocess.Popen(command, env={**os.environ, **env}, stdout=to, stderr=to)
    try:
        _wait_until(
            lambda: urllib.request.urlopen(url, timeout=5).status == 200, 180, log.read_text
        )
        yield server
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def serve(root, state):
    "JupyterLab on a folder, its settings and workspaces in another; yields its address"
    _write_settings(state / "settings/@jupyterlab")
    port = free_port()
    env = {
        "HRDA_QUICK": "1",
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={root}",
    ]
    with (
        forked.kernels() as more,
        serving(command, env | more, state / "lab.log", f"http://127.0.0.1:{port}/api"),
    ):
        yield f"http://127.0.0.1:{port}"


def _write_settings(folder):
    for name, settings in SETTINGS.items():
        file = folder / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), encoding="utf-8")


@contextmanager
def serve_pages(state, *more):
    """The classroom pages, started as a user does, perhaps with more options, which have forked
    kernels; yields address, log file and process number"""
    port = free_port()
    main = "import sys; from hrda_nb.cli import main; sys.exit(main())"
    options = ["--classroom", "--no-browser", "--port", str(port)]
    options += [] if "--share" in more else ["--ip", "127.0.0.1"]
    command = [sys.executable, "-c", main, "lab", *options, *more]
    env = {
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
        "OMP_NUM_THREADS": "1",
    }
    log, url = state / "pages.log", f"http://127.0.0.1:{port}/"
    with (
        forked.kernels() if more else nullcontext({}) as kernels,
        serving(command, env | kernels, log, url) as server,
    ):
        yield url[:-1], log, server.pid


def memory_of_children(pid):
    "Megabytes that each process below another holds for itself alone"
    sizes = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            sizes.append(child.memory_full_info().uss >> 20)
    return sorted(sizes)


def _wait_until(works, seconds, complaint):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if works():
                return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(complaint())


@contextmanager
def open_page(executable, *more):
    "A page of a headless browser that can reach nothing but this machine; `more`: flags"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=[*OFFLINE, *more])
        yield browser.new_page(viewport=dict(width=1400, height=1600))
        browser.close()


SESSION = "window.jupyterapp?.shell.currentWidget?.sessionContext"
IDLE = f"() => {SESSION}?.session?.kernel?.status === 'idle'"
# of the notebook before: its kernel holds memory
SHUTDOWN = f"() => {SESSION}?.shutdown()"
# in a JupyterLab that is open: to load it again takes seconds
OPEN = """async path => {
  for (const widget of [...jupyterapp.shell.widgets('main')]) widget.dispose();
  await jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'});
}"""
RUN_ALL = """() => {
  window.hrda_done = false;
  const run = jupyterapp.commands.execute('notebook:run-all-cells');
  run.finally(() => { window.hrda_done = true });
}"""
OUTPUTS = """
  const cells = type => jupyterapp.shell.currentWidget.content.widgets
    .filter(c => c.model.type === type);
  const outputs = c => [...Array(c.model.outputs.length).keys()]
    .map(i => c.model.outputs.get(i).toJSON());
"""
CELLS = f"""() => {{ {OUTPUTS}
  return cells('code').filter(c => c.model.sharedModel.source.trim()).map(c => ({{
    ran: c.model.executionCount !== null,
    errors: outputs(c).filter(o => o.output_type === 'error')}})) }}"""
LEFT_OUT = f"() => {{ {OUTPUTS} return cells('raw').length }}"
# is each widget there? (Progress bars may be gone.)
WIDGETS = f"""() => {{ {OUTPUTS}
  const bar = d => /%\\|/.test([d['text/plain'] || ''].flat().join(''));
  const isWidget = d => 'application/vnd.jupyter.widget-view+json' in d && !bar(d);
  const there = (c, i) => !!c.outputArea.node.querySelectorAll('.jp-OutputArea-child')[i]
    ?.querySelector('.jupyter-widgets');
  return cells('code').flatMap(c => outputs(c)
    .flatMap((o, i) => isWidget(o.data || {{}}) ? [there(c, i)] : [])) }}"""


def run_notebook(page, url, path, seconds=notebooks.TIMEOUT):
    "Open a notebook, run all cells, wait; the Run that came of it. The page stays open."
    start = time.time()
    page.evaluate(SHUTDOWN)
    if page.url.startswith(f"{url}/lab"):
        page.evaluate(OPEN, path)
    else:
        page.goto(f"{url}/lab/tree/{path}?reset")
    page.wait_for_function(IDLE, timeout=90_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.hrda_done", timeout=seconds * 1000, polling=300)
    page.wait_for_function(IDLE, timeout=30_000)
    cells = page.evaluate(CELLS)
    errors = [f"{e['ename']}: {e['evalue']}" for c in cells for e in c["errors"]]
    ran = sum(c["ran"] for c in cells)
    skipped = page.evaluate(LEFT_OUT)
    ok = ran == len(cells) > 0 and not errors
    return notebooks.Run(ok, time.time() - start, ran, skipped, "\n".join(errors))


def screenshot(page, name):
    "Kept for a person to look at"
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def sent_elsewhere(page, action):
    "Addresses outside this machine that a page asks for, but for what its own policy refuses"
    asked, refused = [], []
    here = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    page.on("request", lambda r: asked.append(r.url))
    page.on("requestfailed", lambda r: refused.append(r.url) if r.failure == "csp" else None)
    action()
    return sorted({url for url in asked if not url.startswith(here)} - set(refused))


def picture(canvas):
    "What a canvas shows: (H,W,3) uint8"
    png = base64.b64decode(canvas.evaluate("c => c.toDataURL()").split(",")[1])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


DRAWN = """(c, [before, ms]) => new Promise((done, failed) => {
  const end = performance.now() + ms;
  let last = before, since = performance.now();
  const look = () => {
    if (c.dataset.drawn !== last) { last = c.dataset.drawn; since = performance.now(); }
    if (last !== before && performance.now() - since > 200) done();
    else if (performance.now() > end) failed(new Error(`no new picture within ${ms} ms`));
    else setTimeout(look, 20);
  };
  look(); })"""


@contextmanager
def redrawn(canvas, seconds=20):
    "Wait until what is done inside has drawn another picture, and no further one follows"
    before = canvas.get_attribute("data-drawn")
    yield
    canvas.evaluate(DRAWN, [before, seconds * 1000])


def at(canvas, y, x):
    "Where a pixel (row, column) of the picture is on the page"
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    height, width = canvas.evaluate("c => [c.height, c.width]")
    across = (x + 0.5) / width * box["width"]
    down = (y + 0.5) / height * box["height"]
    return box["x"] + across, box["y"] + down


def click(page, canvas, y, x):
    page.mouse.click(*at(canvas, y, x))


def drag(page, canvas, start, *way):
    "Press at a pixel, move over the others, let go"
    page.mouse.move(*at(canvas, *start))
    page.mouse.down()
    for point in way:
        page.mouse.move(*at(canvas, *point), steps=4)
    page.mouse.up()
