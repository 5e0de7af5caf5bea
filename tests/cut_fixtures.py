"Cut `tests/fixtures` from all recorded values: `python tests/cut_fixtures.py FOLDER`."

import fnmatch
import json
import pathlib
import re
import sys

from safetensors.torch import load_file, save_file

OUT = pathlib.Path(__file__).parent / "fixtures"
KEEP = {  # file -> patterns of the tensors kept
    "dacs": ["[!t]*", "trg"],
    "data": ["bgr", "label", "resized.*", "metric.*"],
    "enc_mit_tiny_96x160": ["*"],
    "head_mit_tiny": ["logits", "embed3", "aspp1"],
    "decoders": ["mit_tiny.*", "mit_b0.daformer_sepaspp", "mit_b0.upernet"],
    "dlv2": [
        "x_u8",
        "r50w16.feat1",
        "r50w16.*logits*",
        "r50w16.odd*",
        "r50w16.train*",
        "r101w16.logits",
        "r101.logits",
    ],
    "hrda_mit_tiny": [
        "x_u8",
        "x_odd_u8",
        "whole_lr_raw_s8",
        "whole_att_s8",
        "whole_fused_s4",
        "slide_logits_sub4",
        "odd_slide_logits_sub4",
    ],
    "train_mit_tiny": [
        "x_u8",
        "label",
        "seg_weight",
        "*loss_seg",
        "*grad_norm*",
        "grad.*norm*",
        "grad.*bias",
        "grad.*bn.weight",
        "buf_after.*",
    ],
    "step_daformer": ["*weight", "*.mix_masks", "*.mixed_lbl", "final.*"],
    "mic_mask": [
        "mask.b16*",
        "mask.b32*",
        "mask.b64_r0.7_1x*",
        "masked.x_u8",
        "branch.separatetrgaug.*",
        "loss.*",
    ],
    "pipa_pixel": ["small12.*", "proj.*"],
    "pipa_model": ["*"],
    "pipa_patch": ["*.draws", "*.project.*"],
}
JSON = [
    "dacs",
    "data",
    "sample_class_stats",
    "samples_with_class",
    "encoders",
    "decoders",
    "dlv2",
    "hrda_state_dict_shapes",
    "schedule",
    "step_daformer",
    "train_losses_f64",
    "mic_mask",
    "pipa_model",
    "pipa_patch",
    "pipa_pixel",
]


def recorded_errors(readme: pathlib.Path) -> dict:  # file stem -> key -> f64_err
    "The `f64_err` columns of the README beside the recorded values"
    out, stem = {}, None
    for line in readme.read_text().splitlines():
        if m := re.match(r"### (\w+)\.", line):
            stem = m[1]
        m = re.match(r"\| `([^`]+)`.*\| ([\d.]+e[+-]\d+) \|$", line)
        if m:
            out.setdefault(stem, {})[m[1]] = float(m[2])
    return out


if __name__ == "__main__":
    src = pathlib.Path(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    errors = recorded_errors(src / "README.md") | recorded_errors(src / "README_mic_pipa.md")
    (OUT / "f64_err.json").write_text(json.dumps(errors))
    for name in JSON:
        (OUT / f"{name}.json").write_text(
            json.dumps(json.loads((src / f"{name}.json").read_text()), separators=(",", ":"))
        )
    for name, pats in KEEP.items():
        ts = load_file(src / f"{name}.safetensors")
        save_file(
            {k: v for k, v in ts.items() if any(fnmatch.fnmatch(k, p) for p in pats)},
            OUT / f"{name}.safetensors",
        )
    for f in OUT.iterdir():
        f.chmod(0o644)
