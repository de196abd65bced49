"""What a look at a training means, in plain words."""

from __future__ import annotations

from typing import Any

SHORT = 4
"""Windows with fewer lags than this are too short to judge."""


def findings(record: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the memory in one record of a ``Lens``, by kind.

    - "vanishing": beyond half of the window, less than 1 % of the gradient arrives;
    - "exploding": the gradient is more than ten times larger at the far end of the window than where it
      starts, or nine of ten updates are clipped, to less than a tenth on average;
    - "truncated": a tenth of the gradient or more is cut off at the edge of the window;
    - "saturated": more than half of the state values.

    The layer whose gradient reaches farthest speaks for the network.
    """
    found = {}
    layers = {name: one for name, one in record["layers"].items() if one["reach"] is not None}
    if layers:
        name = max(layers, key=lambda name: layers[name]["reach"])
        found |= _of_reach(name, layers[name], record["update"])
    return _of_clipping(record) | found | _of_saturation(record)


def _of_reach(name: str, layer: dict[str, Any], update: int) -> dict[str, str]:
    norm, window, reach = layer["gradient_norm"], layer["window"], layer["reach"]
    left = norm[-1] / norm[0]
    end = "your truncation window is" if layer["truncated"] else "the longest sequence looked at has"
    end = f"{end} {window + 1}" + ("" if layer["truncated"] else " steps")
    if window < SHORT:
        return {}
    if left > 10:
        text = (
            f"memory is exploding: at update {update} the gradient is {left:.3g} times larger {window} steps "
            f"back than where it starts (layer {name}). Clip gradients, or lower the learning rate"
        )
        return {"exploding": text}
    if reach < window / 2:
        text = (
            f"memory is vanishing: at update {update} the loss does not reach back more than {reach} steps; "
            f"{end} (layer {name}: beyond them less than 1 % of the gradient arrives). All is well if the "
            "task needs no longer memory"
        )
        return {"vanishing": text}
    if layer["truncated"] and left >= 0.1:
        text = (
            f"memory is truncated: at update {update} {left:.0%} of the gradient is left at the first step "
            f"of the window and cut off there; {end} (layer {name}). A longer one may learn from further back"
        )
        return {"truncated": text}
    return {}


def _of_clipping(record: dict[str, Any]) -> dict[str, str]:
    share, scale = record["clip_share"], record["clip_scale"]
    if share < 0.9 or scale >= 0.1:
        return {}
    text = (
        f"gradients are exploding: up to update {record['update']} {share:.0%} of the updates were clipped, "
        f"to {scale:.1%} of their length on average. Lower the learning rate"
    )
    return {"exploding": text}


def _of_saturation(record: dict[str, Any]) -> dict[str, str]:
    for name, layer in record["layers"].items():
        if layer["saturated"] is not None and layer["saturated"] > 0.5:
            text = (
                f"memory is saturated: at update {record['update']} {layer['saturated']:.0%} of the state "
                f"values of layer {name} lie at the flat ends of tanh, where little is learned. Lower the "
                "learning rate, or scale the inputs"
            )
            return {"saturated": text}
    return {}
