"""Write the values that the page's own tests compare with: `python tools/page_values.py`.

What PyTorch computes from a few small tensors goes to page/test/values.json; a test in
tests/test_page.py fails where the file is out of step with the library."""

import json
from pathlib import Path

import torch

from hrda_nb.data.geometry import resize
from hrda_nb.data.rare_class_sampling import rcs_probabilities
from hrda_nb.models.hrda import Output, fuse
from hrda_nb.models.sliding_window import average_windows, window_boxes
from hrda_nb.uda.pseudo_labels import pseudo_labels
from hrda_nb.widgets.scenes import class_iou

FILE = Path(__file__).resolve().parents[1] / "page/test/values.json"
DECIMALS = 5


def numbers(values: torch.Tensor) -> dict:
    "A tensor as JSON: its shape without the batch, its numbers in order."
    plain = values[0].float()
    return dict(
        shape=list(plain.shape), data=[round(v, DECIMALS) for v in plain.flatten().tolist()]
    )


def fusion(draw: torch.Generator) -> dict:
    "Views of a picture of 32x48 with five classes, fused, enlarged and labelled."
    context = torch.randn(1, 5, 4, 6, generator=draw) * 3
    detail = torch.randn(1, 5, 8, 12, generator=draw) * 3
    attention = torch.rand(1, 5, 4, 6, generator=draw)
    fused = fuse(context, detail, attention)
    size = (32, 48)
    output = Output(fused, size, size, [], context, attention, detail)
    label, confidence = pseudo_labels(output.upsampled())
    return dict(
        context=numbers(context),
        detail=numbers(detail),
        attention=numbers(attention),
        fused=numbers(fused),
        attention_map=numbers(output.attention_map()),
        size=list(size),
        labels=label[0].flatten().tolist(),
        context_labels=output.upsampled("context")[0].argmax(0).flatten().tolist(),
        confidence=numbers(confidence[:, None]),
    )


def windows(draw: torch.Generator) -> dict:
    "Windows of 16x24 over a picture of 32x52, moved by half of their size."
    size, window, stride, cell = (32, 52), (16, 24), (8, 12), 4
    boxes = window_boxes(size, window, stride)
    maps = [torch.randn(1, 2, 4, 6, generator=draw) for _ in boxes]
    cells = tuple(side // cell for side in size)
    mean = average_windows(maps, [b.scaled(cell) for b in boxes], cells)
    return dict(
        size=size,
        window=window,
        stride=stride,
        cell=cell,
        boxes=[[b.y1, b.x1] for b in boxes],
        maps=[numbers(m) for m in maps],
        mean=numbers(mean),
    )


def scores(draw: torch.Generator) -> dict:
    "IoU of six rows of pixels, some of them not scored."
    label = torch.randint(0, 4, (6, 9), generator=draw).byte().numpy()
    truth = torch.randint(0, 3, (6, 9), generator=draw).byte().numpy()
    truth[0] = 255
    iou = [None if v != v else round(float(v), DECIMALS) for v in class_iou(label, truth, 4)]
    return dict(label=label.flatten().tolist(), truth=truth.flatten().tolist(), iou=iou)


def rare_classes() -> list[dict]:
    "P(c) at three temperatures."
    counts = [5000, 0, 300, 20, 1200]
    found = []
    for temperature in (0.01, 0.05, 0.3):
        classes, p = rcs_probabilities(torch.tensor(counts), temperature)
        values = [0.0] * len(counts)
        for c, chance in zip(classes, p.tolist()):
            values[c] = round(chance, DECIMALS)
        found.append(dict(counts=counts, temperature=temperature, p=values))
    return found


def page_values() -> dict:
    "All values."
    draw = torch.Generator().manual_seed(0)
    small = torch.randn(1, 3, 5, 7, generator=draw)
    return dict(
        resize=dict(small=numbers(small), large=numbers(resize(small, (13, 22)))),
        fusion=fusion(draw),
        windows=windows(draw),
        scores=scores(draw),
        rare_classes=rare_classes(),
    )


if __name__ == "__main__":
    FILE.write_text(json.dumps(page_values()) + "\n", encoding="utf-8")
    print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB")
