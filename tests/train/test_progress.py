"""The progress display: silent, in lines, and live."""

import io
import re
import sys

import pytest

from hiddenstate.train import Config, fit, progress
from train.toys import Regression, Scripted, line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, *, wanted=True, **settings):
    monkeypatch.setattr(sys, "stderr", stream)
    fit(line(), Regression(held_back=True), Config(**settings), progress=wanted)
    return stream.getvalue()


def test_silent_when_not_wanted(monkeypatch):
    assert shown(monkeypatch, Terminal(), wanted=False, epochs=3) == ""


def test_a_short_training_writes_nothing_to_a_pipe(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), epochs=3) == ""


def test_no_standard_error_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert fit(line(), Regression(), Config(epochs=1)).epochs == 1


def test_a_long_training_writes_a_line_per_epoch_at_most(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    text = shown(monkeypatch, io.StringIO(), epochs=3)
    number = r"[\d.e+-]+"
    pattern = rf"epoch (\d)/3  loss {number}  validation {number}  best {number} \(epoch \d\)  \d+ s, (.*)"
    found = [re.fullmatch(pattern, row).groups() for row in text.splitlines()]
    left = [(str(epoch), "about 0 s left") for epoch in (1, 2, 3)]
    assert found == [*left, ("3", "ended by epochs")]


def test_a_terminal_shows_epoch_batch_and_best(monkeypatch):
    monkeypatch.setattr(progress, "LIVE_EVERY_S", 0.0)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    text = shown(monkeypatch, Terminal(), epochs=2)
    for part in (r"left  epoch 1/2  loss \S+  batch 1/5", r"epoch 2/2  .*validation .*best .*batch 4/5"):
        assert re.search(part, text)
    assert text.endswith(("\n", "\x1b[?25h"))  # the cursor is back


def test_the_display_is_closed_on_errors(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(ArithmeticError):
        fit(line(), Scripted([float("nan")]), Config(epochs=1))
    assert stream.getvalue().endswith(("\n", "\x1b[?25h"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.9, "1:00"), (61, "1:01"), (3600, "1:00:00"), (7384, "2:03:04")],
)
def test_durations(seconds, text):
    assert progress._duration(seconds) == text
