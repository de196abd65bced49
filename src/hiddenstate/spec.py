"""A model as plain data: named inputs and a list of blocks, each reading earlier ones.

The spec says what is computed, never how: ``nn.build(spec)`` makes a torch module of it, ``runtime.Model``
runs it without torch, and both use the forward functions of ``blocks``. A bundle's header holds it as JSON.

Arrays between blocks are time-major ``[T, B, size]``; after a ``Pool`` there is no time axis any more.

Example:
    >>> spec = ModelSpec(
    ...     inputs=(Input("x", kind="numbers", size=3),),
    ...     blocks=(
    ...         Recurrent("rnn", source="x", cell="gru", hidden_size=8),
    ...         Linear("head", source="rnn", size=1),
    ...     ),
    ... )
    >>> spec.sizes()["rnn"], spec.param_shapes()["head.weight"]
    (8, (1, 8))
    >>> ModelSpec.from_json(spec.to_json()) == spec
    True
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, ClassVar

from . import cells
from .errors import OptionError, SpecError

MAX_SIZE = 1 << 24
"""Largest width of anything in a spec; a larger number in a file is a damaged or hostile file."""


@dataclass(frozen=True)
class Input:
    """A named input: ``numbers`` ``[T, B, size]``, or ``ids`` ``[T, B]`` in ``range(size)``."""

    name: str
    kind: str = "numbers"
    size: int = 1


@dataclass(frozen=True)
class Embed:
    """Table look-up: ``ids [T, B] -> [T, B, size]``. Parameter: ``weight [vocabulary, size]``."""

    name: str
    source: str
    size: int
    kind: ClassVar[str] = "embed"


@dataclass(frozen=True)
class Concat:
    """Joins its sources along the last axis."""

    name: str
    sources: tuple[str, ...]
    kind: ClassVar[str] = "concat"


@dataclass(frozen=True)
class Add:
    """Adds its sources, which have one size."""

    name: str
    sources: tuple[str, ...]
    kind: ClassVar[str] = "add"


@dataclass(frozen=True)
class Linear:
    """``y = x W^T + b``, then ``activation`` (None, "relu" or "tanh").

    Parameters: ``weight [size, in]``, ``bias [size]``. ``tied`` names an Embed block whose table is used as
    the weight (then there is no ``weight`` parameter).
    """

    name: str
    source: str
    size: int
    bias: bool = True
    activation: str | None = None
    tied: str | None = None
    kind: ClassVar[str] = "linear"


@dataclass(frozen=True)
class Norm:
    """Layer normalisation over the last axis. Parameters ``weight [size]``, ``bias [size]``."""

    name: str
    source: str
    eps: float = 1e-5
    kind: ClassVar[str] = "norm"


@dataclass(frozen=True)
class Dropout:
    """Drops elements with probability ``p`` while training; passes its input through otherwise."""

    name: str
    source: str
    p: float = 0.0
    kind: ClassVar[str] = "dropout"


@dataclass(frozen=True)
class Recurrent:
    """A stack of recurrent layers, as ``torch.nn.RNN/LSTM/GRU`` with the same parameter names.

    ``options`` are those of the cell (GRU: ``{"reset": "before"}``; RNN: ``{"nonlinearity": "relu"}``).
    ``learn_initial_state`` adds parameters ``initial_h [L*D, R]`` (and ``initial_c [L*D, H]``), from which a
    sequence starts, and restarts after a reset.
    """

    name: str
    source: str
    cell: str
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    dropout: float = 0.0
    proj_size: int = 0
    learn_initial_state: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "recurrent"

    @property
    def directions(self) -> int:
        """1, or 2 when bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def out_size(self) -> int:
        """Width of the output of one direction."""
        return self.proj_size or self.hidden_size


