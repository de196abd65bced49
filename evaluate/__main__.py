"""Runs the evaluations in turn: ``python -m evaluate [forecast] [classify] [language] [recurrence]``."""

import sys
from importlib import import_module

NAMES = ("forecast", "classify", "language", "recurrence")


def main() -> None:
    names = sys.argv[1:] or NAMES
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"evaluate: unknown {sorted(unknown)}, expected some of {', '.join(NAMES)}")
    sys.argv[1:] = []  # each evaluation has options of its own: python -m evaluate.forecast --help
    for name in names:
        import_module(f"evaluate.{name}").main()


if __name__ == "__main__":
    main()
