"""Recorded values of the published code, and the inputs and weights they were recorded with.

Nothing big is stored: weights are a pure function of a parameter's published name, pictures and
labels of a seed. A cut of the recorded values lies in `tests/fixtures`; the environment variable
HRDA_REFERENCE names the folder of the whole set."""

import fnmatch
import functools
import json
import os
import pathlib
import zlib

import numpy as np
import torch
from safetensors.torch import load_file

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])

# --- recorded values


def reference_dir() -> pathlib.Path:
    "Folder of the whole set if HRDA_REFERENCE names it, else of the cut in the repository"
    return pathlib.Path(os.environ.get("HRDA_REFERENCE") or FIXTURES)


def fixture(
    name: str,  # file stem, such as 'enc_mit_tiny_96x160'
) -> dict:  # key -> tensor
    "Recorded tensors of one file"
    return load_file(reference_dir() / f"{name}.safetensors")


def fixture_json(name: str) -> dict:
    "Recorded scalars of one file"
    return json.loads((reference_dir() / f"{name}.json").read_text())


@functools.cache
def _errors() -> dict:
    return json.loads((FIXTURES / "f64_err.json").read_text())


def f64_err(name: str, key: str) -> float:
    "How far the published float32 run lies from its float64 run; 0 where none was recorded"
    return next((e for k, e in _errors()[name].items() if fnmatch.fnmatch(key, k)), 0.0)


def tolerance(want: torch.Tensor, err: float = 0.0) -> float:
    "Largest difference that rounding explains"
    return max(10 * err, 2e-7 * want.abs().max().item())


def test_recorded(
    got: torch.Tensor,  # what we computed, float32
    name: str,  # file stem
    key: str,  # tensor of that file
    err: float | None = None,  # overrides the recorded `f64_err`
) -> float:  # largest difference found
    "Assert that `got` equals a recorded value to rounding"
    want = fixture(name)[key].double()
    assert got.shape == want.shape, (
        f"{name}/{key}: {tuple(got.shape)} instead of {tuple(want.shape)}"
    )
    diff = (got.detach().double() - want).abs().max().item()
    tol = tolerance(want, f64_err(name, key) if err is None else err)
    assert diff <= tol, f"{name}/{key}: differs by {diff:.1e}, allowed {tol:.1e}"
    return diff


test_recorded.__test__ = False  # a helper, not a test of pytest's

# --- weights


def _gain(key: str) -> float:
    "Scale of a weight matrix by what it feeds"
    if "scale_attention.conv_seg" in key:
        return 3.0
    if "conv_seg" in key:
        return 6.0
    if ".attn.q." in key or ".attn.kv." in key:
        return 1.5
    return 1.0


def det_tensor(
    key: str,  # published name, as 'backbone.patch_embed1.proj.weight'
    shape: tuple,
    seed: int = 0,  # 0 student, 1 teacher, 2 ImageNet model
) -> np.ndarray:  # float64
    "The value that the recorded runs gave to a parameter or buffer"
    rs, shape, leaf = (
        np.random.RandomState((zlib.crc32(key.encode()) + 1000003 * seed) % 2**32),
        tuple(shape),
        key.split(".")[-1],
    )
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return rs.uniform(0.5, 1.5, size=shape)
    z = rs.standard_normal(size=shape)
    if leaf == "running_mean":
        return 0.2 * z
    if leaf == "bias":
        return 0.1 * z
    if len(shape) == 1:
        return 1 + 0.1 * z
    gain = _gain(key)
    if gain == 1 and key.startswith("decode_head") and len(shape) == 4:
        gain = 2**0.5
    return gain / np.sqrt(int(np.prod(shape[1:]))) * z


@torch.no_grad()
def det_fill(
    module: torch.nn.Module,
    seed: int = 0,
    prefix: str = "",  # published prefix: 'backbone.', 'decode_head.head.'
    rename=lambda k: k,  # our name -> published name
) -> torch.nn.Module:
    "Fill all parameters and buffers of `module` in place"
    for k, v in module.state_dict(keep_vars=True).items():
        v.data.copy_(torch.from_numpy(np.asarray(det_tensor(prefix + rename(k), v.shape, seed))))
    return module


# --- inputs


def synth_u8(h: int, w: int, seed: int) -> np.ndarray:  # (h,w,3) uint8 RGB
    "Colour ramps, boxes, waves and noise"
    rs = np.random.RandomState(77000 + seed)
    y, x = np.mgrid[:h, :w].astype(float)
    img = np.zeros((h, w, 3))
    for c in range(3):
        img[..., c] = 128 + 60 * np.sin(
            2 * np.pi * (rs.uniform(0.5, 3) * x / w + rs.uniform(0.5, 3) * y / h) + rs.uniform(0, 6)
        )
    for _ in range(24):
        y0, x0 = rs.randint(0, h), rs.randint(0, w)
        bh, bw = rs.randint(h // 16 + 1, h // 3 + 2), rs.randint(w // 16 + 1, w // 3 + 2)
        box = np.s_[y0 : y0 + bh, x0 : x0 + bw]
        img[box] = 0.4 * img[box] + 0.6 * rs.uniform(0, 255, 3)
    return np.clip(np.round(img + rs.normal(0, 12, img.shape)), 0, 255).astype(np.uint8)


def synth_label(
    h: int, w: int, seed: int, num_classes: int = 19, ignore: bool = True
) -> np.ndarray:  # (h,w) int64
    "Boxes of class indices, some of them 255"
    rs = np.random.RandomState(88000 + seed)
    lab = np.full((h, w), rs.randint(0, num_classes), np.int64)
    for i in range(40):
        y0, x0 = rs.randint(0, h), rs.randint(0, w)
        bh, bw = rs.randint(h // 10 + 1, h // 2 + 2), rs.randint(w // 10 + 1, w // 2 + 2)
        c = rs.randint(0, num_classes)
        if ignore and i % 8 == 7:
            c, bh, bw = 255, bh // 2 + 1, bw // 2 + 1
        lab[y0 : y0 + bh, x0 : x0 + bw] = c
    return lab


def to_unit(
    u8: np.ndarray, dtype=torch.float32
) -> torch.Tensor:  # (1,3,h,w) in [0,1], what our models take
    "A uint8 RGB picture as a batch of one in [0,1]"
    return torch.from_numpy((u8.astype(float) / 255).transpose(2, 0, 1)[None].copy()).to(dtype)


def normalize(
    u8: np.ndarray, dtype=torch.float32
) -> torch.Tensor:  # (1,3,h,w), mean 0 and deviation 1
    "A uint8 RGB picture as the published network sees it"
    return torch.from_numpy(((u8 - MEAN) / STD).transpose(2, 0, 1)[None].copy()).to(dtype)
