"""The errors of the project: one root, leaves that also inherit the matching built-in.

Every message says what is wrong, where, what was expected, what was found and what to do::

    HiddenStateError
    ├── ShapeError          (ValueError)      an array of the wrong rank, size or dtype
    ├── OptionError         (ValueError)      an argument outside its range or choices
    ├── SpecError           (ValueError)      a model description that does not hold together
    ├── StateError          (ValueError)      a state, snapshot or session that does not fit the model
    ├── DataError           (ValueError)      input data: file, column, row
    ├── BundleError         (ValueError)      a model file that cannot be read or written
    ├── NotFittedError      (ValueError, AttributeError)   used before ``fit``
    ├── DivergedError       (ArithmeticError) training left the finite numbers
    ├── BackendError        (RuntimeError)    native kernels missing or failing
    └── MissingExtraError   (ImportError)     an optional dependency, with its install command
"""

from __future__ import annotations

from typing import Any


class HiddenStateError(Exception):
    """Root of all errors raised on purpose.

    Args:
        what: one sentence: what is wrong.
        where: file, row, column, argument or block it concerns.
        expected: what would have been right.
        got: what was found.
        fix: what the user can do.

    The parts stay readable as attributes; ``str(error)`` joins them.

    Example:
        >>> str(DataError("target column missing", where="sales.csv", expected="'price'", got="'day'"))
        "target column missing (in sales.csv): expected 'price', got 'day'"
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        text = self.what
        if self.where is not None:
            text += f" (in {self.where})"
        found = [
            f"{word} {value}"
            for word, value in (("expected", self.expected), ("got", self.got))
            if value is not None
        ]
        if found:
            text += ": " + ", ".join(found)
        if self.fix:
            text += f". {self.fix}"
        return text

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.what, self.where, self.expected, self.got, self.fix)


def _rebuild(cls: type[HiddenStateError], what: str, where, expected, got, fix) -> HiddenStateError:
    """Keyword arguments survive pickling (worker processes send errors to their parent)."""
    return cls(what, where=where, expected=expected, got=got, fix=fix)


class ShapeError(HiddenStateError, ValueError):
    """An array has the wrong rank, size or dtype."""


class OptionError(HiddenStateError, ValueError):
    """An argument lies outside its range or choices."""


class SpecError(HiddenStateError, ValueError):
    """A model description does not hold together."""


class StateError(HiddenStateError, ValueError):
    """A state, snapshot or session does not fit the model."""


class DataError(HiddenStateError, ValueError):
    """Input data cannot be used as it is."""


class BundleError(HiddenStateError, ValueError):
    """A model file cannot be read or written."""


class NotFittedError(HiddenStateError, ValueError, AttributeError):
    """A method that needs a trained model was called before ``fit``."""


class DivergedError(HiddenStateError, ArithmeticError):
    """The loss, the gradient or the validation score stopped being a finite number.

    The network keeps the best weights so far; ``report`` (set by the training loop) says how far it came.
    """

    report: Any = None


class BackendError(HiddenStateError, RuntimeError):
    """The native kernels are missing or failed."""


class MissingExtraError(HiddenStateError, ImportError):
    """An optional dependency is not installed.

    Example:
        >>> str(MissingExtraError.of("torch", extra="train"))
        "torch is not installed. Install it with: pip install 'hiddenstate[train]'"
    """

    @classmethod
    def of(cls, package: str, *, extra: str) -> MissingExtraError:
        """The error for ``package``, which comes with ``hiddenstate[extra]``."""
        return cls(f"{package} is not installed", fix=f"Install it with: pip install 'hiddenstate[{extra}]'")
