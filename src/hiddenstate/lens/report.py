"""What a network remembers, measured in one call: a page to read, JSON to compute with, figures to show."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiddenstate.errors import BackendError, DataError, OptionError
from hiddenstate.files import replacing
from hiddenstate.runtime import Model
from hiddenstate.spec import count_parameters
from hiddenstate.version import __version__

from . import arrays, encoding, page
from .chapters import Found, Setting
from .display import Display
from .probe import Probe, open_probe
from .result import check_count, plain
from .sections import EFFORTS, SECTIONS, Section

FORMAT = 1
"""Version of the JSON."""

SHOWN = 96
"""Steps of the reader's own sequence that are shown one by one."""

SIZES = {"quick": (128, 16), "normal": (256, 64), "full": (256, 64)}
"""By effort: longest piece in steps, most pieces."""


@dataclass(frozen=True, eq=False)
class Part:
    """One section of a report: what was found, or why it was left out."""

    section: Section
    found: Found | None
    left_out: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; see ``docs/guides/lens.md``."""
        made = {"name": self.section.name, "title": self.section.title, "left_out": self.left_out}
        if self.found is None:
            return made | {"sentences": [], "measurements": []}
        return made | {
            "sentences": list(self.found.sentences),
            "measurements": [one.to_json() for one in self.found.measurements],
            **plain(dict(self.found.extra)),
        }


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that was measured; ``report`` makes it.

    Attributes:
        about: the model and the data, JSON-able.
        parts: the sections in order, those left out included.
    """

    about: Mapping[str, Any]
    parts: tuple[Part, ...]

    @property
    def sentences(self) -> list[str]:
        """The findings in plain words: what is remembered and for how long, each with number and caveat."""
        found = [part.found.sentences[0] for part in self.parts if part.section.headline and part.found]
        return [*found, *self._other_sentences()]

    def _other_sentences(self) -> list[str]:
        return [
            sentence
            for part in self.parts
            if part.found
            for sentence in part.found.sentences[1 if part.section.headline else 0 :]
        ]

    @property
    def headlines(self) -> list[str]:
        """The first of ``sentences``: those at the top of the page."""
        return self.sentences[: sum(part.section.headline and part.found is not None for part in self.parts)]

    def to_json(self) -> dict[str, Any]:
        """Plain data with finite numbers only (None stands for others); see ``docs/guides/lens.md``."""
        return {
            "kind": "hiddenstate lens report",
            "format": FORMAT,
            "about": plain(dict(self.about)),
            "sentences": self.sentences,
            "sections": [part.to_json() for part in self.parts],
        }

    def to_html(self) -> str:
        """One self-contained page: no script, nothing loaded from anywhere.

        Raises:
            MissingExtraError: matplotlib, which draws the figures, is not installed.
        """
        return page.html(self)

    def save(self, path: str | os.PathLike[str], *, format: str | None = None) -> None:
        """Write the page (``.html``) or the numbers (``.json``).

        Args:
            path: of the file.
            format: "html" or "json"; None: by the suffix.

        Raises:
            OptionError: another suffix and no format.
            DataError: the file cannot be written; one that was there before stays whole.
            MissingExtraError: a page, and matplotlib is not installed.
        """
        kind = format or format_of(path)
        text = (
            self.to_html() if kind == "html" else json.dumps(self.to_json(), allow_nan=False, indent=1) + "\n"
        )
        with replacing(path, error=DataError) as file:
            file.write(text.encode())

    def save_figures(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every figure as a PNG into a folder, which is made if it is not there.

        Returns:
            The files.

        Raises:
            DataError: the folder or a file cannot be written.
            MissingExtraError: matplotlib is not installed.
        """
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError("cannot make the folder", where=folder, got=error.strerror) from error
        files = []
        for part in self.parts:
            for picture in part.found.pictures if part.found else ():
                files.append(Path(folder) / f"{picture.name}.png")
                with replacing(files[-1], error=DataError) as file:
                    file.write(picture.png())
        return files


def format_of(path: str | os.PathLike[str]) -> str:
    """The format, html or json, that a suffix stands for.

    Raises:
        OptionError: another suffix.
    """
    found = {".html": "html", ".htm": "html", ".json": "json"}.get(Path(path).suffix.lower())
    if found is None:
        raise OptionError("unknown kind of report", where=path, expected=".html or .json")
    return found


def report(
    model: Any,
    data: Any,
    *,
    effort: str = "normal",
    layer: str | None = None,
    example: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Measures what a network remembers on your data, and for how long.

    Args:
        model: an estimator, a ``runtime.Model``, a bundle, the path of one, or a ``Probe``.
        data: what the estimator's ``predict`` takes. For a model without a task: a list of arrays, or a path
            (see ``lens.arrays.read``).
        effort: "quick" (a small sample), "normal", or "full" (also what takes minutes: Lyapunov exponents,
            memory capacity, truncation).
        layer: name of the recurrent layer to look at; None: the last one that reads forwards.
        example: number of the sequence to show step by step, from 1.
        seed: of all samples, draws and intervals.
        progress: show progress and time estimates on standard error.

    Returns:
        Sections that do not apply (gates of a plain RNN, say) are left out and say why.

    Raises:
        DataError: data that cannot be used: empty, NaN among bare arrays, too short for any measurement.
        OptionError: an unknown effort, layer or example.
        BundleError: a model file that cannot be read.

    Example:
        >>> import numpy as np
        >>> from hiddenstate.lens.examples import decaying
        >>> made = report(decaying(0.5), [np.ones((40, 1)), np.arange(40.0)[:, None]], effort="quick")
        >>> made.sentences[2][:78]
        "The gradient of one step's loss shrinks to 0.5 of its size per step back (95% "
        >>> [part.left_out for part in made.parts if part.section.name == "gates"][0][:24]
        'this layer has no gates '
    """
    if effort not in EFFORTS:
        raise OptionError("unknown effort", where="effort", expected=list(EFFORTS), got=repr(effort))
    began = time.perf_counter()
    probe = open_probe(model)
    given = _setting(probe, data, SIZES[effort], layer=layer, example=example, seed=seed)
    chosen = [one for one in SECTIONS if EFFORTS.index(one.effort) <= EFFORTS.index(effort)]
    pass_s = _pass_seconds(given)
    parts = []
    with Display(len(chosen), shown=progress) as display:
        for section in chosen:
            display.begin(section.name, section.passes * pass_s)
            parts.append(_measured(section, given, display.advance))
            display.end()
    about = _about(probe, given) | {"effort": effort, "seed": seed, "seconds": time.perf_counter() - began}
    return Report(about, tuple(parts))


def _setting(
    probe: Probe, data: Any, sizes: tuple[int, int], *, layer: str | None, example: int, seed: int
) -> Setting:
    """The sample, and the sequence to show."""
    if isinstance(probe.model, Model) and isinstance(data, (str, os.PathLike)):
        data = arrays.read(probe.model, data)
    every = encoding.read(probe.model, data)
    if check_count(example, 1, "example") > len(every):
        raise OptionError("no such sequence", where="example", expected=f"1 to {len(every)}", got=example)
    steps, most = sizes
    sample = probe.read(every, steps=steps, sequences=most, seed=seed)
    shown = every[example - 1]
    if max(map(len, sample)) < 2:
        fix = "Give longer sequences: memory is what goes from one step to the next"
        raise DataError(
            "every sequence is a single step", where=shown.name, expected="two steps or more", fix=fix
        )
    return Setting(probe, sample, shown.cut(0, min(len(shown), SHOWN)), probe.layer(layer).name, seed)


def _measured(section: Section, given: Setting, advance: Callable) -> Part:
    """The section, or the reason why it does not apply to this model or this data."""
    setting = Setting(given.probe, given.sequences, given.example, given.layer, given.seed, advance)
    try:
        return Part(section, section.measure(setting))
    except (OptionError, DataError, BackendError) as error:
        return Part(section, None, str(error))


def _pass_seconds(given: Setting) -> float:
    """One forward and backward pass over the sample: what time estimates are multiples of."""
    began = time.perf_counter()
    made = given.probe.run(given.sequences)
    if all(layer.scan.backend == "native" for layer in given.probe.layers):
        made.backward(made.loss().d_output)
    return time.perf_counter() - began


def _about(probe: Probe, given: Setting) -> dict[str, Any]:
    lengths = [len(one) for one in given.sequences]
    return {
        "task": None if isinstance(probe.model, Model) else probe.model.task,
        "layers": [
            {"name": layer.name, "cell": layer.scan.cell.name, "units": layer.scan.sizes.hidden_size}
            for layer in probe.layers
        ],
        "layer": given.layer,
        "parameters": count_parameters(probe.spec),
        "sequences": len(lengths),
        "steps": sum(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "example": given.example.name,
        "hiddenstate": __version__,
    }
