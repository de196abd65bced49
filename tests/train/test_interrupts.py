"""Ctrl-C and SIGTERM: the best so far is kept, and a second one really stops."""

import os
import signal
import threading

import pytest

from hiddenstate.train import Callback, Config, fit
from train.toys import Regression, Scripted, line, same_weights


class Signal(Callback):
    """Sends this process a signal at the given updates."""

    def __init__(self, number, *updates):
        self.number, self.updates = number, updates

    def update(self, run):
        if run.updates in self.updates:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ends_training_with_the_best_weights(number, tmp_path):
    job, module = Scripted([3.0, 1.0, 2.0, 0.5]), line()
    report = fit(module, job, Config(epochs=9), progress=False, callbacks=[Signal(number, 17)])
    assert report.interrupted
    assert (report.updates, report.epochs, report.best_epoch) == (17, 3, 2)
    assert same_weights(module, job.seen[1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_before_the_first_epoch_ends_the_present_weights_stay():
    module = line()
    report = fit(module, Regression(), Config(epochs=9), progress=False, callbacks=[Signal(signal.SIGINT, 2)])
    assert (report.updates, report.best_epoch) == (2, None)
    assert not same_weights(module, line().state_dict())


def test_the_second_stops_at_once():
    class Twice(Callback):
        def gradients(self, run):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(line(), Regression(), Config(epochs=9), progress=False, callbacks=[Twice()])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_interrupted_training_is_saved_and_goes_on(tmp_path):
    expected, module = line(), line()
    fit(expected, Regression(), Config(epochs=4), progress=False)
    first = fit(
        line(), Regression(), Config(epochs=4), checkpoint=tmp_path, progress=False,
        callbacks=[Signal(signal.SIGINT, 13)],
    )  # fmt: skip
    second = fit(module, Regression(), Config(epochs=4), checkpoint=tmp_path, progress=False)
    assert (first.updates, second.updates, second.stopped) == (13, 20, "epochs")
    assert same_weights(module, expected.state_dict())


def test_a_programs_own_handler_is_kept():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        spy = Signal(signal.SIGINT, 2)
        report = fit(line(), Regression(), Config(epochs=2), progress=False, callbacks=[spy])
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]
    assert report.stopped == "epochs"


def test_training_works_outside_the_main_thread():
    reports = []
    thread = threading.Thread(
        target=lambda: reports.append(fit(line(), Regression(), Config(epochs=1), progress=False))
    )
    thread.start()
    thread.join()
    assert reports[0].stopped == "epochs"
