"What `hrda page` writes: complete, true to the networks, and all of it or nothing."

import gzip
import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from notebooks import ROOT
from PIL import Image

from hrda_nb.cli import main
from hrda_nb.data.geometry import resize
from hrda_nb.data.labels import ClassTable, UserError, cityscapes
from hrda_nb.data.samples import samples_dir
from hrda_nb.inference.predict import as_rgb, evaluating
from hrda_nb.models.crops import context_view
from hrda_nb.models.hrda import build_model, fuse
from hrda_nb.models.sliding_window import average_windows, window_boxes
from hrda_nb.models.weights import sample_model, save_checkpoint
from hrda_nb.widgets import page
from hrda_nb.widgets.page import write_page
from hrda_nb.widgets.scenes import image_tensor

CPU = torch.device("cpu")
THREE = ClassTable(("ground", "thing", "sky"), [[90, 60, 30], [200, 0, 0], [0, 9, 200]], ("thing",))


def no_graph(model, path):
    "Stands for a graph, whose tracing takes long"
    return path.write_bytes(b"graph")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "Stands for what npm builds; graphs are left out"
    folder = tmp_path_factory.mktemp("site")
    for file in ("index.html", "app.js"):
        (folder / file).write_text(file, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "page_site", lambda: folder)
        patch.setattr(page, "write_view_graph", no_graph)
        yield folder


