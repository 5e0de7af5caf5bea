"""Write nbs/images/widgets.gif, what the README shows of the widgets:
`python tools/widgets_gif.py`.

Its pictures come from the sample and its adapted network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hrda_nb.data.labels import ClassTable
from hrda_nb.widgets.charts import blend, captioned
from hrda_nb.widgets.fusion import output_labels, with_attention
from hrda_nb.widgets.predictions import draw_map, map_colours
from hrda_nb.widgets.scenes import ScenePrediction, Scenes

ROOT = Path(__file__).resolve().parents[1]
SIZE = 640, 320  # width and height in pixels
OPACITY = 0.75
STEPS = np.linspace(0, 1, 9)  # of the wiper and of the attention
PAUSE = 4  # frames for which a picture stands still
STREET = 3  # which of the sample's target streets


def wiped(left: np.ndarray, right: np.ndarray, place: float) -> np.ndarray:
    "Two pictures with a white wiper between them, `place` of the width from the left"
    edge = round(place * left.shape[1])
    both = np.concatenate([left[:, :edge], right[:, edge:]], 1)
    both[:, max(0, edge - 2) : edge + 2] = 255
    return both


def fused_with(street: ScenePrediction, classes: ClassTable, attention: float) -> np.ndarray:
    "The street with the labels that one attention everywhere gives"
    labels = output_labels(with_attention(street.output, torch.tensor(attention)))
    over = blend(street.scene.image, classes.colorize(labels), OPACITY)
    return captioned(over, f"attention {attention:.2f}")


def frames(street: ScenePrediction, classes: ClassTable) -> Iterator[np.ndarray]:
    "First the wiper, then the attention from context to detail, then what was learnt, the truth"
    fused = captioned(draw_map(street, "fused", classes, OPACITY), "fused")
    truth = captioned(draw_map(street, "truth", classes, OPACITY), "truth")
    learned = captioned(map_colours(street, "attention", classes), "learned attention")
    picture = captioned(street.scene.image, "picture", right=True)
    for place in (*STEPS, *[1] * PAUSE):
        yield wiped(fused, picture, place)
    for attention in STEPS:
        yield fused_with(street, classes, float(attention))
    for last in (learned, fused, truth):
        yield from [last] * PAUSE


def write(path: Path) -> None:
    "The moving picture, all frames in one palette"
    scenes = Scenes()
    street = scenes.prediction(scenes.names[STREET])
    large = [Image.fromarray(f) for f in frames(street, scenes.classes)]
    pictures = [p.resize(SIZE, Image.Resampling.LANCZOS) for p in large]
    some = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[::5]]))
    palette = some.quantize(128, Image.Quantize.MEDIANCUT)
    first, *rest = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    first.save(path, save_all=True, append_images=rest, duration=220, loop=0, optimize=True)


if __name__ == "__main__":
    write(ROOT / "nbs/images/widgets.gif")
