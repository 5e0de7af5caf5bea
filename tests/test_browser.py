"Walkthroughs run in JupyterLab in a real Chromium; that run is their execution test."

import re
import time
import urllib.error
import urllib.request

import browser
import notebooks
import numpy as np
import psutil
import pytest
from notebooks import ROOT
from PIL import Image

from hrda_nb.data.labels import cityscapes


@pytest.fixture(scope="module")
def page():
    "A page of a browser"
    executable = browser.needed()
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


ALL_DRAWN = """() => [...document.querySelectorAll('.hrda-view canvas')]
  .every(c => c.dataset.drawn || !c.checkVisibility())"""


@pytest.mark.parametrize("path", [p for p in notebooks.paths() if "/walkthroughs/" in p])
def test_walkthrough(path, lab, note_run):
    page, url, _ = lab
    run = browser.run_notebook(page, url, path.removeprefix("nbs/"))
    note_run(path, run)
    assert run.ok, run.log
    page.wait_for_function(ALL_DRAWN, timeout=30_000)
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
red = np.broadcast_to(np.array((200, 0, 0), np.uint8), (256, 512, 3))
blue = np.broadcast_to(np.array((0, 0, 200), np.uint8), (256, 512, 3))
canvas = Canvas(shape=[256, 512], layout=dict(width="800px"))
said = widgets.Label()
button = widgets.Text(description="do")
said.add_class("said")
def say(words): said.value = words
for kind in ("click", "box", "stroke"):
    canvas.on(kind, lambda kind=kind, **what: say(f"{kind} {sorted(what.items())}"))