@pytest.fixture(scope="module")
def sample(site, graph, tmp_path_factory):
    "A page of the bundled networks, with two pictures and the first graph"

    def first_graph(model, path):
        return (graph if path.name == "a.onnx.gz" else no_graph)(model, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write_view_graph", first_graph)
        return write_page(tmp_path_factory.mktemp("sample") / "out", count=1).parent


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    "A plain network of three classes, and labelled pictures of one's own"
    folder = tmp_path_factory.mktemp("mine")
    torch.manual_seed(0)
    model = build_model("segformer", "mit_tiny", num_classes=3, channels=8)
    save_checkpoint(folder / "run/last.safetensors", model, dict(classes=THREE.as_dict()))
    rng = np.random.default_rng(0)
    for name, classes in (("one", 1), ("three", 3), ("two", 2)):
        image = rng.integers(0, 256, (100, 140, 3), np.uint8)
        label = (np.arange(140) % classes * np.ones((100, 1))).astype(np.uint8)
        for kind, array in (("images", image), ("labels", label)):
            (folder / "data" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / "data" / kind / f"{name}.png")
    THREE.to_json(folder / "data/classes.json")
    return folder


def index_of(folder):
    return json.loads((folder / "page.json").read_text(encoding="utf-8"))


def unpacked(folder, file):
    return np.frombuffer(gzip.decompress((folder / file).read_bytes()), np.uint8)


def decoded(content, stored):
    "As page/src/data.js does"
    size = np.prod(stored["shape"])
    values = content[stored["offset"] : stored["offset"] + size].reshape(stored["shape"])
    low, step = (np.array(stored[k], np.float32)[:, None, None] for k in ("low", "step"))
    return torch.from_numpy(low + step * values)


def maps(folder, pack):
    content = unpacked(folder, pack["file"])
    assert len(content) == sum(np.prod(m["shape"]) for m in pack["maps"].values())
    return {name: decoded(content, stored) for name, stored in pack["maps"].items()}


def output(model, folder, picture):
    with evaluating(model):
        return model(image_tensor(as_rgb(folder / picture["image"]), CPU))


def files_named(value):
    "All files of the page that an index names"
    if isinstance(value, dict):
        value = [v for k, v in value.items() if k not in ("commands", "made", "checkpoint", "path")]
    if isinstance(value, list):
        return {f for v in value for f in files_named(v)}
    return {value} if isinstance(value, str) and value.endswith((".gz", ".jpg")) else set()


def test_the_index_names_every_file(sample, site):
    found = {f.relative_to(sample).as_posix() for f in sample.rglob("*") if f.is_file()}
    own = {"page.json", *(f.name for f in site.iterdir())}
    assert files_named(index_of(sample)) == found - own
    assert own <= found
    for picture in index_of(sample)["pictures"]:  # where the command line finds it
        assert (samples_dir().parent / picture["path"]).is_file()


def test_the_index_is_complete(sample):
    index = index_of(sample)
    assert index["version"] == 1
    assert [c["name"] for c in index["classes"]] == list(cityscapes.names)
    assert [c["name"] for c in index["classes"]] == list(cityscapes.names)
    assert [n["name"] for n in index["networks"].values()] == ["adapted", "source only"]
    a = index["networks"]["a"]
    assert (a["isHrda"], a["detailSize"], a["detailStride"]) == (True, [128, 160], [64, 80])
    assert (a["stride"], a["mean"], a["bytes"]) == (4, [0.5] * 3, size(sample / "a.onnx.gz"))
    assert [p["domain"] for p in index["pictures"]] == ["target", "source"]
    assert all("features" in p for p in index["pictures"])
    assert (index["temperature"], index["threshold"], index["longest"]) == (0.01, 0.8, 768)
    assert index["mask"] == dict(ratio=0.7, block=32)
    assert index["commands"]["page"].startswith("hrda page --count 1 --out")
    assert (ROOT / a["checkpoint"]).exists() and a["checkpoint"] in index["commands"]["predict"]


def size(path):
    return path.stat().st_size


def test_nothing_in_the_index_is_of_this_machine(sample):
    text = (sample / "page.json").read_text(encoding="utf-8")
    assert str(sample.parent) not in text and str(samples_dir()) not in text


@pytest.mark.parametrize("key, which", [("a", "adapted"), ("b", "source_only")])
@pytest.mark.parametrize("i", [0, 1])
def test_maps_are_what_the_network_says_of_the_jpeg(sample, key, which, i):
    picture = index_of(sample)["pictures"][i]
    model = sample_model(which).model
    said = output(model, sample, picture)
    pack = picture["networks"][key]
    read = maps(sample, pack)
    for name, values in read.items():
        half = torch.tensor(pack["maps"][name]["step"])[:, None, None] / 2
        assert ((values - getattr(said, name)[0]).abs() <= 1.01 * half).all()
    fused = fuse(*(read[n][None] for n in ("context", "detail", "attention")))
    labels = resize(fused, (picture["height"], picture["width"])).argmax(1)
    assert (labels == said.upsampled().argmax(1)).float().mean() >= 0.995


def test_the_truth_lies_on_the_picture(sample):
    for picture in index_of(sample)["pictures"]:
        truth = unpacked(sample, picture["truth"]).reshape(picture["height"], picture["width"])
        assert set(np.unique(truth)) <= {*range(19), 255}
        assert as_rgb(sample / picture["image"]).shape == (*truth.shape, 3)


def test_windows_are_those_of_the_first_picture(sample):
    index = index_of(sample)
    stored = index["windows"]
    windows = decoded(unpacked(sample, stored["file"]), stored)
    assert stored["picture"] == index["pictures"][0]["name"]
    boxes = [b.scaled(4) for b in window_boxes((384, 768), (128, 160), (64, 80))]
    detail = average_windows(windows.split(1), boxes, (96, 192))[0]
    said = output(sample_model().model, sample, index["pictures"][0]).detail[0]
    assert (detail - said).abs().max() <= max(stored["step"])


def test_the_graph_says_the_same(sample):
    index = index_of(sample)
    picture = index["pictures"][0]
    graph = gzip.decompress((sample / index["networks"]["a"]["graph"]).read_bytes())
    session = onnxruntime.InferenceSession(graph)
    view = context_view(image_tensor(as_rgb(sample / picture["image"]), CPU))
    context, attention = session.run(None, {"images": view.numpy()})
    read = maps(sample, picture["networks"]["a"])
    assert np.abs(context[0] - read["context"].numpy()).max() < 0.1
    assert np.abs(attention[0] - read["attention"].numpy()).max() < 0.01


def test_vectors_are_cells_of_eight_pixels(sample):
    for picture in index_of(sample)["pictures"]:
        [vectors] = maps(sample, picture["features"]).values()
        assert tuple(vectors.shape) == (48, picture["height"] // 8, picture["width"] // 8)
        assert 0.5 < vectors.norm(dim=0).max() < 1.1


def test_rare_classes(sample):
    "What the page draws rare classes from; page/test compares P(c) with the library's"
    counts = np.array(index_of(sample)["counts"])
    assert counts.shape == (19,)
    assert counts.sum() > 48 * 500 * 1000


def write_mine(mine, out, **options):
    checkpoint = mine / "run/last.safetensors"
    return write_page(out, checkpoint, pictures=mine / "data", **options).parent


@pytest.fixture(scope="module")
def plain(site, mine, tmp_path_factory):
    "A page of a plain network without a source, with the files of a training"
    (mine / "run/history.csv").write_text("step,source,mixed\n1,2.0,0\n2,1.5,0\n", encoding="utf-8")
    (mine / "run/pictures").mkdir()
    Image.new("RGB", (1500, 300)).save(mine / "run/pictures/step_000002.jpg")
    yield write_mine(mine, tmp_path_factory.mktemp("plain") / "out", count=2)
    (mine / "run/history.csv").unlink()


def test_a_plain_network_with_its_own_classes(plain, mine):
    index = index_of(plain)
    assert [c["name"] for c in index["classes"]] == list(THREE.names)
    assert [p["name"] for p in index["pictures"]] == ["three", "two"]  # most classes first
    assert [index[k] for k in ("counts", "windows")] == [None] * 2
    assert list(index["networks"]) == ["a"] and not index["networks"]["a"]["isHrda"]
    picture = index["pictures"][0]
    assert (picture["height"], picture["width"]) == (64, 128)
    read = maps(plain, picture["networks"]["a"])
    model = page.open_networks(mine / "run/last.safetensors")["a"].model
    said = output(model, plain, picture).fused[0]
    step = torch.tensor(picture["networks"]["a"]["maps"]["fused"]["step"])[:, None, None]
    assert ((read["fused"] - said).abs() <= 0.505 * step).all()


def test_a_training_that_lies_with_the_checkpoint(plain):
    training = index_of(plain)["training"]
    assert training["steps"] == [2]
    assert training["curves"] == dict(step=[1, 2], source=[2.0, 1.5])  # mixed was always 0
    assert training["scores"] == dict(step=[], fused=[])
    assert as_rgb(plain / training["pictures"][0]).shape == (200, 1000, 3)


def test_an_earlier_page_is_replaced_and_other_files_stay(site, mine, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "page.json").write_text("{}", encoding="utf-8")
    for file in ("CNAME", "b.onnx.gz"):
        (out / file).touch()
    write_mine(mine, out, count=1, source=mine / "data")
    assert (out / "CNAME").exists() and not (out / "b.onnx.gz").exists()
    index = index_of(out)
    assert index["counts"] == [100 * (140 + 70 + 47), 100 * (70 + 47), 100 * 46]
    assert [p["name"] for p in index["pictures"]] == ["three", "three'"]
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_the_earlier_page(site, mine, tmp_path, monkeypatch):
    (tmp_path / "page.json").write_text("{}", encoding="utf-8")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_packed", full)
    with pytest.raises(UserError, match="cannot be written \\(No space left on device\\)"):
        write_mine(mine, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["page.json"]
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))


def test_a_network_that_says_no_numbers(site, mine, tmp_path):
    model = build_model("segformer", "mit_tiny", num_classes=3, channels=8)
    torch.nn.init.constant_(next(model.decoder.parameters()), float("nan"))
    save_checkpoint(tmp_path / "bad.safetensors", model, dict(classes=THREE.as_dict()))
    with pytest.raises(UserError, match=r"bad\.safetensors: says something else than numbers"):
        write_page(tmp_path / "out", tmp_path / "bad.safetensors", pictures=mine / "data")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "args, answer",
    [
        ("{mine}/run/last.safetensors --out {out}", "--pictures DIR"),
        ("{mine}/run/last.safetensors --pictures {sample}/target/val --out {out}", "other classes"),
        ("{mine}/run/last.safetensors {adapted} --out {out}", "have different classes"),
        ("--pictures {mine}/data --out {out}", "other classes"),
        ("--pictures {mine}/nowhere --out {out}", "nowhere"),
        ("--source {sample}/target/train --out {out}", "there are no labels"),
        ("--training {mine}/data --out {out}", "history.csv: cannot be read"),
        ("--max-side 100 --out {out}", "pixels are too few"),
        ("--count 0 --out {out}", "--count 0: choose a whole number from 1"),
        ("--out {mine}", "holds something else than a page"),
        ("--out {mine}/data/classes.json", "holds something else than a page"),
    ],
)
def test_mistakes_are_answered_in_one_line(site, mine, tmp_path, capsys, args, answer):
    sample = samples_dir()
    adapted = sample / "checkpoints/adapted.safetensors"
    names = dict(mine=mine, sample=sample, adapted=adapted, out=tmp_path / "out")
    assert main(["page", *args.format(**names).split()]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hrda: ")]
    assert len(said) == 1 and answer in said[0]
    assert not (tmp_path / "out").exists()


def test_windows_that_a_graph_cannot_take(site, tmp_path):
    "A graph is for views whose sides divide by 32; others would be answered wrongly"
    model = build_model("hrda", "mit_b0", num_classes=3, detail_size=(32, 40), channels=8)
    save_checkpoint(tmp_path / "narrow.safetensors", model, dict(classes=THREE.as_dict()))
    with pytest.raises(UserError, match=r"narrow\.safetensors: .* 32x40 pixels; .* divide by 32"):
        write_page(tmp_path / "out", tmp_path / "narrow.safetensors")
    assert not (tmp_path / "out").exists()


def test_a_missing_site(mine, tmp_path, monkeypatch):
    def missing():
        raise UserError("this installation has no page")

    monkeypatch.setattr(page, "page_site", missing)
    with pytest.raises(UserError, match="no page"):
        write_mine(mine, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_command(site, mine, tmp_path, capsys, monkeypatch):
    shutil.copytree(mine / "data", tmp_path / "data")
    shutil.copy(mine / "run/last.safetensors", tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    args = "page net.safetensors --pictures data --count 1 --out docs"
    assert main(args.split()) == 0
    assert "http.server --directory docs" in capsys.readouterr().out
    assert index_of(tmp_path / "docs")["commands"]["page"] == f"hrda {args}"


def test_a_network_that_follows_each_picture_is_told_of(site, tmp_path, capsys):
    model = build_model("segformer", "mit_tiny", 3, channels=8, picture_statistics=0.2)
    page.write_network(tmp_path, "a", page.Network("mine", "mine.safetensors", model, {}))
    said = capsys.readouterr().err
    assert "mine: the page normalises without picture_statistics (0.2)" in said
