"""Forecasting: the next values of one or many series, from what was seen so far."""

from __future__ import annotations

from .estimator import Forecaster

__all__ = ["Forecaster"]