@dataclass(frozen=True)
class Pool:
    """One vector per sequence from its valid steps: ``[T, B, F] -> [B, F]``.

    ``how`` is "last", "mean" or "max" (per feature).
    Fed step by step, it gives the pooled vector of everything seen so far.
    """

    name: str
    source: str
    how: str = "last"
    kind: ClassVar[str] = "pool"


Block = Embed | Concat | Add | Linear | Norm | Dropout | Recurrent | Pool
BLOCKS: dict[str, type] = {
    cls.kind: cls for cls in (Embed, Concat, Add, Linear, Norm, Dropout, Recurrent, Pool)
}


def sources_of(block: Block) -> tuple[str, ...]:
    """Names of the nodes that a block reads."""
    return block.sources if isinstance(block, (Concat, Add)) else (block.source,)


@dataclass(frozen=True)
class ModelSpec:
    """Inputs and blocks in order of execution; the last block is the output.

    Raises:
        SpecError: on a duplicate name, an unknown source or kind, or sizes that do not fit.
    """

    inputs: tuple[Input, ...]
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        _check(self)

    def sizes(self) -> dict[str, int]:
        """Width of the last axis of every node (vocabulary size for an ``ids`` input)."""
        known = {node.name: node.size for node in self.inputs}
        for block in self.blocks:
            known[block.name] = _size(block, [known[source] for source in sources_of(block)])
        return known

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its full name, e.g. ``"rnn.weight_ih_l0"``."""
        known, shapes = self.sizes(), {}
        for block in self.blocks:
            for name, shape in _param_shapes(block, known).items():
                shapes[f"{block.name}.{name}"] = shape
        return shapes

    def block(self, name: str) -> Block:
        """The block called ``name``."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise SpecError("no such block", expected=[block.name for block in self.blocks], got=name)

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """The recurrent blocks, in order."""
        return tuple(block for block in self.blocks if isinstance(block, Recurrent))

    @property
    def streamable(self) -> bool:
        """Whether the model can run one step at a time (no block looks into the future)."""
        return not any(block.bidirectional for block in self.recurrent)

    @property
    def pooled(self) -> bool:
        """Whether a whole sequence gets one output, not every step."""
        nodes = {node.name: node.kind for node in self.inputs}
        for block in self.blocks:
            nodes[block.name] = "pooled" if _pooled(block, nodes) else "numbers"
        return nodes[self.blocks[-1].name] == "pooled"

    def to_json(self) -> dict[str, Any]:
        """Plain data: dicts, lists, strings and numbers."""
        return {
            "inputs": [asdict(node) for node in self.inputs],
            "blocks": [{"kind": block.kind} | _plain(block) for block in self.blocks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSpec:
        """The spec that ``to_json`` wrote.

        Raises:
            SpecError: when a part is missing, unknown, or of the wrong type.
        """
        if not isinstance(data, Mapping) or not {"inputs", "blocks"} <= set(data):
            raise SpecError(
                "not a model spec", expected="a mapping with 'inputs' and 'blocks'", got=type(data).__name__
            )
        inputs = tuple(_parse(Input, item, "input") for item in _items(data["inputs"]))
        return cls(inputs, tuple(_parse_block(item) for item in _items(data["blocks"])))


def _plain(block: Block) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(block).items()}


def _items(value: Any) -> list:
    if not isinstance(value, (list, tuple)):
        raise SpecError("not a list of nodes", got=type(value).__name__)
    return list(value)


def _parse_block(item: Any) -> Block:
    kind = item.get("kind") if isinstance(item, Mapping) else None
    if not isinstance(kind, str) or kind not in BLOCKS:
        raise SpecError("unknown kind of block", expected=sorted(BLOCKS), got=repr(kind), fix=_NEWER)
    rest = {key: value for key, value in item.items() if key != "kind"}
    return _parse(BLOCKS[kind], rest, kind)


_NEWER = "The file may come from a newer version of hiddenstate"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
    "str | None": (str, type(None)),
    "tuple[str, ...]": (list, tuple),
    "Mapping[str, Any]": (Mapping,),
}


