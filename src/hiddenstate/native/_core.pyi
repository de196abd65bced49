"""Types of the compiled module; hiddenstate.native documents what the functions do."""

from typing import Any

from hiddenstate.types import Array

class Plan:
    """Packed weights of one layer in one direction; immutable."""

    def __init__(
        self,
        cell: str,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
        weight_hr: Array | None = None,
        *,
        backward: bool = False,
    ) -> None: ...
    @property
    def cell(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def proj_size(self) -> int: ...
    @property
    def out_size(self) -> int: ...
    @property
    def backward(self) -> bool: ...
    @property
    def isa(self) -> str: ...

class Linear:
    """Packed weights of a linear map; immutable."""

    def __init__(self, weight: Array, bias: Array | None = None) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...

def forward(
    plan: Plan,
    x: Array,
    h0: Array | None,
    c0: Array | None,
    lengths: Array | None,
    resets: Array | None,
    rest_h: Array | None,
    rest_c: Array | None,
    reverse: bool,
    y: Array,
    h_n: Array,
    c_n: Array | None,
    tape: Array | None,
) -> None: ...
def backward(
    plan: Plan,
    x: Array,
    h0: Array | None,
    c0: Array | None,
    lengths: Array | None,
    resets: Array | None,
    rest_h: Array | None,
    rest_c: Array | None,
    reverse: bool,
    y: Array,
    tape: Array | None,
    dy: Array | None,
    dh_n: Array | None,
    dc_n: Array | None,
    dx: Array | None,
    dh0: Array | None,
    dc0: Array | None,
    drest_h: Array | None,
    drest_c: Array | None,
    dweight_ih: Array | None,
    dweight_hh: Array | None,
    dbias_ih: Array | None,
    dbias_hh: Array | None,
    dweight_hr: Array | None,
    dh_steps: Array | None,
    dc_steps: Array | None,
) -> None: ...
def step(
    plan: Plan, x: Array, h: Array | None, c: Array | None, h_out: Array, c_out: Array | None
) -> None: ...
def linear(plan: Linear, x: Array, y: Array) -> None: ...

class Program:
    def __init__(self, operations: list[tuple[Any, ...]]) -> None: ...
    def run(self) -> None: ...

def fill(target: Array, values: Any) -> bool: ...
def fill_rows(target: Array, rows: list[Any]) -> bool: ...
def tape_fields(cell: str) -> tuple[str, ...]: ...
def isa() -> str: ...
def isas() -> list[str]: ...
def choose_isa(name: str) -> bool: ...
def set_num_threads(count: int) -> None: ...
def get_num_threads() -> int: ...
def use_openmp(addresses: list[int]) -> None: ...
def new_tensors(like: Any, shapes: list[Any]) -> list[Any]: ...
def free_kept() -> None: ...
