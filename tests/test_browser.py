"Walkthroughs run in JupyterLab in a real Chromium; that run is their execution test."
import json
import os

import browser
import notebooks
import pytest

@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "A page, and the address of a JupyterLab that serves a copy of the notebooks"
    executable = browser.find()
    if not executable:
        assert not os.environ.get("CI"), "CI needs a browser: install Chromium"
        pytest.skip("no Chromium: install one, name one in HRDA_BROWSER, or run playwright install chromium")
    home = tmp_path_factory.mktemp("lab")
    browser.copy_notebooks(home/"nbs")
    with browser.serve(home/"nbs", home) as url, browser.open_page(executable) as page: yield page, url, home/"nbs"

@pytest.mark.parametrize("path", [p for p in notebooks.paths() if "/walkthroughs/" in p])
def test_walkthrough(path, lab, request):
    page, url, _ = lab
    request.config.runs[path] = run = browser.run_notebook(page, url, path.removeprefix("nbs/"))
    browser.screenshot(page, path.split("/")[-1].removesuffix(".ipynb"))
    assert run.ok, run.log

def test_widgets_live_and_errors_are_seen(lab):
    "The helpers themselves: a slider moved in the page moves the kernel's value; a failing cell is reported"
    page, url, folder = lab
    slider = "import ipywidgets as w\ns = w.IntSlider(3, description='steps')\nl = w.Label()\nw.dlink((s, 'value'), (l, 'value'), str)\nw.VBox([s, l])"
    for name, sources in dict(widget=[slider], wrong=["1/0", "2"]).items():
        cells = [dict(cell_type="code", id=f"c{i}", source=s, metadata={}, outputs=[], execution_count=None) for i, s in enumerate(sources)]
        kernel = dict(name="python3", display_name="python3", language="python")
        (folder/f"{name}.ipynb").write_text(json.dumps(dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)))
    assert browser.run_notebook(page, url, "widget.ipynb").ok
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".widget-label", has_text="4").first.wait_for(timeout=10_000)
    wrong = browser.run_notebook(page, url, "wrong.ipynb")
    assert not wrong.ok
    assert "ZeroDivisionError" in wrong.log