def _parse(cls: type, item: Any, where: str) -> Any:
    """A dataclass from a mapping, with every field's presence and type checked."""
    if not isinstance(item, Mapping):
        raise SpecError("not a node", where=where, expected="a mapping", got=type(item).__name__)
    known = {f.name: f for f in fields(cls)}
    if unknown := set(item) - set(known):
        raise SpecError(
            "unknown fields", where=where, expected=sorted(known), got=sorted(unknown), fix=_NEWER
        )
    required = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if missing := required - set(item):
        raise SpecError("missing fields", where=where, expected=sorted(required), got=f"no {sorted(missing)}")
    values = {}
    for name, value in item.items():
        wanted = str(known[name].type)
        if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "bool"):
            raise SpecError("wrong type", where=f"{where}.{name}", expected=wanted, got=repr(value))
        values[name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)


def _check(spec: ModelSpec) -> None:
    if not spec.inputs or not spec.blocks:
        raise SpecError("a model needs at least one input and one block")
    nodes: dict[str, str] = {}
    for node in spec.inputs:
        _check_name(node.name, nodes)
        if node.kind not in ("numbers", "ids"):
            raise SpecError(
                "unknown kind of input", where=node.name, expected="numbers or ids", got=node.kind
            )
        _check_whole(node.size, 1, f"{node.name}.size")
        nodes[node.name] = node.kind
    for block in spec.blocks:
        _check_name(block.name, nodes)
        if not sources_of(block):
            raise SpecError("reads nothing", where=block.name, expected="at least one source")
        for source in sources_of(block):
            _check_source(block, source, nodes)
        _check_options(block)
        nodes[block.name] = "pooled" if _pooled(block, nodes) else "numbers"
    sizes = spec.sizes()
    for block in spec.blocks:
        _check_whole(sizes[block.name], 1, f"size of {block.name}")
        if isinstance(block, Linear) and block.tied is not None:
            _check_tied(block, spec, sizes)


def _pooled(block: Block, nodes: dict[str, str]) -> bool:
    """Whether a block's output has no time axis."""
    kinds = {nodes[source] for source in sources_of(block)}
    if kinds == {"pooled", "numbers"}:
        raise SpecError("joins nodes with and without a time axis", where=block.name)
    return isinstance(block, Pool) or "pooled" in kinds


def _check_name(name: str, nodes: dict[str, str]) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise SpecError("not a usable name", expected="letters, digits and _", got=repr(name))
    if name in nodes:
        raise SpecError("name used twice", got=name)


def _check_source(block: Block, source: str, nodes: dict[str, str]) -> None:
    if not isinstance(source, str) or source not in nodes:
        raise SpecError(
            "source is not an input or an earlier block",
            where=block.name,
            expected=list(nodes),
            got=repr(source),
        )
    if (nodes[source] == "ids") != isinstance(block, Embed):
        raise SpecError("ids must go through an embed block, and only ids", where=block.name, got=source)
    if nodes[source] == "pooled" and isinstance(block, (Recurrent, Pool)):
        raise SpecError("needs a time axis, but its source is pooled", where=block.name, got=source)


def _check_range(value: Any, low: float, where: str, high: float = MAX_SIZE) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SpecError("number out of range", where=where, expected=f"{low} to {high}", got=repr(value))


def _check_whole(value: Any, low: int, where: str, high: int = MAX_SIZE) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(
            "not a usable size", where=where, expected=f"a whole number, {low} to {high}", got=repr(value)
        )


def _check_choice(value: Any, choices: tuple, where: str) -> None:
    if value not in choices:
        raise SpecError("unknown choice", where=where, expected=choices, got=repr(value))


