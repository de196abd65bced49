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
    return arrays | {
        "x": rng.standard_normal((case.T, case.B, case.I)).astype("f4"),
        "dy": rng.standard_normal((case.T, case.B, case.directions * case.out)).astype("f4"),
    }
