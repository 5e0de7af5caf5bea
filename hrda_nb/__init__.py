"""Unsupervised domain adaptation for semantic segmentation, taught and run from notebooks.

A network that was trained on synthetic streets is adapted to real ones, without labels of the real
ones (DAFormer, HRDA, MIC). The names that most people need stand here; each is loaded when it is
first used:

    >>> import hrda_nb
    >>> model, about = hrda_nb.sample_model()               # adapted to the bundled sample
    >>> prediction = hrda_nb.predict(model, "street.jpg")   # .labels, .attention, .confidence
    >>> hrda_nb.train("mini", source="source", target="target", out="run")

`help(hrda_nb.train)` tells the rest; the modules stand in `data`, `models`, `uda`, `inference`,
`plots`, `training` and `widgets`, each made from a notebook that explains it.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {  # name -> the module that it is loaded from
    "ClassTable": "data.labels",
    "UserError": "data.labels",
    "open_folder": "data.datasets",
    "samples_dir": "data.samples",
    "encoder": "models.encoders",
    "decoder": "models.decoders",
    "build_model": "models.hrda",
    "load_checkpoint": "models.weights",
    "load_published": "models.weights",
    "sample_model": "models.weights",
    "SelfTraining": "uda.self_training",
    "SelfTrainingConfig": "uda.self_training",
    "evaluate": "inference.metrics",
    "predict": "inference.predict",
    "Recipe": "training.recipes",
    "recipes": "training.recipes",
    "train": "training.trainer",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
