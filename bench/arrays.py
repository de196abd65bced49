"""The numbers that the libraries compute with, the same for all."""

from __future__ import annotations

import numpy as np

from .cases import GATES, Case


def weight_shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """Shapes by torch's names, without the ``_l0`` of the first layer."""
    shapes, rows = {}, GATES[case.cell] * case.H
    for layer, width in enumerate(case.widths):
        for direction in ("", "_reverse")[: case.directions]:
            own = {"weight_ih": (rows, width), "weight_hh": (rows, case.out)}
            own |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if case.proj:
                own["weight_hr"] = (case.proj, case.H)
            ending = f"_l{layer}{direction}".removesuffix("_l0")
            shapes |= {name + ending: shape for name, shape in own.items()}
    return shapes


def make_arrays(case: Case) -> dict[str, np.ndarray]:
    """Weights, input ``x``, gradient of the output ``dy``, and the weights of a linear ``head``."""
    rng = np.random.default_rng(0)
    shapes, bound = weight_shapes(case) | {"head": (1, case.H)}, case.H**-0.5
    arrays = {key: rng.uniform(-bound, bound, shape).astype("f4") for key, shape in shapes.items()}
    arrays["x"] = rng.standard_normal((case.T, case.B, case.I)).astype("f4")
    arrays["dy"] = rng.standard_normal((case.T, case.B, case.directions * case.out)).astype("f4")
    return arrays if case.numbers == "normal" else fade(arrays)


def fade(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with an input that falls from 1e-30 to 1e-44, and gradients of 1e-40.

    Without biases, states fade with the input: near 0, these weights shrink a state to under 0.7 of itself in
    a step, and the input falls to 0.72 of itself.
    """
    fall = 10.0 ** np.linspace(-30, -44, len(arrays["x"]))[:, None, None]
    faded = {key: np.zeros_like(value) for key, value in arrays.items() if key.startswith("bias")}
    faded |= {"x": (arrays["x"] * fall).astype("f4"), "dy": arrays["dy"] * np.float32(1e-40)}
    return arrays | faded


def check_subnormal(case: Case, arrays: dict[str, np.ndarray]) -> None:
    """See in float64 that two fifths of states and gradients are of a size that float32 has subnormals for.

    Raises:
        ValueError: they have not, so that the case would measure nothing.
    """
    from hiddenstate.scan import record

    wide = {key: value.astype("f8") for key, value in arrays.items()}
    made = record(case.cell, {key: wide[key] for key in weight_shapes(case)}, wide["x"])
    info = np.finfo("f4")
    for name, values in {"states": made.y, "gradients": made.backward(wide["dy"]).dx}.items():
        size = abs(values)
        share = ((size >= info.smallest_subnormal) & (size < info.smallest_normal)).mean()
        if share < 0.4:
            raise ValueError(f"{case.name}: of the {name} only {share:.0%} are subnormal")
