"""Files and objects in memory to tables, series and batches."""

from __future__ import annotations

from .read import read, read_chunks, read_text
from .table import Table

__all__ = ["Table", "read", "read_chunks", "read_text"]
