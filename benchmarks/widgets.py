"""Seconds from a control to the new picture, for every explore_* view on the sample at 512x1024.

    python benchmarks/widgets.py [--repeats 15] [--no-browser]
    python benchmarks/widgets.py --render

In Python: every slider, choice, switch and button of a view is moved, every canvas clicked, dragged
or painted on, and the time is taken until the view has encoded what it shows next. Moves that need
the network are told apart by counting encoder passes. In the browser: from the key press on each
slider of the classroom page (Voilà, headless Chromium) to the picture drawn. Figures go to
benchmarks/widgets.json and, as a page, to benchmarks/widgets.md; --render makes the page from the
figures that are there."""

import datetime
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import ipywidgets as W
import numpy as np
import torch
import tyro
from adapt import HERE, machine

from hrda_nb import widgets
from hrda_nb.models.encoders import Encoder
from hrda_nb.models.weights import sample_model
from hrda_nb.widgets.canvas import Canvas

SIZE = 512, 1024  # pictures, in pixels


@dataclass
class Args:
    repeats: int = 15  # moves of each control
    browser: bool = True  # measure in the browser too
    # cpu: seconds of work, for a machine that does other things too (with OMP_NUM_THREADS=1)
    clock: Literal["wall", "cpu"] = "wall"
    render: bool = False  # only make the page


def tree(widget: W.Widget):
    "A widget and all below it."
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def shown(view: W.Widget) -> list:
    "What a view shows: encoded pictures, and text that may hold some."
    return [
        (w.image, w.other) if isinstance(w, Canvas) else w.value
        for w in tree(view)
        if isinstance(w, (Canvas, W.Image, W.HTML))
    ]


def pointer(canvas: Canvas, seed: int) -> None:
    "What a pointer does to a canvas: click, move a box, or paint."
    rng = np.random.default_rng(seed)
    height, width = canvas.shape
    y = int(rng.integers(height))
    x = int(rng.integers(width))
    boxes = [b for b in canvas.boxes if b.get("drag", True)]
    if canvas.tool == "box" and boxes:
        move_box(canvas, boxes[-1], rng, seed)
    elif canvas.tool == "paint":
        points = [[y, x], [min(height - 1, y + 40), x]]
        canvas.event = dict(kind="stroke", points=points, start=True, n=seed)
    else:
        canvas.event = dict(kind="click", y=y, x=x, n=seed)


def move_box(canvas: Canvas, box: dict, rng: np.random.Generator, seed: int) -> None:
    "To a random place on the grid."
    top, left, bottom, right = box.get("within") or (0, 0, *canvas.shape)
    height = box["y2"] - box["y1"]
    width = box["x2"] - box["x1"]

    def draw(low, high, size):
        steps = max(1, (high - size - low) // canvas.grid + 1)
        return low + canvas.grid * int(rng.integers(steps))

    y1 = draw(top, bottom, height)
    x1 = draw(left, right, width)
    moved = dict(y1=y1, y2=y1 + height, x1=x1, x2=x1 + width)
    canvas.boxes = [{**o, **moved} if o["name"] == box["name"] else o for o in canvas.boxes]
    canvas.event = dict(kind="box", name=box["name"], **moved, n=seed)


def moves(view: W.Widget):
    "(name, a function that moves a control once more) of every control."
    for w in tree(view):
        name = getattr(w, "description", "") or getattr(w, "tooltip", "") or type(w).__name__
        if isinstance(w, Canvas):
            yield f"{w.tool} on the picture", partial(pointer, w)
        elif isinstance(w, W.Button):
            yield name, lambda i, w=w: w.click()
        elif next_value(w, 1):
            yield name, lambda i, w=w: setattr(w, *next_value(w, i))


def next_value(w: W.Widget, i: int) -> tuple[str, Any] | None:
    "Trait and value of a control's move number `i`; None for what is no control."
    if isinstance(w, W.FileUpload):
        return None
    if isinstance(w, W.SelectMultiple):
        return "index", (i % len(w.options),)
    if hasattr(w, "options"):
        return "index", ((w.index or 0) + 1) % len(w.options)
    part = i * 0.37 % 1  # of the slider's length
    if isinstance(w, W.FloatLogSlider):
        return "value", w.base ** (w.min + part * (w.max - w.min))
    if isinstance(w, W.IntSlider | W.FloatSlider):
        steps = round(part * (w.max - w.min) / w.step)
        return "value", type(w.value)(w.min + steps * w.step)
    if isinstance(w, W.ToggleButton | W.Checkbox):
        return "value", not w.value
    return None


def measure(name: str, repeats: int, now=time.perf_counter) -> dict:
    "One view in this process: opening, and every move that changes what is seen."
    passes = []
    began = now()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda m, args, out: passes.append(1) if isinstance(m, Encoder) else None
    )
    view = getattr(widgets, name)()
    opening = now() - began
    cached, forward = defaultdict(list), defaultdict(list)  # control -> seconds
    for control, move in list(moves(view)):
        for i in range(1, repeats + 1):
            before = shown(view)
            ran = len(passes)
            start = now()
            move(i)
            took = now() - start
            if shown(view) != before:
                (forward if len(passes) > ran else cached)[control].append(took)
    hook.remove()
    figures = dict(cached=row(cached), cached_median=median_of(cached))
    figures |= dict(forward=row(forward), forward_median=median_of(forward))
    return dict(view=name, opening=round(opening, 2), **figures)


