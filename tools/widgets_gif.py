"""Write nbs/images/widgets.gif, what the README shows of the widgets, from the sample and its adapted network: `python tools/widgets_gif.py`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hrda_nb.widgets.canvas import Scenes
from hrda_nb.widgets.predictions import captioned, output_labels, refused, render_view, view_colours

ROOT, SIZE = Path(__file__).resolve().parents[1], (640, 320)
AHEAD = np.linspace(0, 1, 9)


def frames(scenes, name):
    "The wiper goes over the fused labels, then the attention from context to detail and back to what was learnt"
    seen, classes = scenes.seen(name), scenes.classes
    fused, truth = (captioned(render_view(seen, v, classes, 0.75), v) for v in ("fused", "truth"))
    picture = captioned(seen.scene.image, "picture", right=True)
    for share in (*AHEAD, *[1] * 4):
        edge = round(share * fused.shape[1])
        both = np.concatenate([fused[:, :edge], picture[:, edge:]], 1)
        both[:, max(0, edge - 2) : edge + 2] = 255
        yield both
    for attention in AHEAD:
        labels = classes.colorize(
            output_labels(refused(seen.output, torch.tensor(float(attention))))
        )
        yield captioned(
            np.asarray(
                Image.blend(Image.fromarray(seen.scene.image), Image.fromarray(labels), 0.75)
            ),
            f"attention {attention:.2f}",
        )
    yield from (
        [captioned(view_colours(seen, "attention", classes), "learned attention")] * 4
        + [fused] * 4
        + [truth] * 4
    )


if __name__ == "__main__":
    scenes = Scenes()
    pictures = [
        Image.fromarray(f).resize(SIZE, Image.Resampling.LANCZOS)
        for f in frames(scenes, scenes.names[3])
    ]
    palette = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[::5]])).quantize(
        128, Image.Quantize.MEDIANCUT
    )
    first, *rest = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    first.save(
        ROOT / "nbs/images/widgets.gif",
        save_all=True,
        append_images=rest,
        duration=220,
        loop=0,
        optimize=True,
    )