def _check_options(block: Block) -> None:
    name = block.name
    if isinstance(block, (Embed, Linear)):
        _check_whole(block.size, 1, f"{name}.size")
    if isinstance(block, Linear):
        _check_choice(block.activation, (None, "relu", "tanh"), f"{name}.activation")
    elif isinstance(block, Dropout):
        _check_range(block.p, 0, f"{name}.p", 1)
    elif isinstance(block, Norm):
        _check_range(block.eps, 0, f"{name}.eps", 1)
    elif isinstance(block, Pool):
        _check_choice(block.how, ("last", "mean", "max"), f"{name}.how")
    elif isinstance(block, Recurrent):
        _check_recurrent(block)


def _check_recurrent(block: Recurrent) -> None:
    name = block.name
    try:
        cell = cells.get(block.cell, **block.options)
    except (OptionError, TypeError) as error:
        raise SpecError(f"unusable cell: {error}", where=name) from error
    _check_whole(block.hidden_size, 1, f"{name}.hidden_size")
    _check_whole(block.num_layers, 1, f"{name}.num_layers", 1024)
    _check_range(block.dropout, 0, f"{name}.dropout", 1)
    _check_whole(block.proj_size, 0, f"{name}.proj_size", block.hidden_size - 1)
    if block.proj_size and not cell.projects:
        raise SpecError(
            "this cell has no projection", where=name, expected="proj_size 0", got=block.proj_size
        )


def _check_tied(block: Linear, spec: ModelSpec, sizes: Mapping[str, int]) -> None:
    """The table of an embed block serves as the weight of ``block``."""
    table = next((other for other in spec.blocks if other.name == block.tied), None)
    if not isinstance(table, Embed):
        raise SpecError("tied must name an embed block", where=block.name, got=repr(block.tied))
    shape, wanted = (sizes[table.source], table.size), (block.size, sizes[block.source])
    if shape != wanted:
        raise SpecError(
            "the tied table does not fit as a weight", where=block.name, expected=wanted, got=shape
        )


def _size(block: Block, sources: list[int]) -> int:
    if isinstance(block, Concat):
        return sum(sources)
    if isinstance(block, Add):
        if len(set(sources)) != 1:
            raise SpecError("adds nodes of different sizes", where=block.name, got=sources)
        return sources[0]
    if isinstance(block, Recurrent):
        return block.out_size * block.directions
    return block.size if isinstance(block, (Embed, Linear)) else sources[0]


def _param_shapes(block: Block, known: dict[str, int]) -> dict[str, tuple[int, ...]]:
    if isinstance(block, Embed):
        return {"weight": (known[block.source], block.size)}
    if isinstance(block, Norm):
        return {"weight": (known[block.name],), "bias": (known[block.name],)}
    if isinstance(block, Linear):
        shapes: dict[str, tuple[int, ...]] = (
            {} if block.tied else {"weight": (block.size, known[block.source])}
        )
        return shapes | ({"bias": (block.size,)} if block.bias else {})
    return _recurrent_shapes(block, known[block.source]) if isinstance(block, Recurrent) else {}


def suffix(layer: int, direction: int) -> str:
    """Torch's suffix of a parameter: ``_l0``, ``_l0_reverse``, ``_l1`` ..."""
    return f"_l{layer}" + ("_reverse" if direction else "")


def _recurrent_shapes(block: Recurrent, size: int) -> dict[str, tuple[int, ...]]:
    cell = cells.get(block.cell, **block.options)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(block.num_layers):
        width = size if layer == 0 else block.out_size * block.directions
        for direction in range(block.directions):
            one = cell.param_shapes(width, block.hidden_size, bias=block.bias, proj_size=block.proj_size)
            shapes |= {key + suffix(layer, direction): shape for key, shape in one.items()}
    if block.learn_initial_state:
        state = cell.state_shapes(
            block.num_layers * block.directions, block.hidden_size, proj_size=block.proj_size
        )
        shapes |= {f"initial_{key}": shape for key, shape in state._asdict().items()}
    return shapes


def count_parameters(spec: ModelSpec) -> int:
    """Number of trained values."""
    return sum(math.prod(shape) for shape in spec.param_shapes().values())