def row(found: dict[str, list[float]]) -> dict[str, dict]:
    "Number, median and maximum of each control."
    return {
        control: dict(n=len(t), median=round(statistics.median(t), 4), max=round(max(t), 4))
        for control, t in found.items()
    }


def median_of(found: dict[str, list[float]]) -> float | None:
    "Over all moves of all controls."
    times = [t for found_times in found.values() for t in found_times]
    return round(statistics.median(times), 4) if times else None


WATCH = """(panel, key) => new Promise(done => {
  let start = null, timer = null;
  const press = e => { if (e.key === key) start = performance.now(); };
  const end = took => {
    clearTimeout(timer); seen.disconnect();
    removeEventListener("keydown", press, true); done(took);
  };
  const seen = new MutationObserver(() => { if (start !== null) end(performance.now() - start); });
  seen.observe(panel, {attributes: true, subtree: true, attributeFilter: ["data-drawn", "src"]});
  addEventListener("keydown", press, true);
  timer = setTimeout(() => end(null), 2000); window.hrda_ready = true;
})"""


def in_browser(repeats: int) -> dict[str, dict[str, list]] | None:
    "Milliseconds from key press to picture: tab -> slider -> times. None without a browser."
    sys.path.insert(0, str(HERE.parent / "tests"))
    import browser

    if not (executable := browser.find()):
        return None
    found = {}
    with (
        tempfile.TemporaryDirectory() as state,
        browser.serve_pages(Path(state)) as (url, *_),
        browser.open_page(executable) as page,
    ):
        page.goto(f"{url}/voila/render/classroom.ipynb", timeout=180_000)
        page.get_by_role("tab").first.wait_for(timeout=120_000)
        for tab in page.get_by_role("tab").all()[:-1]:  # the last one watches a training
            tab.click()
            sliders = in_tab(page, repeats)
            if sliders:
                found[tab.inner_text()] = sliders
    return found


def in_tab(page, repeats: int) -> dict[str, list[float]]:
    "Slider -> milliseconds, of those that draw a picture."
    panel = page.locator(".hrda-pages .hrda-view:visible")
    canvas = panel.locator("canvas").first.element_handle(timeout=90_000)
    page.wait_for_function("c => c.dataset.drawn", arg=canvas, timeout=60_000)
    page.wait_for_timeout(1000)
    found = {}
    for i, slider in enumerate(panel.get_by_role("slider").all(), 1):
        took = times(page, panel, slider, repeats) if slider.is_visible() else []
        if took:
            found[f"slider {i}"] = took
    return found


