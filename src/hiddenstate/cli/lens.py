"""The verb ``lens``: what a model remembers, measured on a file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Literal

from hiddenstate import tasks
from hiddenstate.errors import DataError, OptionError

from . import DONE


def lens(
    model: str,
    file: str,
    /,
    *,
    out: str | None = None,
    format: Literal["html", "json"] | None = None,
    figures: str | None = None,
    quick: bool = False,
    full: bool = False,
    layer: str | None = None,
    example: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> int:
    """Measure what a model remembers on a file, and for how long; write a page with figures, or JSON.

    Args:
        model: the saved model.
        file: the data, as for predict. For a model without a task: .npy, or a table whose rows are steps.
        out: where the report goes: .html for a page, .json for numbers; if not given, JSON goes to standard
            output with --format json, else the findings as text.
        format: html or json, where the suffix of --out does not say it.
        figures: a folder for a PNG of every figure.
        quick: a small sample, for a first look.
        full: also what takes minutes: Lyapunov exponents, memory capacity, truncation.
        layer: name of the recurrent layer to look at; the last one if not given.
        example: number of the sequence to show step by step, from 1.
        seed: of all samples and intervals.
        progress: show progress and time estimates on standard error.
    """
    from hiddenstate import lens as measuring
    from hiddenstate.lens.figures import require

    kind = _kind(out, format)
    if quick and full:
        raise OptionError("one or the other", where="--quick, --full", got="both")
    for place in (out and Path(out).resolve().parent, figures and Path(figures).resolve().parent):
        if place and not os.access(place, os.W_OK):
            # said before the measuring, not after it
            fix = f"Check that {place} exists and is writable"
            raise DataError("cannot write the report", where=out or figures, fix=fix)
    if kind == "html" or figures is not None:
        require()
    effort = "quick" if quick else "full" if full else "normal"
    made = measuring.report(
        tasks.load(model), file, effort=effort, layer=layer, example=example, seed=seed, progress=progress
    )
    if figures is not None:
        files = made.save_figures(figures)
        print(f"hiddenstate: {len(files)} figures in {figures}", file=sys.stderr)
    if out is not None:
        made.save(out, format=kind)
        print(f"hiddenstate: saved {out}", file=sys.stderr)
    if out is None and kind == "json":
        print(json.dumps(made.to_json(), allow_nan=False))
    elif kind != "json":
        print("\n".join(made.headlines))
    return DONE


def _kind(out: str | None, format: str | None) -> str | None:
    """The format of the report, by option or by suffix; None: text only."""
    from hiddenstate.lens.report import format_of

    if format == "html" and out is None:
        raise OptionError("a page needs a file", where="--format html", fix="Add -o report.html")
    return format or (None if out is None else format_of(out))
