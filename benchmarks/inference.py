"""Whole pictures through HRDA: seconds, peak memory and encoder passes, with and without sharing detail windows.

    python benchmarks/inference.py [--encoders mit_b0 mit_b5] [--sizes 1024x2048 333x517]

Context windows 1024x1024 (step 512), detail windows 512x512 (step 256), random weights. Each case runs in a process of its own; figures go to benchmarks/inference.json."""
import datetime, json, os, platform, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path
import tyro

HERE = Path(__file__).parent

@dataclass
class Args:
    encoders:tuple[str, ...] = ("mit_b0", "mit_b5")
    sizes:tuple[str, ...] = ("1024x2048", "333x517") # HEIGHTxWIDTH in pixels

def case(encoder:str, size:str, share:bool) -> dict:
    "One picture, in this process."
    import resource, torch
    from hrda_nb.models.hrda import build_model, segment
    torch.manual_seed(0)
    model, image = build_model("hrda", encoder).eval(), torch.rand(1, 3, *map(int, size.split("x")))
    passes = []
    model.encoder.register_forward_hook(lambda m, args, out: passes.append(len(args[0])))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with torch.inference_mode(): logits = segment(model, image, (1024, 1024), (512, 512), share=share)["fused"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(encoder=encoder, size=size, share=share, seconds=round(time.perf_counter() - began, 2), peak_gib=round(peak/2**20, 2), model_loaded_gib=round(before/2**20, 2),
                encoder_passes=sum(passes), logits=list(logits.shape))

def main(args:Args) -> None:
    import torch
    rows = []
    for encoder in args.encoders:
        for size in args.sizes:
            for share in (True, False):
                done = subprocess.run([sys.executable, __file__, "case", encoder, size, str(int(share))], capture_output=True, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1])); print(rows[-1], flush=True)
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "") if Path("/proc/cpuinfo").exists() else platform.processor()
    about = dict(command="python benchmarks/inference.py", machine=f"{cpu}, {os.cpu_count()} cores, PyTorch {torch.__version__}", date=datetime.date.today().isoformat())
    (HERE/"inference.json").write_text(json.dumps(dict(about, rows=rows), indent=1))

if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]: print(json.dumps(case(sys.argv[2], sys.argv[3], sys.argv[4] == "1")))
    else: main(tyro.cli(Args))