canvas.observe(lambda change: say(f"wiper {change.new:.2f}"), "wiper")
button.observe(lambda change: exec(change.new), "value")
canvas.show(red, "a red street")
widgets.VBox([canvas, said, button])
""",
)


class CanvasPage:
    "The notebook above in a page, and how a person works with it"

    def __init__(self, page):
        self.page = page
        self.canvas = page.locator("canvas.hrda-canvas")
        self.said = page.locator(".said")
        self.text = page.locator(".widget-text input")

    def do(self, source):
        "Run a line in the kernel"
        self.text.fill(source)
        self.text.press("Enter")

    def heard(self, words):
        "Wait until Python has heard of it, however busy the machine is"
        self.said.filter(has_text=words).wait_for(timeout=60_000)

    def press(self, key, words):
        self.page.keyboard.press(key)
        self.heard(words)

    def drag(self, start, *way):
        browser.drag(self.page, self.canvas, start, *way)

    def has(self, y, x, colour):
        pixel = browser.picture(self.canvas)[y, x].astype(int)
        return np.abs(pixel - colour).max() < 12


@pytest.fixture
def drawn(lab):
    "The canvas's notebook, run"
    page, url, folder = lab
    browser.write_notebook(folder / "canvas.ipynb", *CANVAS)
    run = browser.run_notebook(page, url, "canvas.ipynb")
    assert run.ok, run.log
    at = CanvasPage(page)
    page.wait_for_function("c => c.dataset.drawn", arg=at.canvas.element_handle())
    return at


RED, BLUE = (200, 0, 0), (0, 0, 200)


def test_canvas(drawn):
    "What only a browser does: decode, wipe, click, drag, paint, move by keys; Python hears of it"
    assert browser.picture(drawn.canvas).shape == (256, 512, 3)
    assert drawn.has(200, 100, RED)
    assert drawn.canvas.get_attribute("aria-label") == "a red street"
    check_clicks(drawn)
    check_pictures_and_wiper(drawn)
    browser.screenshot(drawn.page, "canvas")
    check_boxes(drawn)
    check_painting(drawn)
    browser.screenshot(drawn.page, "canvas_tools")


def check_clicks(drawn):
    browser.click(drawn.page, drawn.canvas, 40, 400)
    drawn.heard("click [('x', 400), ('y', 40)]")
    drawn.canvas.focus()  # JupyterLab would go to another cell
    drawn.press("ArrowDown", "click [('x', 256), ('y', 132)]")
    drawn.press("ArrowUp", "click [('x', 256), ('y', 128)]")
    drawn.press("ArrowRight", "click [('x', 260), ('y', 128)]")


def check_pictures_and_wiper(drawn):
    with browser.redrawn(drawn.canvas):
        drawn.do("canvas.show(blue, 'a blue street')")
    assert drawn.has(200, 100, BLUE)
    assert drawn.canvas.get_attribute("aria-label") == "a blue street"
    with browser.redrawn(drawn.canvas):
        drawn.do("from hrda_nb.plots import encode; canvas.other = encode(red)")
    assert drawn.has(20, 120, BLUE)
    assert drawn.has(20, 392, RED)
    drawn.drag((128, 256), (128, 440))
    drawn.heard("wiper 0.86")
    assert drawn.has(20, 392, BLUE)
    drawn.canvas.focus()
    drawn.press("Shift+ArrowLeft", "wiper 0.81")


def check_boxes(drawn):
    box = "dict(name='detail', y1=32, y2=96, x1=32, x2=160, label='detail', colour='yellow')"
    drawn.do(f"canvas.other = b''; canvas.boxes = [{box}]; canvas.grid = 32; canvas.tool = 'box'")
    drawn.page.wait_for_function(
        "c => c.getContext('2d').getImageData(32, 80, 1, 1).data[0] > 100",
        arg=drawn.canvas.element_handle(),
    )
    drawn.drag((64, 80), (140, 244))  # to 108 and 196, on the grid
    drawn.heard("box [('name', 'detail'), ('x1', 192), ('x2', 320), ('y1', 96), ('y2', 160)]")
    drawn.canvas.focus()
    drawn.press("ArrowRight", "('x1', 224)")
    drawn.drag((120, 240), (-500, -500))
    drawn.heard("('x1', 0), ('x2', 128), ('y1', 0)")


def check_painting(drawn):
    drawn.do("canvas.boxes = []; canvas.tool = 'paint'; said.value = 'ready to paint'")
    drawn.heard("ready to paint")
    drawn.drag((40, 40), (40, 240), (160, 240))
    drawn.heard("stroke [('points', [")
    drawn.canvas.focus()
    drawn.page.keyboard.press("ArrowDown")
    drawn.press(" ", "('start', True)")
    drawn.page.keyboard.type("xx")  # JupyterLab would cut the cell
    assert drawn.canvas.is_visible()


def test_a_view_in_lab(lab):
    "Nothing is cut off beside the file browser; a restarted kernel is said in one sentence"
    page, url, folder = lab
    page.set_viewport_size(dict(width=1400, height=1600))
    source = "from hrda_nb.widgets import explore_predictions", "explore_predictions()"
    browser.write_notebook(folder / "view.ipynb", *source)
    assert browser.run_notebook(page, url, "view.ipynb").ok
    asked = page.locator(".hrda-pixel")
    asked.filter(has_text="taken for").wait_for(timeout=30_000)
    cut = "e => [e, ...e.querySelectorAll('*')].some(p => p.scrollWidth > p.clientWidth + 1"
    cut += " && getComputedStyle(p).overflowX !== 'visible')"
    assert not asked.evaluate(cut)
    page.evaluate(f"() => {{ {browser.SESSION}.session.kernel.restart() }}")
    gone = page.locator(".hrda-gone", has_text="Run the cells of the notebook again")
    gone.wait_for(timeout=30_000)
    page.wait_for_function(browser.IDLE, timeout=60_000)


SLIDER = """
import ipywidgets as widgets
slider = widgets.IntSlider(3, description="steps")
label = widgets.Label()
widgets.dlink((slider, "value"), (label, "value"), str)
widgets.VBox([slider, label])
"""


def test_widgets_live_and_errors_are_seen(lab):
    "The helpers themselves: a moved slider moves the kernel's value; a failing cell is reported"
    page, url, folder = lab
    browser.write_notebook(folder / "widget.ipynb", SLIDER)
    browser.write_notebook(folder / "wrong.ipynb", "1/0", "2")
    assert browser.run_notebook(page, url, "widget.ipynb").ok
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".widget-label", has_text="4").first.wait_for(timeout=60_000)
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
    "Fraction of the pixels (N,3) that have the colour of a class, but for JPEG"
    distance = np.abs(pixels[:, None].astype(int) - cityscapes.palette).max(-1)  # (N,K)
    return (distance.min(1) <= tolerance).mean()


PART = np.s_[60:360:3, 40:300:3]  # left of the wiper, below the caption


def test_explorer(pages, tmp_path):
    "In Voilà, without internet: slider, click, keys, upload, painting"
    page, url, *_ = pages
    found = []
    assert browser.sent_elsewhere(page, lambda: found.append(opened(page, url, "explorer"))) == []
    view = page.locator(".hrda-predictions")
    view.locator(".hrda-words", has_text="computed on").wait_for(timeout=60_000)
    assert page.evaluate(UNNAMED) == []
    assert view.get_by_role("slider").first.get_attribute("aria-label").startswith("opacity")
    assert view.get_by_role("button", name="own picture").inner_text().strip() == "own picture"
    check_busy(view)
    check_opacity(view, found[0])
    browser.screenshot(page, "explorer")
    check_pixel(page, view, found[0])
    check_uploads(page, view, found[0], tmp_path)
    check_fusion(page)
    browser.screenshot(page, "explorer_fusion")


BUSY = """(view, index) => new Promise(done => {
  const seen = [];
  const note = () => {
    const canvas = view.querySelector('canvas');
    seen.push([view.getAttribute('aria-busy'), canvas.getAttribute('aria-busy')].join());
    if (seen.at(-1) === 'false,false') done(seen);
  };
  new MutationObserver(note).observe(view, {attributeFilter: ['aria-busy']});
  const choice = view.querySelector('select');
  choice.selectedIndex = index;
  choice.dispatchEvent(new Event('change', {bubbles: true}));
})"""


def check_busy(view):
    "A picture that is being computed says so, and no longer when it is there"
    assert view.evaluate(BUSY, 3) == ["true,true", "false,false"]
    looks = "v => getComputedStyle(v.querySelector('.hrda-frame'), '::after').content"
    assert view.evaluate(looks) == "none"
    marked = "v => { v.classList.add('hrda-busy'); const c = (LOOKS)(v);"
    marked += " v.classList.remove('hrda-busy'); return c }"
    assert view.evaluate(marked.replace("LOOKS", looks)) == '"computing …"'


UNNAMED = """() => [...document.querySelectorAll('button, select, input, [role=slider]')]
  .filter(e => e.checkVisibility() && !e.labels?.length)
  .filter(e => !e.getAttribute('aria-label') && !e.textContent.trim())
  .map(e => e.outerHTML.slice(0, 120))"""


def check_opacity(view, canvas):
    "From labels alone to the street alone"
    opacity = view.locator(".hrda-opacity").get_by_role("slider")
    with browser.redrawn(canvas):
        opacity.press("End")
    colours = browser.picture(canvas)[PART].reshape(-1, 3)
    with browser.redrawn(canvas):
        opacity.press("Home")
    street = browser.picture(canvas)[PART].reshape(-1, 3)
    assert in_palette(colours) > 0.9 > 0.5 > in_palette(street)
    name = view.locator("select").first.input_value()
    photo = next((ROOT / "data_samples/target/val/images").glob(f"{name}.*"))
    photo = np.asarray(Image.open(photo).resize((768, 384)))[PART].reshape(-1, 3)
    assert np.abs(street.astype(int) - photo).mean() < 6


def check_pixel(page, view, canvas):
    pixel = view.locator(".hrda-pixel")
    browser.click(page, canvas, 200, 100)
    pixel.filter(has_text="row 200, column 100").wait_for(timeout=60_000)
    page.keyboard.press("ArrowRight")
    pixel.filter(has_text="row 200, column 104").wait_for(timeout=60_000)


def check_uploads(page, view, canvas, folder):
    "A picture, and what is none"

    def upload(file):
        with page.expect_file_chooser() as chooser:
            view.get_by_role("button", name="own picture").click()
        chooser.value.set_files(file)

    Image.new("RGB", (300, 200), (250, 120, 0)).save(folder / "mine.png")
    with browser.redrawn(canvas):
        upload(folder / "mine.png")
    orange = browser.picture(canvas)
    assert orange.shape == (200, 300, 3)
    assert np.abs(orange[60:190, 20:100].astype(int) - (250, 120, 0)).max() < 12
    (folder / "letter.txt").write_text("dear")
    upload(folder / "letter.txt")
    view.locator(".hrda-words", has_text="cannot be read as a picture").wait_for(timeout=60_000)


def check_fusion(page):
    "What is painted into the attention changes the fused labels"
    page.get_by_role("tab", name="fusion").click()
    fusion = page.locator(".hrda-fusion")
    attention = fusion.locator(".hrda-attention canvas")
    fused = fusion.locator(".hrda-fused canvas")
    fused.wait_for(timeout=60_000)
    page.wait_for_function("c => c.dataset.drawn", arg=fused.element_handle())
    before = browser.picture(fused).astype(int)
    with browser.redrawn(fused):
        browser.drag(page, attention, (150, 100), (150, 600), (250, 600), (250, 100))
    changed = np.abs(browser.picture(fused) - before).max(-1) > 60
    assert changed.sum() > 50


LOOKS = """v => [...v.querySelectorAll('canvas, img')]
  .map(p => p.toDataURL ? p.toDataURL() : p.src).join()"""
STEPS = {  # what to do in each tab: a key on its first slider, or a button
    "predictions": "End",
    "crops": "ArrowLeft",
    "windows": "ArrowRight",
    "fusion": "1: detail",
    "rare classes": "ArrowRight",
    "pseudo-labels": "Home",
    "class mix": "half at random",
    "feature distance": "Home",
    "contrast": "other anchors",
    "masking": "another mask",
}


LOWEST = """() => Math.max(...[...document.querySelectorAll('canvas, .hrda-chart')]
  .filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().bottom + scrollY))"""
SMALL = """() => [...document.querySelectorAll('.hrda-pages :is(button, label, p, li, td, th)')]
  .filter(e => e.checkVisibility() && e.textContent.trim())
  .filter(e => parseFloat(getComputedStyle(e).fontSize) < 16).map(e => e.outerHTML.slice(0, 120))"""


def check_projector(page):
    "All pictures of a tab are seen without scrolling, letters are large, controls have names"
    assert page.evaluate(LOWEST) <= page.viewport_size["height"]
    assert page.evaluate(SMALL) == []
    assert page.evaluate(UNNAMED) == []


def colourful(picture):
    return np.ptp(picture.astype(int), -1).mean()


def test_classroom(pages, tmp_path):
    "In Voilà: every tab opens in order, without internet, and its controls change what is seen"
    page, url, *_ = pages
    page.set_viewport_size(dict(width=1280, height=720))
    assert browser.sent_elsewhere(page, lambda: opened(page, url, "classroom")) == []
    *tabs, last = page.get_by_role("tab").all()
    assert [t.inner_text() for t in tabs] == [f"{i + 1} {name}" for i, name in enumerate(STEPS)]
    check_domain_gap(page)
    for tab, name in zip(tabs, STEPS):
        tab.click()
        check_tab(page, name)
        browser.screenshot(page, f"classroom_{name.replace(' ', '_')}")
    last.click()
    check_watching(page, tmp_path / "run")


def check_domain_gap(page):
    "Before and after adaptation stand on both sides of the wiper, on streets of both cameras"
    view = page.locator(".hrda-predictions")
    words = view.locator(".hrda-words")

    def means():
        return [int(n) for n in re.findall(r"mean IoU (\d+)%", words.inner_text())]

    assert "click a pixel" in view.inner_text()
    before, after = means()
    assert before + 8 < after
    canvas = view.locator("canvas")
    assert "Left of the wiper source only, right of it adapted" in canvas.get_attribute(
        "aria-label"
    )
    with browser.redrawn(canvas):
        view.locator("select").first.select_option("source city_0250000")
    assert means()[0] > before + 8


def check_tab(page, name):
    "One step changes what a tab shows"
    view = page.locator(".hrda-pages .hrda-view:visible")
    view.wait_for(timeout=90_000)
    canvas = view.locator("canvas").first
    page.wait_for_function("c => c.dataset.drawn", arg=canvas.element_handle(), timeout=60_000)
    check_projector(page)
    before = view.evaluate(LOOKS)
    colours = colourful(browser.picture(canvas))
    take_step(view, STEPS[name])
    page.wait_for_function(
        f"([v, before]) => ({LOOKS})(v) !== before",
        arg=[view.element_handle(), before],
        timeout=30_000,
    )
    if name == "pseudo-labels":  # at threshold 0 every pixel is confident, and none is grey
        page.wait_for_timeout(500)
        assert colourful(browser.picture(canvas)) > 1.05 * colours
    if name in MORE:
        MORE[name](page, view)
    if name == "crops":
        height, width = browser.picture(canvas).shape[:2]
        middle = (height // 2, width // 2)
        with browser.redrawn(view.locator("canvas").last):
            browser.drag(page, canvas, middle, (middle[0], middle[1] + 150))


def check_contrast(page, view):
    "A click and a key choose a pixel, a place of a crop, and move a crop"
    words = view.locator(".hrda-pixel")
    browser.click(page, view.locator(".hrda-anchors canvas"), 300, 200)
    words.filter(has_text="Row 300, column 200").wait_for(timeout=60_000)
    page.keyboard.press("ArrowRight")
    words.filter(has_text="Row 300, column 204").wait_for(timeout=60_000)
    pairs = view.locator(".hrda-pairs")
    before = pairs.inner_text()
    second = view.locator(".hrda-second canvas")
    with browser.redrawn(second):
        browser.click(page, view.locator(".hrda-first canvas"), 250, 500)
    with browser.redrawn(second):
        view.locator(".hrda-patches canvas").focus()
        page.keyboard.press("ArrowDown")
    assert pairs.inner_text() != before


def check_masking(page, view):
    "A slider shows everything, a click and a key hide a block each"
    words = view.locator(".hrda-words")
    nothing = words.filter(has_text="Nothing is hidden")
    view.get_by_role("slider").first.press("Home")
    nothing.wait_for(timeout=30_000)
    masked = view.locator(".hrda-masked canvas")
    with browser.redrawn(masked):
        browser.click(page, masked, 100, 100)
    block = browser.picture(masked)[70:120, 70:120]
    assert block.reshape(-1, 3).std(0).max() < 4
    nothing.wait_for(state="hidden", timeout=30_000)
    with browser.redrawn(view.locator(".hrda-student canvas")):
        page.keyboard.press(" ")  # in the middle: hides another block


MORE = {"contrast": check_contrast, "masking": check_masking}


def take_step(view, step):
    "Press a button of that name, else the key on the first slider"
    button = view.locator("button", has_text=step)
    if button.count():
        button.click()
    else:
        view.get_by_role("slider").first.press(step)


def check_watching(page, run):
    "The last tab waits for a training and its first step, without a button; not for a typo"
    folder = page.get_by_label("folder")
    folder.fill(str(run / "no" / "such"))
    folder.press("Enter")
    page.get_by_text("this folder does not exist").wait_for(timeout=30_000)
    assert page.get_by_role("button", name="play").count() == 1  # it does not read again and again
    assert page.evaluate(UNNAMED) == []
    folder.fill(str(run))
    folder.press("Enter")
    page.get_by_text("run: waiting for the training to begin").wait_for(timeout=30_000)
    run.mkdir()
    page.get_by_text("run: waiting for the first step").wait_for(timeout=30_000)


def test_small_and_dark(pages):
    "On a telephone all tabs can be read and nothing is wider than the screen; dark is dark"
    page, url, *_ = pages
    page.set_viewport_size(dict(width=390, height=844))
    page.emulate_media(color_scheme="dark")
    opened(page, url, "explorer")
    browser.screenshot(page, "explorer_small_dark")
    cut = "() => [...document.querySelectorAll('[role=tab] .lm-TabBar-tabLabel')]"
    cut += ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.evaluate(cut) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shade = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.evaluate(shade)) < 50
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(dict(width=1400, height=1600))


KERNEL = "JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId"


def test_a_lost_process(pages):
    "One sentence says that nothing answers any more"
    page, url, _, pid = pages
    opened(page, url, "explorer")
    page.wait_for_timeout(1500)
    kernel = page.evaluate(KERNEL)
    for process in psutil.Process(pid).children():
        if kernel in " ".join(process.cmdline()):
            process.kill()
    gone = page.locator(".hrda-gone", has_text="Python process behind this page has ended")
    gone.wait_for(timeout=30_000)
    assert gone.count() == 1
    icons = "() => [...document.querySelectorAll('.jupyter-widgets-disconnected')]"
    icons += ".map(e => getComputedStyle(e, '::before').content).filter(c => c !== 'none')"
    assert page.evaluate(icons) == []


def answer(url, **headers):
    "Status and text of a page, whatever it is"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_a_full_room(page, tmp_path):
    "Who finds no seat reads why, and gets one when somebody has left"
    with browser.serve_pages(tmp_path, "--visitors", "1") as (url, log, _):
        assert "Seats for 1 visitors" in log.read_text()
        opened(page, url, "explorer")
        status, text = answer(f"{url}/voila/render/explorer.ipynb")
        assert status == 503
        assert "The room is full" in text
        page.goto("about:blank")
        for _ in range(60):
            page.wait_for_timeout(500)
            if answer(f"{url}/voila/render/explorer.ipynb")[0] == 200:
                return
        raise AssertionError("the seat of a closed page stays taken")


CLOSED = ["voila/files/voila.json", "voila/api/contents", "voila/tree", "api/terminals", "lab"]
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


def test_a_shared_room(page, tmp_path):
    "Without the token nothing is seen, with it pages only"
    with browser.serve_pages(tmp_path, "--share", "--visitors", "2") as (url, log, _):
        printed = re.search(
            r"http://\S+/(voila/render/classroom.ipynb\?token=\w+)", log.read_text()
        )
        address = printed[1]
        token = address.split("=")[1]
        for path in ("", "voila/render/classroom.ipynb", *CLOSED):
            status, text = answer(f"{url}/{path}")
            assert status in (403, 404) or "Password or token" in text, path
            assert "kernelId" not in text
        channel = f"{url}/api/kernels/00000000-0000-0000-0000-000000000000/channels"
        key = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        assert answer(channel, **SOCKET, **key)[0] == 403
        for path in (*CLOSED, "voila/render/voila.json", "voila/render/..%2Findex.ipynb"):
            assert answer(f"{url}/{path}?token={token}")[0] in (403, 404), path
        page.goto(f"{url}/{address}", timeout=120_000)
        page.get_by_role("tab", name="10 masking").wait_for(timeout=60_000)
        assert page.get_by_role("tab").count() == 10  # none reads folders of this computer
        page.goto("about:blank")


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
    waited = time.time() - start
    memory = browser.memory_of_children(pid)
    remark(f"a second visitor of the explorer page waited {waited:.1f} s; kernels hold {memory} MB")
    gone = log.read_text().count("Kernel shutdown")
    page.goto("about:blank")
    for _ in range(100):
        if log.read_text().count("Kernel shutdown") > gone:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the kernel of a closed page goes on")
