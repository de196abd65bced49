"""The verb ``show``: a bundle in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hiddenstate.bundle import Bundle
from hiddenstate.spec import Recurrent, count_parameters, sources_of
from hiddenstate.tasks.plain import from_plain

WIDE = 100
"""Longest value shown; of longer ones (a vocabulary) the size is said."""


def description(bundle: Bundle) -> str:
    """Network, parameters, codec, task and card of a bundle, one thing a line."""
    lines = [f"task: {bundle.task.get('name', 'none')}", "", "network"]
    sizes = bundle.spec.sizes()
    lines += [f"  {node.name}: input, {node.kind}, size {node.size}" for node in bundle.spec.inputs]
    for block in bundle.spec.blocks:
        lines.append(
            f"  {block.name}: {_words(block)} of {', '.join(sources_of(block))}, size {sizes[block.name]}"
        )
    lines.append(f"  parameters: {count_parameters(bundle.spec):,}")
    lines.append(f"  streams: {'yes' if bundle.spec.streamable else 'no (bidirectional)'}")
    settings = {key: from_plain(value) if key == "params" else value for key, value in bundle.task.items()}
    for title, part in (("task settings", settings), ("codec", bundle.codec), ("card", bundle.card)):
        lines += ["", title, *_entries(part, "  ")]
    return "\n".join(lines)


def _words(block: Any) -> str:
    if not isinstance(block, Recurrent):
        return block.kind
    layers = f"{block.num_layers} layer{'s' if block.num_layers > 1 else ''}"
    return f"{block.cell}, {layers}, {'both directions' if block.bidirectional else 'forwards'}"


def _entries(part: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in part.items():
        text = json.dumps(value, ensure_ascii=False, default=str)
        if len(text) <= WIDE:
            yield f"{indent}{key}: {value if isinstance(value, str) else text}"
        elif isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _entries(value, indent + "  ")
        else:
            yield f"{indent}{key}: {text[: WIDE - 20]} ... ({len(value)} in all)"
