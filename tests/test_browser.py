"Walkthroughs run in JupyterLab in a real Chromium; that run is their execution test."

import os
import re
import time

import browser
import notebooks
import numpy as np
import pytest
from notebooks import ROOT
from PIL import Image

from hrda_nb.data.labels import cityscapes

@pytest.fixture(scope="module")
def page():
    "A page of a browser"
    executable = browser.find()
    if not executable:
        assert not os.environ.get("CI"), "CI needs a browser: install Chromium"
        pytest.skip(
            "no Chromium: install one, name one in HRDA_BROWSER, or run playwright install chromium"
        )
    with browser.open_page(executable) as page:
        yield page


@pytest.fixture(scope="module")
def lab(page, tmp_path_factory):
    "A page, and the address of a JupyterLab that serves a copy of the notebooks"
    home = tmp_path_factory.mktemp("lab")
    browser.copy_notebooks(home / "nbs")
    with browser.serve(home / "nbs", home) as url:
        yield page, url, home / "nbs"


@pytest.fixture(scope="module")
def pages(page, tmp_path_factory):
    "A page, the address of the classroom pages, their server's log and process number"
    with browser.serve_pages(tmp_path_factory.mktemp("pages")) as (url, log, pid):
        yield page, url, log, pid


@pytest.mark.parametrize("path", [p for p in notebooks.paths() if "/walkthroughs/" in p])
def test_walkthrough(path, lab, request):
    page, url, _ = lab
    request.config.runs[path] = run = browser.run_notebook(page, url, path.removeprefix("nbs/"))
    assert run.ok, run.log
    undrawn = "() => [...document.querySelectorAll('.hrda-view canvas')].filter(c => !c.dataset.drawn && c.checkVisibility()).length"
    page.wait_for_function(f"() => ({undrawn})() === 0", timeout=30_000)
    views = page.locator(".hrda-view")
    if views.count():
        views.first.scroll_into_view_if_needed()
    browser.screenshot(page, path.split("/")[-1].removesuffix(".ipynb"))
    page.wait_for_function(f"() => ({browser.WIDGETS})().every(there => there)", timeout=60_000)
    shown = page.evaluate(browser.WIDGETS)
    assert shown or not any(
        re.search(r"^(view = )?(explore|watch)_\w+\(", c, re.MULTILINE)
        for c in notebooks.code_cells(path)
    )


CANVAS = (
    """
import numpy as np
import ipywidgets as widgets
from PIL import Image
from hrda_nb.widgets.canvas import Canvas
""",
    """
red, blue = (np.broadcast_to(np.array(c, np.uint8), (256, 512, 3)) for c in ((200, 0, 0), (0, 0, 200)))
canvas, said, button = Canvas(shape=[256, 512], layout=dict(width="800px")), widgets.Label(), widgets.Text(description="do")
said.add_class("said")
for kind in ("click", "box", "stroke"): canvas.on(kind, lambda kind=kind, **what: setattr(said, "value", f"{kind} {sorted(what.items())}"))
canvas.observe(lambda change: setattr(said, "value", f"wiper {change.new:.2f}"), "wiper")
button.observe(lambda change: exec(change.new), "value")
canvas.show(red, "a red street")
widgets.VBox([canvas, said, button])
""",
)