def times(page, panel, slider, repeats: int) -> list[float]:
    "Milliseconds of each key press on a slider that drew a picture."
    took = []
    slider.focus()
    for i, key in zip(range(repeats), cycle(("ArrowLeft", "ArrowRight"))):
        page.evaluate("() => { window.hrda_took = undefined; window.hrda_ready = false; }")
        panel.evaluate(
            f"(panel, key) => {{ ({WATCH})(panel, key).then(t => {{ window.hrda_took = t; }}); }}",
            key,
        )
        page.keyboard.press(key)
        page.wait_for_function("() => window.hrda_took !== undefined")
        if (ms := page.evaluate("() => window.hrda_took")) is not None:
            took.append(round(ms, 1))
        elif i == 1:
            break  # two presses drew nothing
        page.wait_for_timeout(150)
    return took


HEAD = [
    "view",
    "cached, median ms",
    "slowest cached control, median ms",
    "with the network, median ms",
    "slowest such control, median ms",
    "opening, s",
]
PAGE = """# widgets: from a control to the new picture

`{command}` on {machine}, {date}. Bundled sample at {height}x{width}, bundled checkpoint; \
{repeats} moves of every control.{busy}

In Python, from setting a control to the encoded picture. *Cached*: nothing but the maps of the \
last forward pass is needed. Opening is the first view in a fresh process for the first row, and \
includes loading the checkpoint.

{table}

"""
BUSY = " Seconds of processor time, because the machine was busy with other work."
IN_BROWSER = """In headless Chromium through Voilà, from the key press on a slider to the picture \
drawn, pictures as large as the checkpoint's recipe says (384x768):

{table}

"""


def ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f}"


def slowest(controls: dict[str, dict]) -> str:
    "The control with the largest median."
    if not controls:
        return "–"
    name, figures = max(controls.items(), key=lambda c: c[1]["median"])
    return f"{name}: {ms(figures['median'])}"


def view_cells(view: dict) -> list[str]:
    "A row of the table of views."
    cached = [ms(view["cached_median"]), slowest(view["cached"])]
    forward = [ms(view["forward_median"]), slowest(view["forward"])]
    return [f"`{view['view']}`", *cached, *forward, f"{view['opening']:.1f}"]


def tab_cells(tab: str, sliders: dict[str, list[float]]) -> list:
    "A row of the table of tabs."
    took = [t for times in sliders.values() for t in times]
    return [tab, len(took), f"{statistics.median(took):.0f}", f"{max(took):.0f}"]


def page_of(result: dict) -> str:
    "The JSON as a page."
    views = table(HEAD, [view_cells(view) for view in result["views"]])
    busy = BUSY if result["clock"] == "cpu" else ""
    height, width = SIZE
    text = PAGE.format(**result, height=height, width=width, busy=busy, table=views)
    if result["browser"]:
        rows = [tab_cells(tab, sliders) for tab, sliders in result["browser"].items()]
        tabs = table(["tab", "key presses", "median ms", "largest ms"], rows)
        text += IN_BROWSER.format(table=tabs)
    return text


def table(head: list, rows: list) -> str:
    "A Markdown table."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def measure_all(args: Args) -> dict:
    "Every view, and where it ran."
    for _, metadata in (sample_model(), sample_model("adapted"), sample_model("source_only")):
        metadata["recipe"]["target_size"] = SIZE  # views look at pictures of this size
    clock = dict(wall=time.perf_counter, cpu=time.process_time)[args.clock]
    result = dict(
        command=f"python benchmarks/widgets.py --repeats {args.repeats} --clock {args.clock}",
        machine=machine(),
        date=datetime.date.today().isoformat(),
        repeats=args.repeats,
        clock=args.clock,
        views=[],
    )
    for name in widgets.__all__:
        if name.startswith("explore_"):
            result["views"].append(measure(name, args.repeats, clock))
            print(json.dumps(result["views"][-1]), flush=True)
    result["browser"] = in_browser(2 * args.repeats) if args.browser else None
    return result


def main(args: Args) -> None:
    if not args.render:
        (HERE / "widgets.json").write_text(json.dumps(measure_all(args), indent=1))
    (HERE / "widgets.md").write_text(page_of(json.loads((HERE / "widgets.json").read_text())))
    print((HERE / "widgets.md").read_text())


if __name__ == "__main__":
    main(tyro.cli(Args))
