"""A report as one page of HTML: no script, no network; for light and dark, screen, print, screen reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .figures import Picture
    from .report import Part, Report
    from .result import Measurement

STYLE = Path(__file__).with_name("page.css")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded, and no script runs, even if a label of the data tried to."""


def html(report: Report) -> str:
    """The page.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    parts = [part for part in report.parts if part.found]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>What this network remembers</title><style>{STYLE.read_text()}</style></head>",
            "<body><main>",
            "<h1>What this network remembers</h1>",
            _about(report.about),
            '<section class="short" aria-labelledby="short"><h2 id="short">In short</h2><ul>',
            *(f"<li>{escape(sentence)}</li>" for sentence in report.headlines),
            "</ul></section>",
            '<nav aria-label="Sections"><ul>',
            *(f'<li><a href="#{part.section.name}">{escape(part.section.title)}</a></li>' for part in parts),
            "</ul></nav>",
            *(line for part in parts for line in _section(part)),
            *_left_out(report.parts),
            "</main></body></html>",
            "",
        ]
    )


def _about(about: Mapping[str, Any]) -> str:
    stack = ", ".join(f"{one['name']} ({one['cell']}, {one['units']} units)" for one in about["layers"])
    task = f"a model of task '{about['task']}'" if about["task"] else "a network without a task"
    lengths = f"{about['shortest']} to {about['longest']} steps ({about['steps']:,} in all)"
    how = f"effort '{about['effort']}' and seed {about['seed']}, in {about['seconds']:.0f} s"
    text = (
        f"This is {task}, with {about['parameters']:,} weights; recurrent layers: {stack}. Looked at: "
        f"{about['layer']}. Measured on {about['sequences']} sequences of {lengths} with {how}, by "
        f"hiddenstate {about['hiddenstate']}. Numbers hold for this data; intervals are over its sequences."
    )
    return f'<p class="soft">{escape(text)}</p>'


def _section(part: Part) -> Iterator[str]:
    found, section = part.found, part.section
    if found is None:
        return
    yield f'<section aria-labelledby="{section.name}"><h2 id="{section.name}">{escape(section.title)}</h2>'
    for sentence in found.sentences:
        yield f"<p>{escape(sentence)}</p>"
    yield f'<p class="soft">{escape(section.intro)}</p>'
    for picture in found.pictures:
        yield _figure(picture)
    if found.measurements:
        yield "<details><summary>How this was measured</summary><dl>"
        for one in found.measurements:
            yield _how(one)
        yield "</dl></details>"
    yield "</section>"


def _how(found: Measurement) -> str:
    name = " ".join(_words(type(found).__name__))
    over = f"Interval: of {found.interval.of.replace('_', ' ')}, over {found.interval.sequences} sequences."
    return f"<dt>{escape(name)}</dt><dd>{escape(found.convention)}. {escape(over)}</dd>"


def _words(name: str) -> Iterator[str]:
    """``GradientThroughTime`` as words."""
    start = 0
    for end in [*(i for i, letter in enumerate(name) if i and letter.isupper()), len(name)]:
        yield name[start:end] if not start else name[start:end].lower()
        start = end


def _figure(picture: Picture) -> str:
    caption = f"caption-{picture.name}"
    return (
        f'<figure aria-labelledby="{caption}"><figcaption id="{caption}">{escape(picture.title)}</figcaption>'
        f'<div role="img" aria-label="{escape(picture.alt)}">{picture.svg()}</div>'
        f"{_table(picture)}</figure>"
    )


def _table(picture: Picture) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in picture.table)
    rows = zip(*picture.table.values(), strict=True)
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in rows)
    return (
        f'<details><summary>Table of this figure</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Table: {escape(picture.title)}"><table><caption>{escape(picture.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cells(row: Sequence[Any]) -> Iterator[str]:
    for value in row:
        text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        yield f"<td>{escape(text)}</td>"


def _left_out(parts: Sequence[Part]) -> Iterator[str]:
    gone = [part for part in parts if part.left_out is not None]
    if gone:
        yield '<section aria-labelledby="left-out"><h2 id="left-out">Left out</h2><ul>'
        for part in gone:
            yield f"<li><b>{escape(part.section.title)}</b> {escape(str(part.left_out))}.</li>"
        yield "</ul></section>"
