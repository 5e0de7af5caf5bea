"Several sources are one, class maps lose nothing unnoticed, and few labels train and resume."

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hrda_nb.cli import main, read
from hrda_nb.data.datasets import class_statistics, open_folder
from hrda_nb.data.files import list_pictures
from hrda_nb.data.joined import JoinedDataset, open_sets
from hrda_nb.data.labels import ClassTable, UserError
from hrda_nb.data.rare_class_sampling import RareClassSampler, RareClassSampling, SourceStream
from hrda_nb.training.recipes import recipes
from hrda_nb.training.trainer import labelled_batches, open_data, target_batches, train

RECIPE = replace(
    recipes["mini"],
    encoder="mit_tiny",
    pretrained=False,
    channels=8,
    context_size=(64, 64),
    detail_size=(32, 32),
    rare_class_min_pixels=10,
    source_steps=2,
    steps=6,
    warmup=2,
    log_every=2,
    save_every=3,
    eval_every=100,
    picture_every=100,
)
HERE = dict(device="cpu", progress=False)


def halves(root, to, classes):
    "The first pictures of a folder and the rest in two folders, as links"
    pictures = list_pictures(root / "images")
    for name, half in (
        ("a", pictures[: len(pictures) // 2]),
        ("b", pictures[len(pictures) // 2 :]),
    ):
        for path in half:
            for kind, file in (("images", path.name), ("labels", f"{path.stem}.png")):
                if (root / kind / file).exists():
                    (to / name / kind).mkdir(parents=True, exist_ok=True)
                    os.symlink(root / kind / file, to / name / kind / file)
    classes.to_json(to / "classes.json")
    return [to / "a", to / "b"]


@pytest.fixture(scope="module")
def whole(city):
    return open_folder(city / "source/train")


@pytest.fixture(scope="module")
def parts(city, whole):
    return halves(whole.root, city / "halves", whole.classes)


def weights_of(out):
    return load_file(out / "last.safetensors")


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


@pytest.mark.parametrize("rare", [True, False])
def test_two_halves_train_as_the_whole(city, whole, parts, tmp_path, rare):
    "Sources and targets, with class weights and rare class sampling and without"
    recipe = replace(RECIPE, rare_class_sampling=rare)
    targets = halves(city / "target/train", tmp_path / "target", whole.classes)
    one = train(recipe, whole.root, city / "target/train", out=tmp_path / "one", **HERE)
    two = train(recipe, parts, targets, out=tmp_path / "two", **HERE)
    assert_equal(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"))
    assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))


def test_the_union_is_the_whole(whole, parts):
    union = open_sets(parts, "train")
    assert isinstance(union, JoinedDataset)
    assert [n.split("/", 1)[1] for n in union.names] == whole.names
    assert len(set(union.names)) == len(whole)
    expected = class_statistics(whole, progress=False).to_numpy()
    assert (class_statistics(union, progress=False).to_numpy() == expected).all()


def test_weights_decide_how_often_a_set_is_drawn(parts):
    union = open_sets(parts, "train", weights=(1, 3))
    first = len(union.parts[0])
    assert np.isclose(union.chances[first:].sum(), 0.75)
    stream = SourceStream(union, (8, 8), None)
    drawn = [stream._picture(stream._rng(i)) >= first for i in range(2000)]
    assert np.isclose(np.mean(drawn), 0.75, atol=0.03)
    # of two pictures that show a class the one with the higher chance, also with RCS
    counts = np.array([[9, 1], [9, 1]])
    sampler = RareClassSampler(counts, RareClassSampling(min_pixels=0), np.array([0.2, 0.8]))
    rng = np.random.default_rng(0)
    assert np.isclose(np.mean([sampler.draw(rng)[1] for _ in range(2000)]), 0.8, atol=0.03)
    # weights like the sizes: as if all lay in one folder
    sizes = [len(part) for part in union.parts]
    assert open_sets(parts, "train", weights=sizes).chances is None


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ((1, 2, 3), "3 weights for 2 folders"),
        ((1, -1), "source_weights .*a number above 0"),
        ((0, 1), "source_weights .*a number above 0"),
    ],
)
def test_bad_weights(city, parts, tmp_path, weights, says):
    with pytest.raises(UserError, match=says):
        recipe = replace(RECIPE, source_weights=weights)
        train(recipe, parts, city / "target/train", out=tmp_path / "out", **HERE)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def other(whole, tmp_path):
    "The first set's labels with the classes in turned order and one under another name"
    names = list(whole.classes.names[::-1])
    names[names.index("sidewalk")] = "pavement"
    k = len(names)
    root = tmp_path / "other"
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for path, label in zip(whole.image_paths, whole.label_paths):
        os.symlink(path, root / "images" / path.name)
        os.symlink(label, root / "labels" / label.name)
    ids = {str(i): k - 1 - i for i in range(k)}
    table = dict(classes=names, palette=whole.classes.palette[::-1].tolist(), ids=ids)
    (root / "classes.json").write_text(json.dumps(table))
    return root


def test_names_in_another_order_and_a_map(whole, other, tmp_path):
    maps = tmp_path / "maps.json"
    maps.write_text(json.dumps({"pavement": "sidewalk"}))
    union = open_sets([whole.root, other], "train", maps=maps)
    n = len(whole)
    for i in range(n):
        assert torch.equal(union[i]["label"], union[n + i]["label"])
    counts = class_statistics(union, progress=False).to_numpy()
    assert (counts[:n] == counts[n:]).all()
    # the same training: of a picture it does not matter from which set it is
    stream = SourceStream(union, (32, 32), RareClassSampling(min_pixels=10))
    assert stream.sampler.classes == SourceStream(whole, (32, 32)).sampler.classes


def test_counts_of_another_map_are_not_taken(whole, other, tmp_path):
    maps = tmp_path / "maps.json"
    road = whole.classes.names.index("road")
    for becomes in ("sidewalk", "road", None):
        maps.write_text(json.dumps({"pavement": becomes}))
        counts = class_statistics(open_sets(other, "train", whole.classes, maps), progress=False)
        labels = open_sets(other, "train", whole.classes, maps)
        pixels = sum(int((labels.label(i) == road).sum()) for i in range(len(labels)))
        assert counts["road"].sum() == pixels


def test_published_counts_are_not_taken_for_mapped_classes(whole, other, tmp_path):
    fake = [{"file": f"{n}.png", "0": 1} for n in whole.names]
    (other / "sample_class_stats.json").write_text(json.dumps(fake))
    assert class_statistics(open_sets(other, "train"), progress=False).to_numpy().sum() == len(fake)
    (other / "hrda_class_counts.json").unlink()
    maps = tmp_path / "maps.json"
    maps.write_text(json.dumps({"pavement": "sidewalk"}))
    mapped = open_sets(other, "train", whole.classes, maps)
    assert class_statistics(mapped, progress=False).to_numpy().sum() > len(fake)


BAD_MAPS = {
    "unknown class of the set": ({"pavment": "sidewalk"}, "did you mean 'pavement'"),
    "unknown class of the training": ({"pavement": "sidewlk"}, "did you mean 'sidewalk'"),
    "no name": ({"pavement": 3}, 'expected {"their class"'),
    "no map": ([], 'expected {"their class"'),
    "no such set": ({"othr": {"pavement": "sidewalk"}}, "no set is called 'othr'"),
    "empty": ({}, "no class called pavement: say what becomes of it"),
}


@pytest.mark.parametrize("bad", BAD_MAPS)
def test_bad_maps(city, whole, other, tmp_path, bad):
    data, says = BAD_MAPS[bad]
    maps = tmp_path / "maps.json"
    maps.write_text(json.dumps(data))
    with pytest.raises(UserError) as e:
        folders = [whole.root, other], city / "target/train"
        train(RECIPE, *folders, out=tmp_path / "out", maps=maps, **HERE)
    assert says in str(e.value)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


def test_a_map_is_no_chain(tmp_path):
    "Two classes are exchanged; a map of maps would go round in circles"
    table = ClassTable(("a", "b"), [[1, 1, 1], [2, 2, 2]])
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    label = np.array([[0, 1], [1, 255]], np.uint8)
    Image.fromarray(label).save(tmp_path / "labels/0.png")
    Image.fromarray(label).save(tmp_path / "images/0.png")
    table.to_json(tmp_path / "classes.json")
    (tmp_path / "maps.json").write_text('{"a": "b", "b": "a"}')
    assert open_sets(tmp_path, "train").label(0).tolist() == [[1, 0], [0, 255]]


def test_scores_of_another_order_are_brought_onto_the_table(city, whole, other, tmp_path):
    "val and few labels too, by the same map"
    maps = tmp_path / "maps.json"
    maps.write_text(json.dumps({"other": {"pavement": "sidewalk"}}))
    recipe = replace(RECIPE, steps=2, source_steps=0, eval_every=2)
    folders = whole.root, city / "target/train"
    train(recipe, *folders, val=other, out=tmp_path / "mapped", maps=maps, **HERE)
    train(recipe, *folders, val=whole.root, out=tmp_path / "own", **HERE)
    read_scores = [(tmp_path / name / "metrics.csv").read_text() for name in ("mapped", "own")]
    assert read_scores[0] == read_scores[1]
    maps.unlink()  # it would be found beside the set
    with pytest.raises(UserError, match="no class called pavement"):
        train(recipe, *folders, val=other, out=tmp_path / "none", **HERE)


class PowerCut(Exception):
    pass


def cut(row):
    if row["step"] == 4:
        raise PowerCut


def test_few_labels_train_and_resume(city, tmp_path):
    folders = city / "source/train", city / "target/train"
    few = HERE | dict(target_labels=city / "target/val")
    train(RECIPE, *folders, out=tmp_path / "plain", **HERE)
    history = train(RECIPE, *folders, out=tmp_path / "few", **few)
    assert (history.labelled > 0).tolist() == [False, True, True]
    changed, plain = weights_of(tmp_path / "few"), weights_of(tmp_path / "plain")
    assert any(not torch.equal(changed[k], plain[k]) for k in plain)
    with pytest.raises(PowerCut):
        train(RECIPE, *folders, out=tmp_path / "cut", callback=cut, **few)
    train(RECIPE, *folders, out=tmp_path / "cut", resume=True, **few)
    assert_equal(weights_of(tmp_path / "cut"), changed)


@pytest.mark.parametrize("factor", [0.75, 2.0])
def test_target_pictures_are_zoomed(city, factor):
    "Whole ones, and with labels: what does not fit is filled up, without pseudo-labels"
    few = dict(target_labels=city / "source/train")
    data = open_data(RECIPE, city / "source/train", city / "target/train", **few)
    zoomed = replace(RECIPE, target_scale=(factor, factor))
    for draw in target_batches, labelled_batches:
        before, after = (next(draw(data, recipe, 0)) for recipe in (RECIPE, zoomed))
        assert after["image"].shape == before["image"].shape
        assert not torch.equal(after["image"], before["image"])
    empty = (next(target_batches(data, zoomed, 0))["valid"] == 0).float().mean()
    assert empty == (0.25 if factor < 1 else 0)  # 48 of 64 rows


def test_few_labels_that_are_scored_are_refused(city, tmp_path):
    "The same files under another name too"
    link = city / "target/copy"
    os.symlink(city / "target/val", link)
    few = HERE | dict(val=city / "target/val", target_labels=link)
    with pytest.raises(UserError, match="1 of these labelled pictures are also in"):
        train(RECIPE, city / "source/train", city / "target/train", out=tmp_path / "out", **few)


def test_flags_with_several_values():
    line = "train mini --source A B --target C --source-weights 2 1 --target-labels L --out O"
    command = read(line.split())
    assert [p.name for p in command.source] == ["A", "B"]
    assert [p.name for p in command.target] == ["C"]
    assert command.recipe.source_weights == (2, 1)
    assert (command.target_labels.name, command.maps) == ("L", None)
    one = read(["train", "mini", "--target", "C", "--source", "A", "--out", "O"])
    assert [p.name for p in one.source] == ["A"]


def test_help_stays_readable(capsys):
    with pytest.raises(SystemExit):
        main(["train", "mini", "--help"])
    said = capsys.readouterr().out
    for flag in ("--source", "--target", "--source-weights", "--target-labels", "--maps"):
        assert f"{flag} " in said
    assert max(map(len, said.splitlines())) <= 120


def test_mistakes_are_one_line(city, capsys, tmp_path):
    args = ["--source", str(city / "source/train"), str(city / "source/train")]
    args += ["--target", str(city / "target/train"), "--out", str(tmp_path / "out")]
    assert main(["train", "mini", *args]) == 2
    assert "named twice; to draw a set more often give weights" in capsys.readouterr().err


def test_doctor_says_what_is_lost(whole, other, capsys, tmp_path):
    folders = [str(whole.root), str(other)]
    main(["doctor", *folders])
    assert "no class called pavement" in capsys.readouterr().out
    maps = tmp_path / "maps.json"
    maps.write_text(json.dumps({"pavement": None}))
    main(["doctor", *folders, "--maps", str(maps)])
    said = capsys.readouterr().out
    assert "of the labelled pixels become ignored: pavement" in said
    assert "pictures lie in both" in said
