"""Seconds from a control to the new picture, for every explore_* view on the bundled sample at 512x1024.

    python benchmarks/widgets.py [--repeats 15] [--no-browser]
    python benchmarks/widgets.py --render

In Python: every slider, choice, switch and button of a view is moved, every canvas clicked, dragged or painted on, and the time is taken until the view has encoded what
it shows next. Moves that need the network are told apart by counting encoder passes. In the browser: from the key press on each slider of the classroom page (Voilà, headless
Chromium) to the picture drawn. Figures go to benchmarks/widgets.json and, as a page, to benchmarks/widgets.md; --render makes the page from the figures that are there."""

import datetime
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

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
    clock: Literal["wall", "cpu"] = (
        "wall"  # cpu: seconds of work, for a machine that does other things too (with OMP_NUM_THREADS=1)
    )
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
    rng, (H, W_) = np.random.default_rng(seed), canvas.shape
    y, x = int(rng.integers(H)), int(rng.integers(W_))
    boxes = [b for b in canvas.boxes if b.get("drag", True)]
    if canvas.tool == "box" and boxes:
        b, (top, left, bottom, right) = boxes[-1], boxes[-1].get("within") or (0, 0, H, W_)
        h, w, g = b["y2"] - b["y1"], b["x2"] - b["x1"], canvas.grid
        y1, x1 = (
            low + g * int(rng.integers(max(1, (high - size - low) // g + 1)))
            for low, high, size in ((top, bottom, h), (left, right, w))
        )
        moved = dict(y1=y1, y2=y1 + h, x1=x1, x2=x1 + w)
        canvas.boxes = [{**o, **moved} if o["name"] == b["name"] else o for o in canvas.boxes]
        canvas.event = dict(kind="box", name=b["name"], **moved, n=seed)
    elif canvas.tool == "paint":
        canvas.event = dict(
            kind="stroke", points=[[y, x], [min(H - 1, y + 40), x]], start=True, n=seed
        )
    else:
        canvas.event = dict(kind="click", y=y, x=x, n=seed)


def moves(view: W.Widget):
    "(name, a function that moves a control once more) of every control."
    for w in tree(view):
        name = getattr(w, "description", "") or getattr(w, "tooltip", "") or type(w).__name__
        if isinstance(w, Canvas):
            yield f"{w.tool} on the picture", lambda i, w=w: pointer(w, i)
        elif isinstance(w, W.FileUpload):
            continue
        elif isinstance(w, W.SelectMultiple):
            yield name, lambda i, w=w: setattr(w, "index", (i % len(w.options),))
        elif hasattr(w, "options"):
            yield name, lambda i, w=w: setattr(w, "index", ((w.index or 0) + 1) % len(w.options))
        elif isinstance(w, W.FloatLogSlider):
            yield (
                name,
                lambda i, w=w: setattr(
                    w, "value", w.base ** (w.min + (i * 0.37 % 1) * (w.max - w.min))
                ),
            )
        elif isinstance(w, (W.IntSlider, W.FloatSlider)):
            yield (
                name,
                lambda i, w=w: setattr(
                    w,
                    "value",
                    type(w.value)(
                        w.min + round((i * 0.37 % 1) * (w.max - w.min) / w.step) * w.step
                    ),
                ),
            )
        elif isinstance(w, (W.ToggleButton, W.Checkbox)):
            yield name, lambda i, w=w: setattr(w, "value", not w.value)
        elif isinstance(w, W.Button):
            yield name, lambda i, w=w: w.click()


def measure(name: str, repeats: int, now=time.perf_counter) -> dict:
    "One view in this process: opening, and every move that changes what is seen, with and without the network."
    passes, began = [], now()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda m, args, out: passes.append(1) if isinstance(m, Encoder) else None
    )
    view = getattr(widgets, name)()
    opening, cached, forward = now() - began, defaultdict(list), defaultdict(list)
    for control, move in list(moves(view)):
        for i in range(1, repeats + 1):
            before, ran, start = shown(view), len(passes), now()
            move(i)
            took = now() - start
            if shown(view) != before:
                (forward if len(passes) > ran else cached)[control].append(took)
    hook.remove()

    def row(found):
        return {
            c: dict(n=len(t), median=round(statistics.median(t), 4), max=round(max(t), 4))
            for c, t in found.items()
        }

    return dict(
        view=name,
        opening=round(opening, 2),
        cached=row(cached),
        cached_median=median_of(cached),
        forward=row(forward),
        forward_median=median_of(forward),
    )


def median_of(found: dict[str, list[float]]) -> float | None:
    "Over all moves of all controls."
    return (
        round(statistics.median(t for times in found.values() for t in times), 4) if found else None
    )


WATCH = """(panel, key) => new Promise(done => {
  const press = e => { if (e.key === key) start = performance.now(); }; let start = null, timer = null;
  const end = took => { clearTimeout(timer); seen.disconnect(); removeEventListener("keydown", press, true); done(took); };
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
            panel = page.locator(".hrda-pages .hrda-view:visible")
            page.wait_for_function(
                "c => c.dataset.drawn",
                arg=panel.locator("canvas").first.element_handle(timeout=90_000),
                timeout=60_000,
            )
            page.wait_for_timeout(1000)
            found[tab.inner_text()] = {
                f"slider {i + 1}": times(page, panel, slider, repeats)
                for i, slider in enumerate(panel.get_by_role("slider").all())
                if slider.is_visible()
            }
    return {
        tab: {s: t for s, t in sliders.items() if t}
        for tab, sliders in found.items()
        if any(sliders.values())
    }


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


def page_of(result: dict) -> str:
    "The JSON as a page."

    def ms(s):
        return "–" if s is None else f"{1000 * s:.0f}"

    head = [
        "view",
        "cached, median ms",
        "slowest cached control, median ms",
        "with the network, median ms",
        "slowest such control, median ms",
        "opening, s",
    ]
    rows = []
    for r in result["views"]:
        slowest = [
            max(r[k].items(), key=lambda c: c[1]["median"], default=None)
            for k in ("cached", "forward")
        ]
        told = [f"{c[0]}: {ms(c[1]['median'])}" if c else "–" for c in slowest]
        rows.append(
            [
                f"`{r['view']}`",
                ms(r["cached_median"]),
                told[0],
                ms(r["forward_median"]),
                told[1],
                f"{r['opening']:.1f}",
            ]
        )
    text = [
        "# widgets: from a control to the new picture",
        f"`{result['command']}` on {result['machine']}, {result['date']}. Bundled sample at {SIZE[0]}x{SIZE[1]}, bundled checkpoint; {result['repeats']} moves of every control."
        + (
            " Seconds of processor time, because the machine was busy with other work."
            if result["clock"] == "cpu"
            else ""
        ),
        "In Python, from setting a control to the encoded picture. *Cached*: nothing but the maps of the last forward pass is needed. Opening is the first view in a fresh process "
        "for the first row, and includes loading the checkpoint.",
        table(head, rows),
    ]
    if result["browser"]:
        lines = [
            [
                tab,
                len(t := [v for ts in sliders.values() for v in ts]),
                f"{statistics.median(t):.0f}",
                f"{max(t):.0f}",
            ]
            for tab, sliders in result["browser"].items()
        ]
        text += [
            "In headless Chromium through Voilà, from the key press on a slider to the picture drawn, pictures as large as the checkpoint's recipe says (384x768):",
            table(["tab", "key presses", "median ms", "largest ms"], lines),
        ]
    return "\n\n".join([*text, ""])


def table(head: list, rows: list) -> str:
    "A Markdown table."
    return "\n".join(
        "| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]
    )


def main(args: Args) -> None:
    if not args.render:
        for _, meta in (sample_model(), sample_model("adapted"), sample_model("source_only")):
            meta["recipe"]["target_size"] = SIZE  # views look at pictures of this size
        views = [n for n in widgets.__all__ if n.startswith("explore_")]
        result = dict(
            command=f"python benchmarks/widgets.py --repeats {args.repeats} --clock {args.clock}",
            machine=machine(),
            date=datetime.date.today().isoformat(),
            repeats=args.repeats,
            clock=args.clock,
            views=[],
        )
        for name in views:
            result["views"].append(
                measure(
                    name,
                    args.repeats,
                    dict(wall=time.perf_counter, cpu=time.process_time)[args.clock],
                )
            )
            print(json.dumps(result["views"][-1]), flush=True)
        result["browser"] = in_browser(2 * args.repeats) if args.browser else None
        (HERE / "widgets.json").write_text(json.dumps(result, indent=1))
    (HERE / "widgets.md").write_text(page_of(json.loads((HERE / "widgets.json").read_text())))
    print((HERE / "widgets.md").read_text())


if __name__ == "__main__":
    main(tyro.cli(Args))