def test_canvas(lab):
    "What only a browser does: decode, wipe, click, drag on a grid, paint, move by keys; and Python hears of it"
    page, url, folder = lab
    browser.write_notebook(folder / "canvas.ipynb", *CANVAS)
    run = browser.run_notebook(page, url, "canvas.ipynb")
    assert run.ok, run.log
    canvas, said, text = (
        page.locator("canvas.hrda-canvas"),
        page.locator(".said"),
        page.locator(".widget-text input"),
    )

    def do(source):
        text.fill(source)
        text.press("Enter")

    def heard(words):
        said.filter(has_text=words).wait_for(timeout=10_000)

    def near(pixel, colour):
        return np.abs(pixel.astype(int) - colour).max() < 12

    page.wait_for_function("c => c.dataset.drawn", arg=canvas.element_handle())
    assert browser.picture(canvas).shape == (256, 512, 3)
    assert near(browser.picture(canvas)[200, 100], (200, 0, 0))
    assert canvas.get_attribute("aria-label") == "a red street"

    browser.click(page, canvas, 40, 400)
    heard("click [('x', 400), ('y', 40)]")
    canvas.focus()
    for key, place in dict(
        ArrowDown="('x', 256), ('y', 132)",
        ArrowUp="('x', 256), ('y', 128)",
        ArrowRight="('x', 260), ('y', 128)",
    ).items():
        page.keyboard.press(key)  # JupyterLab would go to another cell
        heard(f"click [{place}]")
    with browser.redrawn(canvas):
        do("canvas.show(blue, 'a blue street')")
    assert near(browser.picture(canvas)[200, 100], (0, 0, 200))
    assert canvas.get_attribute("aria-label") == "a blue street"

    with browser.redrawn(canvas):
        do("from hrda_nb.plots import encode; canvas.other = encode(red)")
    assert [
        near(browser.picture(canvas)[20, x], c) for x, c in ((120, (0, 0, 200)), (392, (200, 0, 0)))
    ] == [True, True]
    browser.drag(page, canvas, (128, 256), (128, 440))
    heard("wiper 0.86")
    assert near(browser.picture(canvas)[20, 392], (0, 0, 200))
    canvas.focus()
    page.keyboard.press("Shift+ArrowLeft")
    heard("wiper 0.81")
    browser.screenshot(page, "canvas")

    do(
        "canvas.other = b''; canvas.boxes = [dict(name='detail', y1=32, y2=96, x1=32, x2=160, label='detail', colour='yellow')]; canvas.grid = 32; canvas.tool = 'box'"
    )
    page.wait_for_function(
        "c => c.getContext('2d').getImageData(32, 80, 1, 1).data[0] > 100",
        arg=canvas.element_handle(),
    )
    browser.drag(page, canvas, (64, 80), (140, 244))
    heard(
        "box [('name', 'detail'), ('x1', 192), ('x2', 320), ('y1', 96), ('y2', 160)]"
    )  # 108 and 196, on the grid
    canvas.focus()
    page.keyboard.press("ArrowRight")
    heard("('x1', 224)")
    browser.drag(page, canvas, (120, 240), (-500, -500))
    heard("('x1', 0), ('x2', 128), ('y1', 0)")

    do("canvas.boxes = []; canvas.tool = 'paint'; said.value = 'ready to paint'")
    heard("ready to paint")
    browser.drag(page, canvas, (40, 40), (40, 240), (160, 240))
    heard("stroke [('points', [")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    heard("('start', True)")
    page.keyboard.type("xx")  # JupyterLab would cut the cell
    assert canvas.is_visible()
    browser.screenshot(page, "canvas_tools")


def test_widgets_live_and_errors_are_seen(lab):
    "The helpers themselves: a slider moved in the page moves the kernel's value; a failing cell is reported"
    page, url, folder = lab
    slider = "import ipywidgets as w\ns = w.IntSlider(3, description='steps')\nl = w.Label()\nw.dlink((s, 'value'), (l, 'value'), str)\nw.VBox([s, l])"
    browser.write_notebook(folder / "widget.ipynb", slider)
    browser.write_notebook(folder / "wrong.ipynb", "1/0", "2")
    assert browser.run_notebook(page, url, "widget.ipynb").ok
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".widget-label", has_text="4").first.wait_for(timeout=10_000)
    wrong = browser.run_notebook(page, url, "wrong.ipynb")
    assert not wrong.ok
    assert "ZeroDivisionError" in wrong.log


def opened(page, url, name):
    "Open one of Voilà's pages and wait for its first picture"
    page.goto(f"{url}/voila/render/{name}.ipynb", timeout=120_000)
    canvas = page.locator("canvas.hrda-canvas").first
    canvas.wait_for(timeout=60_000)
    page.wait_for_function("c => c.dataset.drawn", arg=canvas.element_handle())
    return canvas


def in_palette(pixels, tolerance=24):
    "Share of the pixels (N,3) that have the colour of a class, but for JPEG"
    return (
        np.abs(pixels[:, None].astype(int) - cityscapes.palette).max(-1).min(1) <= tolerance
    ).mean()


def test_explorer(pages, tmp_path):
    "In Voilà, without internet: slider, click, keys, upload, painting"
    page, url, *_ = pages
    found = []
    assert browser.sent_elsewhere(page, lambda: found.append(opened(page, url, "explorer"))) == []
    canvas, view = found[0], page.locator(".hrda-predictions")
    opacity = view.locator(".hrda-opacity").get_by_role("slider")
    part = np.s_[60:360:3, 40:300:3]  # left of the wiper, below the caption
    with browser.redrawn(canvas):
        opacity.press("End")
    colours = browser.picture(canvas)[part].reshape(-1, 3)
    with browser.redrawn(canvas):
        opacity.press("Home")
    street = browser.picture(canvas)[part].reshape(-1, 3)
    assert in_palette(colours) > 0.9 > 0.5 > in_palette(street)
    photo = next(
        (ROOT / "data_samples/target/val/images").glob(
            view.locator("select").first.input_value() + ".*"
        )
    )
    photo = np.asarray(Image.open(photo).resize((768, 384)))[part].reshape(-1, 3)
    assert np.abs(street.astype(int) - photo).mean() < 6
    browser.screenshot(page, "explorer")

    pixel = view.locator(".hrda-pixel")
    browser.click(page, canvas, 200, 100)
    pixel.filter(has_text="row 200, column 100").wait_for(timeout=10_000)
    page.keyboard.press("ArrowRight")
    pixel.filter(has_text="row 200, column 104").wait_for(timeout=10_000)

    def upload(file):
        with page.expect_file_chooser() as chooser:
            view.get_by_role("button", name="own picture").click()
        chooser.value.set_files(file)

    Image.new("RGB", (300, 200), (250, 120, 0)).save(tmp_path / "mine.png")
    with browser.redrawn(canvas):
        upload(tmp_path / "mine.png")
    orange = browser.picture(canvas)
    assert orange.shape == (200, 300, 3)
    assert np.abs(orange[60:190, 20:100].astype(int) - (250, 120, 0)).max() < 12
    (tmp_path / "letter.txt").write_text("dear")
    upload(tmp_path / "letter.txt")
    view.locator(".hrda-words", has_text="cannot be read as a picture").wait_for(timeout=10_000)

    page.get_by_role("tab", name="fusion").click()
    fusion = page.locator(".hrda-fusion")
    attention, fused = (fusion.locator(f".hrda-{n} canvas") for n in ("attention", "fused"))
    fused.wait_for(timeout=60_000)
    page.wait_for_function("c => c.dataset.drawn", arg=fused.element_handle())
    before = browser.picture(fused)
    with browser.redrawn(fused):
        browser.drag(page, attention, (150, 100), (150, 600), (250, 600), (250, 100))
    assert (np.abs(browser.picture(fused).astype(int) - before).max(-1) > 60).sum() > 50
    browser.screenshot(page, "explorer_fusion")


