"""Every setting states its range once, at its field: values below, at and above each bound.

A new field of `Recipe` or `SelfTrainingConfig` without a range fails here."""

import math
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin

import pytest

from hrda_nb.cli import _flag, commands, read
from hrda_nb.data.labels import UserError
from hrda_nb.data.settings import Between, Count, Written, check_settings, describe, setting_kinds
from hrda_nb.models.hrda import ModelConfig
from hrda_nb.training.recipes import Recipe, recipes
from hrda_nb.uda.self_training import SelfTrainingConfig

RECORDS = Recipe, SelfTrainingConfig
ODD = (math.nan, math.inf, -math.inf, True, "1", None)  # in no range of numbers


class Leaf(NamedTuple):
    "A range inside the type of a setting."

    kind: type  # int, float or str
    range: Between | Written | None  # None: it states none
    length: int | None = None  # of the tuple that it stands in


def leaves(kind, length=None):
    "All numbers and texts that a type is made of."
    args = get_args(kind)
    if get_origin(kind) is Annotated:
        ranges = [note for note in args[1:] if isinstance(note, (Between, Written))]
        return [Leaf(args[0], *ranges, length)] if ranges else leaves(args[0], length)
    if get_origin(kind) in (Union, UnionType):
        return [leaf for a in args for leaf in leaves(a, length)]
    if get_origin(kind) is tuple:
        return [leaf for a in args if a is not ... for leaf in leaves(a, len(args))]
    return [Leaf(kind, None, length)] if kind in (int, float, str) else []


def is_stated(kind):
    return all(leaf.range for leaf in leaves(kind))


SETTINGS = [(record, f.name) for record in RECORDS for f in fields(record)]
NUMBERS = [
    (record, name, leaf)
    for record, name in SETTINGS
    for leaf in dict.fromkeys(leaves(setting_kinds(record)[name]))
    if isinstance(leaf.range, Between)
]
IDS = [f"{record.__name__}.{name}" for record, name, _ in NUMBERS]


def outside(leaf):
    "The numbers next to the bounds that are out of range, and those that are in none."
    low, high, above = leaf.range.low, leaf.range.high, leaf.range.above
    if leaf.kind is int:
        return [low - 1, high + 1, 0.5 + low, *ODD]
    below = low if above else math.nextafter(low, -math.inf)
    return [below, math.nextafter(high, math.inf), *ODD]


def inside(leaf):
    "The bounds, or the numbers next to them that are in range."
    low, high, above = leaf.range.low, leaf.range.high, leaf.range.above
    largest = 1e300 if high == math.inf else high
    return [math.nextafter(low, math.inf) if above else low, largest]


def error(record):
    "What `check_settings` says of a record, None if nothing"
    try:
        check_settings(record)
    except UserError as e:
        return str(e)
    return None


def values(leaf, number):
    "A number as a setting's value: alone, or at each place of a tuple of good ones"
    if leaf.length is None:
        return [number]
    good = inside(leaf)[0]
    places = range(leaf.length)
    return [tuple(number if i == j else good for j in places) for i in places]


@pytest.mark.parametrize("record, name", SETTINGS, ids=[f"{r.__name__}.{n}" for r, n in SETTINGS])
def test_a_setting_states_its_range(record, name):
    assert is_stated(setting_kinds(record)[name])


@pytest.mark.parametrize("record, name, leaf", NUMBERS, ids=IDS)
def test_beside_a_bound_is_one_line_with_name_value_and_range(record, name, leaf):
    kind = setting_kinds(record)[name]
    may_be_none = type(None) in get_args(kind)
    for number in outside(leaf):
        for value in values(leaf, number):
            if value is None and may_be_none:
                continue
            said = error(replace(record(), **{name: value}))
            assert said, value
            assert said.startswith(f"{name} {value!r}"[:60])
            assert describe(kind) in said and str(leaf.range) in said
            assert "\n" not in said


@pytest.mark.parametrize("record, name, leaf", NUMBERS, ids=IDS)
def test_a_bound_is_in_range(record, name, leaf):
    for number in inside(leaf):
        value = number if leaf.length is None else (number,) * leaf.length
        said = error(replace(record(), **{name: value}))
        assert said is None or describe(setting_kinds(record)[name]) not in said  # a conflict is


@pytest.mark.parametrize("record, name", SETTINGS, ids=[f"{r.__name__}.{n}" for r, n in SETTINGS])
def test_a_value_of_another_type_is_one_line(record, name):
    for value in (object, [object], {}, b"", 1j):
        said = error(replace(record(), **{name: value}))
        assert said and said.startswith(name) and "\n" not in said


@pytest.mark.parametrize("record", RECORDS)
def test_choices_are_named(record):
    for name, kind in setting_kinds(record).items():
        if get_origin(kind) is Literal:
            said = error(replace(record(), **{name: "neither"}))
            assert all(str(choice) in said for choice in get_args(kind))


def test_a_setting_without_a_range_is_seen():
    @dataclass
    class Careless:
        good: Count = 1
        number: int = 0
        pair: tuple[Count, float] | None = None
        text: str = ""

    kinds = setting_kinds(Careless)
    assert [name for name in kinds if is_stated(kinds[name])] == ["good"]


def test_networks_and_commands_state_their_numbers_too():
    for record in (ModelConfig, *commands.values()):
        for name, kind in setting_kinds(record).items():
            numbers = [leaf for leaf in leaves(kind) if leaf.kind is not str]
            assert all(leaf.range for leaf in numbers), (record, name)


@pytest.mark.parametrize("name", recipes)
def test_presets_are_possible(name):
    check_settings(recipes[name])


def test_the_command_line_calls_settings_as_they_are_typed():
    flags = "--source a --target b --out c --self-training.alpha 2"
    command = read(f"train mini {flags}".split())
    with pytest.raises(
        UserError, match=r"^--self-training.alpha 2.0: choose a number from 0 to 1$"
    ):
        check_settings(command, _flag)
