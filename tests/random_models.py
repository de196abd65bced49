"""Random models for tests: any graph of blocks, random weights, random inputs."""

import numpy as np
from hypothesis import strategies as st

from hiddenstate import cells
from hiddenstate.bundle import Bundle
from hiddenstate.spec import Add, Concat, Dropout, Embed, Input, Linear, ModelSpec, Norm, Pool, Recurrent

CELLS = [cell for name in ("rnn", "gru", "lstm") for cell in cells.variants(name)]
SIZES = st.sampled_from([1, 2, 3, 5, 8, 17])


@st.composite
def specs(draw, *, bidirectional=False):
    """A model of every kind of block in any order that holds together."""
    kinds = draw(st.lists(st.sampled_from(["numbers", "ids"]), min_size=1, max_size=3))
    inputs = tuple(Input(f"in{i}", kind=kind, size=draw(SIZES)) for i, kind in enumerate(kinds))
    blocks, nodes = [], {}
    for node in inputs:
        if node.kind == "ids":
            blocks.append(Embed(f"embed_{node.name}", node.name, draw(SIZES)))
            nodes[blocks[-1].name] = blocks[-1].size
        else:
            nodes[node.name] = node.size
    if len(nodes) > 1:
        blocks.append(Concat("joined", tuple(nodes)))
        nodes["joined"] = sum(nodes.values())
    for index in range(draw(st.integers(1, 5))):
        block, size = draw(_blocks(f"b{index}", nodes, bidirectional))
        blocks.append(block)
        nodes[block.name] = size
    ending = draw(st.sampled_from(["none", "head", "pool", "pool head", "tied"]))
    last = list(nodes)[-1]
    if ending.startswith("pool"):
        blocks.append(Pool("pooled", last, draw(st.sampled_from(["last", "mean", "max"]))))
        last = "pooled"
    if ending.endswith("head"):
        blocks.append(
            Linear("head", last, draw(SIZES), activation=draw(st.sampled_from([None, "relu", "tanh"])))
        )
    tables = [block for block in blocks if isinstance(block, Embed)]
    if ending == "tied" and tables:
        vocabulary = next(node.size for node in inputs if node.name == tables[0].source)
        blocks.append(Linear("narrow", last, tables[0].size))
        blocks.append(Linear("head", "narrow", vocabulary, tied=tables[0].name))
    return ModelSpec(inputs, tuple(blocks))


@st.composite
def _blocks(draw, name, nodes, bidirectional):
    """One block that reads some of ``nodes``, and its size; the newest node is the likeliest source."""
    source = draw(st.sampled_from([list(nodes)[-1], *nodes]))
    size = nodes[source]
    kind = draw(
        st.sampled_from(["recurrent", "recurrent", "recurrent", "linear", "norm", "add", "concat", "dropout"])
    )
    if kind == "linear":
        size = draw(SIZES)
        activation = draw(st.sampled_from([None, "relu", "tanh"]))
        return Linear(name, source, size, bias=draw(st.booleans()), activation=activation), size
    if kind == "norm":
        return Norm(name, source), size
    if kind == "dropout":
        return Dropout(name, source, 0.5), size
    if kind == "add":
        equal = [other for other in nodes if nodes[other] == size]
        return Add(name, (source, *draw(st.lists(st.sampled_from(equal), min_size=1, max_size=2)))), size
    if kind == "concat":
        other = draw(st.sampled_from(list(nodes)))
        return Concat(name, (source, other)), size + nodes[other]
    block = draw(_recurrent(name, source, bidirectional))
    return block, block.out_size * block.directions


@st.composite
def _recurrent(draw, name, source, bidirectional):
    cell, size = draw(st.sampled_from(CELLS)), draw(SIZES)
    return Recurrent(
        name,
        source,
        cell.name,
        size,
        num_layers=draw(st.integers(1, 2)),
        bidirectional=bidirectional and draw(st.booleans()),
        bias=draw(st.booleans()),
        proj_size=draw(st.integers(0, size - 1)) if cell.projects else 0,
        learn_initial_state=draw(st.booleans()),
        options=dict(vars(cell)),
    )


def weights(spec, seed=0):
    """Random float32 weights, small enough that nothing grows without bound."""
    rng = np.random.default_rng(seed)
    shapes = spec.param_shapes()
    return {
        name: (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
    }


def bundle_of(spec, seed=0, **parts):
    """A trained-looking model."""
    return Bundle(spec, weights(spec, seed), **parts)


def inputs_of(spec, steps, rows, seed=0):
    """A random batch by input name, time first."""
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.integers(0, node.size, (steps, rows))
        if node.kind == "ids"
        else rng.normal(size=(steps, rows, node.size)).astype(np.float32)
        for node in spec.inputs
    }


def at(batch, step, row):
    """One element of a batch."""
    return {name: array[step, row] for name, array in batch.items()}


SMALL = ModelSpec(
    (Input("x", size=3),),
    (Recurrent("rnn", "x", "gru", 4), Linear("head", "rnn", 2)),
)
"""Numbers in, numbers out."""

CHARACTERS = ModelSpec(
    (Input("ids", "ids", 7),),
    (Embed("table", "ids", 3), Recurrent("rnn", "table", "lstm", 4), Linear("head", "rnn", 7)),
)
"""Ids in, scores out."""

CLASSIFIER = ModelSpec(
    (Input("x", size=3),),
    (Recurrent("rnn", "x", "rnn", 4), Pool("pooled", "rnn", "mean"), Linear("head", "pooled", 2)),
)
"""A sequence in, one answer out."""

TWO_WAYS = ModelSpec(
    (Input("x", size=3),),
    (Recurrent("rnn", "x", "gru", 4, bidirectional=True), Linear("head", "rnn", 2)),
)
"""Not streamable."""
