"Write nbs/images/widgets.gif, which the README shows: `python tools/widgets_gif.py`."

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hrda_nb.widgets.canvas import Scenes
from hrda_nb.widgets.predictions import captioned, output_labels, refused, render_view, view_colours

ROOT = Path(__file__).resolve().parents[1]
SIZE = (640, 320)
AHEAD = np.linspace(0, 1, 9)


def frames(scenes, name):
    "The wiper goes over the fused labels, then the attention from context to detail and back"
    seen = scenes.seen(name)
    classes = scenes.classes
    fused = captioned(render_view(seen, "fused", classes, 0.75), "fused")
    truth = captioned(render_view(seen, "truth", classes, 0.75), "truth")
    picture = captioned(seen.scene.image, "picture", right=True)
    for share in (*AHEAD, *[1] * 4):
        edge = round(share * fused.shape[1])
        both = np.concatenate([fused[:, :edge], picture[:, edge:]], 1)
        both[:, max(0, edge - 2) : edge + 2] = 255
        yield both
    for attention in AHEAD:
        labels = output_labels(refused(seen.output, torch.tensor(float(attention))))
        colours = Image.fromarray(classes.colorize(labels))
        blended = Image.blend(Image.fromarray(seen.scene.image), colours, 0.75)
        yield captioned(np.asarray(blended), f"attention {attention:.2f}")
    learned = captioned(view_colours(seen, "attention", classes), "learned attention")
    yield from [learned] * 4 + [fused] * 4 + [truth] * 4


if __name__ == "__main__":
    scenes = Scenes()
    pictures = [Image.fromarray(f) for f in frames(scenes, scenes.names[3])]
    pictures = [p.resize(SIZE, Image.Resampling.LANCZOS) for p in pictures]
    some = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[::5]]))
    palette = some.quantize(128, Image.Quantize.MEDIANCUT)
    first, *rest = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    first.save(
        ROOT / "nbs/images/widgets.gif",
        save_all=True,
        append_images=rest,
        duration=220,
        loop=0,
        optimize=True,
    )
