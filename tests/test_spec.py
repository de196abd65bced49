import contextlib
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import SpecError
from hiddenstate.spec import (
    Add,
    Concat,
    Embed,
    Input,
    Linear,
    ModelSpec,
    Norm,
    Pool,
    Recurrent,
    count_parameters,
)
from random_models import CHARACTERS, CLASSIFIER, SMALL, TWO_WAYS, specs

X = (Input("x", size=3),)


@given(specs(bidirectional=True))
def test_json_round_trip(spec):
    text = json.dumps(spec.to_json(), allow_nan=False)
    assert ModelSpec.from_json(json.loads(text)) == spec


def test_sizes_and_shapes():
    spec = ModelSpec(
        (Input("x", size=3), Input("word", "ids", 10)),
        (
            Embed("table", "word", 4),
            Concat("both", ("x", "table")),
            Recurrent("rnn", "both", "lstm", 6, 2, bidirectional=True, proj_size=5, learn_initial_state=True),
            Pool("pooled", "rnn"),
            Linear("head", "pooled", 2, bias=False),
        ),
    )
    assert spec.sizes() == {"x": 3, "word": 10, "table": 4, "both": 7, "rnn": 10, "pooled": 10, "head": 2}
    shapes = spec.param_shapes()
    assert shapes["table.weight"] == (10, 4)
    assert shapes["rnn.weight_ih_l1_reverse"] == (24, 10)
    assert shapes["rnn.weight_hr_l0"] == (5, 6)
    assert (shapes["rnn.initial_h"], shapes["rnn.initial_c"]) == ((4, 5), (4, 6))
    assert "head.bias" not in shapes
    assert spec.pooled
    assert not spec.streamable


@pytest.mark.parametrize(
    ("cell", "options"), [("rnn", {}), ("gru", {"bias": False}), ("lstm", {}), ("lstm", {"proj_size": 2})]
)
def test_parameters_are_those_of_torch(cell, options):
    spec = ModelSpec(X, (Recurrent("rnn", "x", cell, 5, 3, bidirectional=True, **options),))
    layer = getattr(torch.nn, cell.upper())(3, 5, 3, bidirectional=True, **options)
    theirs = {f"rnn.{name}": tuple(value.shape) for name, value in layer.state_dict().items()}
    assert spec.param_shapes() == theirs
    assert count_parameters(spec) == sum(value.numel() for value in layer.parameters())


def test_properties_of_the_examples():
    assert [spec.pooled for spec in (SMALL, CHARACTERS, CLASSIFIER, TWO_WAYS)] == [False, False, True, False]
    assert [spec.streamable for spec in (SMALL, CHARACTERS, CLASSIFIER, TWO_WAYS)] == [
        True,
        True,
        True,
        False,
    ]
    assert SMALL.block("head") == SMALL.blocks[-1]
    with pytest.raises(SpecError, match="no such block"):
        SMALL.block("tail")


def linear(**changes):
    return Linear(**({"name": "y", "source": "x", "size": 2} | changes))


def recurrent(**changes):
    return Recurrent(**({"name": "y", "source": "x", "cell": "gru", "hidden_size": 4} | changes))