LOOKS = "v => [...v.querySelectorAll('canvas, img')].map(p => p.toDataURL ? p.toDataURL() : p.src).join()"
STEPS = {
    "predictions": "End",
    "crops": "ArrowLeft",
    "windows": "ArrowRight",
    "fusion": "1: detail",
    "rare classes": "ArrowRight",
    "pseudo-labels": "Home",
    "class mix": "half at random",
    "feature distance": "Home",
}  # what to do in each tab: a key on its first slider, or a button


def colourful(picture):
    return np.ptp(picture.astype(int), -1).mean()


def test_classroom(pages, tmp_path):
    "In Voilà: every tab opens, in the order of teaching, without internet, and its controls change what is seen"
    page, url, *_ = pages
    assert browser.sent_elsewhere(page, lambda: opened(page, url, "classroom")) == []
    *tabs, last = page.get_by_role("tab").all()
    assert [t.inner_text() for t in tabs] == [f"{i + 1} {name}" for i, name in enumerate(STEPS)]
    for tab, (name, step) in zip(tabs, STEPS.items()):
        tab.click()
        view = page.locator(".hrda-pages .hrda-view:visible")
        view.wait_for(timeout=90_000)
        canvas = view.locator("canvas").first
        page.wait_for_function("c => c.dataset.drawn", arg=canvas.element_handle(), timeout=60_000)
        before, colours = view.evaluate(LOOKS), colourful(browser.picture(canvas))
        button = view.locator("button", has_text=step)
        if button.count():
            button.click()
        else:
            view.get_by_role("slider").first.press(step)
        page.wait_for_function(
            f"([v, before]) => ({LOOKS})(v) !== before",
            arg=[view.element_handle(), before],
            timeout=30_000,
        )
        if name == "pseudo-labels":  # at threshold 0 every pixel is confident, and none is grey
            page.wait_for_timeout(500)
            assert colourful(browser.picture(canvas)) > 1.05 * colours
        if name == "crops":
            detail, (height, width) = view.locator("canvas").last, browser.picture(canvas).shape[:2]
            with browser.redrawn(detail):
                browser.drag(
                    page, canvas, (height // 2, width // 2), (height // 2, width // 2 + 150)
                )
        browser.screenshot(page, f"classroom_{name.replace(' ', '_')}")
    last.click()
    folder = page.get_by_label("folder")
    folder.fill(str(tmp_path / "run"))
    folder.press("Enter")
    page.get_by_text("run: waiting for the training to begin").wait_for(timeout=30_000)
    (tmp_path / "run").mkdir()
    page.get_by_text("run: waiting for the first step").wait_for(
        timeout=30_000
    )  # nobody pressed anything


def test_a_second_visitor(pages, remark):
    "Finds a page that is ready; and a closed page's kernel ends"
    page, url, log, pid = pages
    page.wait_for_timeout(2000)
    for _ in range(100):  # the kernel that waits for the next visitor is made while nobody waits
        if len(re.findall(r"Kernel pool of explorer.ipynb is filled", log.read_text())) >= 2:
            break
        page.wait_for_timeout(500)
    start = time.time()
    opened(page, url, "explorer")
    remark(
        f"a second visitor of the explorer page waited {time.time() - start:.1f} s; the kernels hold {browser.memory_of_children(pid)} MB of their own"
    )
    gone = log.read_text().count("Kernel shutdown")
    page.goto("about:blank")
    for _ in range(100):
        if log.read_text().count("Kernel shutdown") > gone:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the kernel of a closed page goes on")
