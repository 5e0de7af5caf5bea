"""Bad input is answered with exit code 2 and one line that says what is wrong, where, and what to
do; nothing is written. And what would give wrong numbers without a word is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hrda_nb.cli import main
from hrda_nb.data.files import read_image
from hrda_nb.data.labels import ClassTable, UserError, cityscapes
from hrda_nb.data.samples import write_samples
from hrda_nb.inference.metrics import evaluate
from hrda_nb.inference.predict import predict
from hrda_nb.models.hrda import build_model
from hrda_nb.models.weights import save_checkpoint
from hrda_nb.training.recipes import recipe_dict, recipes
from hrda_nb.training.trainer import train
from hrda_nb.uda.self_training import SelfTraining, SourceOnly

NETWORK = dict(encoder="mit_tiny", channels=8, detail_size=(32, 32))
TINY = replace(
    recipes["mini"],
    **NETWORK,
    pretrained=False,
    context_size=(64, 64),
    steps=2,
    source_steps=1,
    rare_class_min_pixels=10,
)
NETWORK_FLAGS = "--encoder mit_tiny --channels 8 --detail-size 32 32 --no-pretrained"
STEP_FLAGS = "--context-size 64 64 --steps 2 --source-steps 1 --rare-class-min-pixels 10"
FLAGS = f"{NETWORK_FLAGS} {STEP_FLAGS} --device cpu".split()
TABLE = ClassTable(cityscapes.names, cityscapes.palette, cityscapes.things)
OTHER_ORDER = ClassTable(cityscapes.names[::-1], cityscapes.palette, cityscapes.things)
NESTED = "[" * 100_000 + "]" * 100_000
OTHER_NAMES = ClassTable(("street", *cityscapes.names[1:]), cityscapes.palette)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    write_samples(folder / "city", seed=5, count=2, size=(64, 128))
    OTHER_ORDER.to_json(folder / "order.json")
    OTHER_NAMES.to_json(folder / "names.json")
    return folder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_model("hrda", **NETWORK)


@pytest.fixture(scope="module")
def checkpoint(home, network):
    path = home / "last.safetensors"
    meta = dict(classes=TABLE.as_dict(), recipe=recipe_dict(TINY), step=2)
    save_checkpoint(path, network, meta)
    return path


def written(folder):
    "What a command has left, besides the lock of a training's folder"
    return [p.name for p in folder.rglob("*") if p.is_file() and p.name != "lock"]


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    "Runs a command that must be refused, in an empty folder; its line on stderr"
    monkeypatch.chdir(tmp_path)

    def run(*args, code=2):
        found = main([str(a) for a in args])
        err = capsys.readouterr().err.split("\r")[-1]  # what a progress bar leaves
        assert found == code, err
        assert err.count("\n") == 1 and err.startswith("hrda: "), err
        assert "Traceback" not in err
        assert written(tmp_path) == []
        return err

    return run


@pytest.fixture
def refused_training(refused, home):
    "The same for `hrda train mini`, with more flags"
    source = ["--source", home / "city/source/train"]
    target = ["--target", home / "city/target/train"]

    def run(*flags):
        return refused("train", "mini", *source, *target, "--out", "out", *FLAGS, *flags)

    return run


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--lr nan", "--lr nan: choose a number above 0"),
        ("--lr -1", "--lr -1.0: choose a number above 0"),
        ("--lr inf", "--lr inf: choose a number above 0"),
        ("--batch-size 0", "--batch-size 0: choose a whole number from 1"),
        ("--batch-size -1", "--batch-size -1: choose a whole number from 1"),
        ("--steps 0", "--steps 0: choose a whole number from 1"),
        ("--steps -5", "--steps -5: choose a whole number from 1"),
        ("--context-size 0 0", "--context-size (0, 0): choose 2 values"),
        (
            "--detail-size 128 128",
            "--detail-size (128, 128): choose at most context_size, (64, 64)",
        ),
        ("--detail-size -32 32", "--detail-size (-32, 32): choose 2 values"),
        ("--log-every 0", "--log-every 0: choose a whole number from 1"),
        ("--save-every 0", "--save-every 0: choose a whole number from 1"),
        ("--eval-every -1", "--eval-every -1: choose a whole number from 1"),
        ("--channels 0", "--channels 0: choose a whole number from 1 to 4096"),
        ("--dropout 2", "--dropout 2.0: choose a number from 0 to 1"),
        ("--seed -1", "--seed -1: choose a whole number from 0"),
        ("--workers -1", "--workers -1: choose a whole number from 0"),
        ("--rare-class-temperature 0", "--rare-class-temperature 0.0: choose a number of at least"),
        ("--warmup -3", "--warmup -3: choose a whole number from 0"),
        ("--constant 2", "--constant 2.0: choose a number from 0 to 1"),
        ("--norm-momentum 5", "--norm-momentum 5.0: choose a number from 0 to 1"),
        ("--source-scale -1 1", "--source-scale (-1.0, 1.0): choose 2 values"),
        ("--source-scale 2 1", "--source-scale (2.0, 1.0): give the lower factor first"),
        ("--source-size 0 0", "--source-size (0, 0): choose 2 values"),
        ("--attention 2", "--attention 2.0: choose one of classwise, single or a number from 0"),
        ("--window 1 1", "--window (1, 1): choose 2 values, each a whole number from 8 to"),
        ("--window 32 32 --stride 33 32", "--stride (33, 32): choose at most window, (32, 32)"),
        ("--self-training.alpha 2", "--self-training.alpha 2.0: choose a number from 0 to 1"),
        ("--self-training.contrast-temperature 0", "choose a number of at least 1e-06"),
        ("--self-training.prototype-momentum 5", "choose a number from 0 to 1"),
        ("--self-training.ignore-top 64", "leave none of its 64 rows"),
        ("--context-size 60 64", "training crop (60, 64) must divide by 8"),
        ("--arch unet", "no architecture is called 'unet'"),
        ("--decoder unet", "no decoder is called 'unet'"),
        ("--encoder mit_b9", "no encoder is called 'mit_b9'"),
        ("--self-training.quality-of best", "no weighting of pseudo-labels is called 'best'"),
    ],
)
def test_a_setting_out_of_range(refused_training, flags, words):
    assert words in refused_training(*flags.split())


@pytest.mark.parametrize(
    "flags",
    [
        "--encoder tf_efficientnet_lite0",
        "--decoder upernet",
        "--decoder deeplabv3plus",
        "--encoder resnet18 --context-size 32 32 --detail-size 16 16",
    ],
)
def test_one_value_for_batch_norm(refused_training, flags):
    said = refused_training("--batch-size", 1, *flags.split())
    assert "batch size 1 with crops" in said and "detail crops" in said


@pytest.mark.parametrize(
    "command, words",
    [
        ("demo --seed -1", "--seed -1: choose a whole number from 0"),
        ("samples --out out --count 0", "--count 0: choose a whole number from 1"),
        ("samples --out out --count 1000000", "count must be 1 to"),
        ("samples --out out --size 0 64", "--size (0, 64): choose 2 values"),
        ("samples --out out --seed -1", "--seed -1: choose a whole number from 0"),
        ("bench mini --repeats 0", "--repeats 0: choose a whole number from 1"),
        ("bench mini --picture 0 8", "--picture (0, 8): choose 2 values"),
        ("bench mini --lr nan", "--lr nan: choose a number above 0"),
        ("bench mini --context-size 100 100 --detail-size 64 64", "must divide by 8"),
        ("ablate demo --steps 0", "--steps 0: choose a whole number from 1"),
        ("ablate demo --jobs 0", "--jobs 0: choose a whole number from 1"),
        ("ablate demo --seeds 1 -1", "--seeds (1, -1): choose any number of values"),
        ("lab --port 0", "--port 0: choose a whole number from 1 to 65535"),
    ],
)
def test_numbers_of_the_other_commands(refused, command, words):
    assert words in refused(*command.split())


@pytest.mark.parametrize(
    "row, words",
    [
        ('{"lr": NaN}', "lr nan: choose a number above 0"),
        ('{"steps": 0}', "steps 0: choose a whole number from 1"),
        ('{"warmup": -3}', "warmup -3: choose"),
        ('{"self_training.alpha": 2}', "self_training.alpha 2: choose a number from 0 to 1"),
    ],
)
def test_a_row_of_a_table(refused, home, row, words):
    file = home / "own.json"
    begin = '{"title": "t", "base": "demo", "rows": [{"name": "a", "set": '
    file.write_text(begin + row + "}]}")
    said = refused("ablate", file, "--out", "out")
    assert words in said and "row 'a'" in said


def test_files_nested_too_deeply(refused, home):
    (home / "deep.json").write_text(NESTED)
    assert "deep.json: is not a table" in refused("ablate", home / "deep.json")


def test_nothing_to_predict(refused, checkpoint):
    assert "name the pictures" in refused("predict", checkpoint, "--out", "out")


@pytest.mark.parametrize("size", ["-5 5", "0 0", "64 100000"])
def test_a_size_to_export(refused, checkpoint, size):
    said = refused("export", checkpoint, "--out", "net.onnx", "--size", *size.split())
    assert "--size" in said and "choose 2 values, each a whole number from 1 to 16384" in said


@pytest.mark.parametrize(
    "text",
    [
        '{"classes": ["a"], "palette": [[1e400, 0, 0]]}',
        '{"classes": ["a"], "palette": [[0, 0, 0]], "ignore_index": 1e400}',
        '{"classes": ["a"], "palette": [[0, 0, 0]], "ids": {"7": 1e400}}',
        '{"classes": ["a"], "palette": [[NaN, 0, 0]]}',
        '{"classes": ["a"], "palette": 3}',
        NESTED,
        '{"classes": ' + NESTED + ', "palette": []}',
        '{"classes": ["a"], "palette": [[' + "9" * 5000 + ", 0, 0]]}",
    ],
    ids=["palette", "ignore", "ids", "nan", "number", "nested", "nested inside", "digits"],
)
def test_a_class_table(refused, home, checkpoint, text):
    file = home / "odd.json"
    file.write_text(text)
    folder = home / "city/source/train"
    args = ["--source", folder, "--no-adapt", "--out", "out"]
    for command in (["train", "mini", *args], ["evaluate", checkpoint, "--data", folder]):
        assert "odd.json" in refused(*command, "--classes", file)


@pytest.fixture
def forged(home, network):
    "A checkpoint whose header says something else"

    def write(config=None, **notes):
        meta = {"format": "hrda_nb", "model": network.config | (config or {})}
        meta |= dict(classes=TABLE.as_dict(), recipe=recipe_dict(TINY)) | notes
        header = {k: v if k == "raw" else json.dumps(v) for k, v in meta.items()}
        save_file(network.state_dict(), home / "forged.safetensors", header)
        return home / "forged.safetensors"

    return write


@pytest.mark.parametrize(
    "config, words",
    [
        (dict(channels=10**9), "channels 1000000000: choose a whole number from 1 to 4096"),
        (dict(channels=4096), "does not fit this network"),
        (dict(channels="8"), "channels '8': choose a whole number"),
        (dict(num_classes=None), "num_classes None: choose a whole number"),
        (dict(detail_size=32), "detail_size 32: choose 2 values"),
        (dict(detail_size=[32]), "detail_size [32]: choose 2 values"),
        (dict(encoder=["mit_tiny"]), "encoder ['mit_tiny']: choose a text"),
        (dict(encoder="vit_giant_patch14_dinov2"), "forged.safetensors"),
        (dict(decoder={}), "decoder {}: choose a text"),
        (dict(overlap="yes"), "overlap 'yes': choose true or false"),
        (dict(dropout=[0.1]), "dropout [0.1]: choose a number from 0 to 1"),
        (dict(surprise=1), "written by another version"),
    ],
)
def test_a_header_with_other_sizes(refused, home, forged, config, words):
    said = refused("evaluate", forged(config), "--data", home / "city/target/val")
    assert words in said


@pytest.mark.parametrize(
    "notes",
    [
        dict(recipe=5),
        dict(recipe=["lr"]),
        dict(recipe=dict(steps="many")),
        dict(recipe=dict(self_training=[1])),
        dict(recipe=dict(self_training=dict(alpha=2))),
        dict(recipe=dict(learning_rate=1)),
        dict(classes=7),
        dict(classes=dict(classes=["a"])),
        dict(classes=None),
        dict(raw=NESTED),
    ],
    ids=str,
)
def test_a_header_with_other_notes(refused, home, forged, notes):
    said = refused("predict", forged(**notes), home / "city/target/val/images", "--out", "out")
    assert "forged.safetensors" in said


def test_classes_of_another_table(refused, home, checkpoint):
    other = ["--classes", home / "names.json"]
    said = refused("evaluate", checkpoint, "--data", home / "city/target/val", *other)
    assert "the checkpoint has no class street" in said


def test_classes_in_another_order_are_scored_under_their_names(home, checkpoint, tmp_path):
    city, turned = home / "city/target/val", tmp_path / "val"
    shutil.copytree(city, turned)
    for path in (turned / "labels").iterdir():
        index = np.array(Image.open(path))
        Image.fromarray(np.where(index < 19, 18 - index, index).astype(np.uint8)).save(path)
    OTHER_ORDER.to_json(turned / "classes.json")
    tables = []
    for folder in (city, turned):
        out = tmp_path / "scores.csv"
        args = ["evaluate", checkpoint, "--data", folder, "--out", out, "--device", "cpu"]
        assert main([str(a) for a in args]) == 0
        tables.append(out.read_text())
    assert tables[0] == tables[1]


@pytest.mark.parametrize("table, words", [("order", "in another order"), ("names", "0 is street")])
def test_a_start_from_another_table(home, checkpoint, tmp_path, table, words):
    city = home / "city"
    folders = dict(source=city / "source/train", target=city / "target/train")
    options = dict(classes=home / f"{table}.json", init=checkpoint, device="cpu", progress=False)
    with pytest.raises(UserError, match=words):
        train(TINY, **folders, out=tmp_path / "out", **options)
    assert written(tmp_path) == []


def test_labels_that_are_fractions(network, tmp_path):
    picture = np.zeros((64, 64, 3), np.uint8)
    fractions = torch.rand(64, 64)
    for ids in (fractions.numpy(), np.float64([0, 1])):
        with pytest.raises(UserError, match="whole numbers"):
            TABLE.to_index(ids)
    pictures = Pictures([dict(image=torch.tensor(picture).movedim(-1, 0), label=fractions)])
    with pytest.raises(UserError, match="whole numbers"):
        evaluate(network, pictures, progress=False)
    source = dict(image=torch.rand(1, 3, 64, 64), label=fractions[None])
    with pytest.raises(UserError, match="whole numbers"):
        SourceOnly(network)(source)


def test_tiff_files_with_fractions(home, refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fractions")
    grey = Image.fromarray(np.random.default_rng(0).random((64, 64), np.float32))
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    grey.save(folder / "images/a.tif")
    with pytest.raises(UserError, match="it holds fractions"):
        read_image(folder / "images/a.tif")
    grey.convert("RGB").save(folder / "images/a.png")
    (folder / "images/a.tif").rename(folder / "labels/a.png")
    TABLE.to_json(folder / "classes.json")
    args = ["--source", folder, "--no-adapt", "--out", "out", "--source-steps", 0]
    assert "which holds fractions" in refused("train", "mini", *args, *FLAGS[:-2], "--steps", 1)


class Pictures(list):
    classes = TABLE


WRONG_PICTURES = {
    "uint8": lambda x: (x * 255).byte(),
    "int64": lambda x: (x * 255).long(),
    "0..255": lambda x: x * 255,
    "normalised": lambda x: (x - 0.45) / 0.225,
    "shifted": lambda x: x - 0.5,
}


@pytest.mark.parametrize("kind", WRONG_PICTURES)
@pytest.mark.parametrize("arch", ["hrda", "daformer"])
def test_pictures_outside_0_to_1(arch, kind):
    model = build_model(arch, **NETWORK)
    good = torch.rand(2, 3, 64, 64)
    wrong = WRONG_PICTURES[kind](good)
    label = torch.zeros(2, 64, 64, dtype=torch.long)
    for mode in (True, False):
        with pytest.raises(UserError, match="/ 255"):
            model.train(mode)(wrong)
    step = SelfTraining(model)
    for source, target in ((wrong, good), (good, wrong), (wrong, wrong)):
        with pytest.raises(UserError, match="/ 255"):
            step(dict(image=source, label=label), dict(image=target))


def test_pictures_that_are_fine(network):
    network.eval()
    with torch.no_grad():
        for edge in (0.0, 1.0, -1e-4, 1.0005):
            network(torch.full((1, 3, 64, 64), edge))
        network.bfloat16()(torch.rand(1, 3, 64, 64).bfloat16())
    network.float()
    predict(network, np.full((64, 64, 3), 255, np.uint8))