IDS = (Input("x", "ids", 5),)
REFUSED = {
    "no inputs": ((), (linear(),)),
    "no blocks": (X, ()),
    "unknown source": (X, (linear(source="z"),)),
    "later source": (X, (linear(source="w"), linear(name="w"))),
    "source is not a name": (X, (linear(source=[]),)),
    "name used twice": (X, (linear(name="x"),)),
    "name with a dot": (X, (linear(name="a.b"),)),
    "name is a number": (X, (linear(name=3),)),
    "unknown input kind": ((Input("x", "images"),), (linear(),)),
    "input size zero": ((Input("x", size=0),), (linear(),)),
    "size negative": (X, (linear(size=-1),)),
    "size fractional": (X, (linear(size=1.5),)),
    "size true": (X, (linear(size=True),)),
    "size absurd": (X, (linear(size=10**30),)),
    "size NaN": (X, (linear(size=float("nan")),)),
    "unknown activation": (X, (linear(activation="gelu"),)),
    "activation is a list": (X, (linear(activation=[]),)),
    "ids into linear": (IDS, (linear(),)),
    "numbers into embed": (X, (Embed("y", "x", 2),)),
    "tied to nothing": (X, (linear(tied="z"),)),
    "tied to an input": (X, (linear(tied="x"),)),
    "tied size": (IDS, (Embed("e", "x", 2), Linear("y", "e", 4, tied="e"))),
    "tied source": (IDS, (Embed("e", "x", 2), Linear("z", "e", 3), Linear("y", "z", 5, tied="e"))),
    "concat of nothing": (X, (Concat("y", ()),)),
    "add of nothing": (X, (Add("y", ()),)),
    "add of unequal": (X, (linear(name="z"), Add("y", ("x", "z")))),
    "concat too wide": (X, (linear(name="z", size=1 << 24), Concat("y", ("z", "z")))),
    "pool of a pool": (X, (Pool("p", "x"), Pool("y", "p"))),
    "recurrent after pool": (X, (Pool("p", "x"), recurrent(source="p"))),
    "pool joined with steps": (X, (Pool("p", "x"), Add("y", ("x", "p")))),
    "unknown pool": (X, (Pool("y", "x", "median"),)),
    "norm eps NaN": (X, (Norm("y", "x", float("nan")),)),
    "unknown cell": (X, (recurrent(cell="mamba"),)),
    "cell is a list": (X, (recurrent(cell=[]),)),
    "unknown option": (X, (recurrent(options={"reset": "sometimes"}),)),
    "option is not a name": (X, (recurrent(options={1: 2}),)),
    "options are a list": (X, (recurrent(options=[1]),)),
    "no layers": (X, (recurrent(num_layers=0),)),
    "too many layers": (X, (recurrent(num_layers=10**6),)),
    "dropout above 1": (X, (recurrent(dropout=1.5),)),
    "projection of a GRU": (X, (recurrent(proj_size=2),)),
    "projection too wide": (X, (recurrent(cell="lstm", proj_size=4),)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    with pytest.raises(SpecError):
        ModelSpec(*REFUSED[case])


def test_unequal_sizes_names_the_block():
    with pytest.raises(SpecError, match=r"in y.*\[3, 2\]"):
        ModelSpec(*REFUSED["add of unequal"])


def without(data, *path):
    """``data`` less the part at ``path``."""
    copy = json.loads(json.dumps(data))
    *parents, last = path
    place = copy
    for key in parents:
        place = place[key]
    del place[last]
    return copy


def replaced(data, value, *path):
    """``data`` with another value at ``path``."""
    copy = json.loads(json.dumps(data))
    *parents, last = path
    place = copy
    for key in parents:
        place = place[key]
    place[last] = value
    return copy


GOOD = CHARACTERS.to_json()
PATHS = [
    ("inputs",),
    ("blocks",),
    *[("inputs", 0, key) for key in GOOD["inputs"][0]],
    *[("blocks", i, key) for i, block in enumerate(GOOD["blocks"]) for key in block],
]
JUNK = [None, True, -1, 0, 1.5, 1 << 70, "", "x", [], [1], [[]], {}, {"a": 1}, float("nan")]


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_hostile_values_raise_nothing_else(path):
    for junk in JUNK:
        with contextlib.suppress(SpecError):
            ModelSpec.from_json(replaced(GOOD, junk, *path))


REQUIRED = [
    path
    for path in PATHS
    if path[-1] in ("inputs", "blocks", "kind", "name", "source", "cell", "hidden_size")
]


@pytest.mark.parametrize("path", [path for path in REQUIRED if path[:3] != ("inputs", 0, "kind")], ids=str)
def test_missing_fields_are_refused(path):
    with pytest.raises(SpecError):
        ModelSpec.from_json(without(GOOD, *path))


def test_fields_left_out_have_their_defaults():
    """A file written before a field existed still loads."""
    block = {"kind": "recurrent", "name": "rnn", "source": "x", "cell": "gru", "hidden_size": 4}
    spec = ModelSpec.from_json({"inputs": [{"name": "x"}], "blocks": [block]})
    assert spec == ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 4),))


def test_unknown_parts_name_a_newer_version():
    with pytest.raises(SpecError, match="newer version"):
        ModelSpec.from_json(replaced(GOOD, "attention", "blocks", 0, "kind"))
    with pytest.raises(SpecError, match="newer version"):
        ModelSpec.from_json(replaced(GOOD, 1, "blocks", 0, "heads"))


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list("ab") + list(GOOD)), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(NESTED)
def test_any_json_is_refused_in_one_way(data):
    with pytest.raises(SpecError):
        ModelSpec.from_json(data)


@given(st.sampled_from(PATHS), NESTED)
def test_any_value_anywhere_is_refused_in_one_way(path, value):
    with contextlib.suppress(SpecError):
        ModelSpec.from_json(replaced(GOOD, value, *path))
