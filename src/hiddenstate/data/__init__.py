"""Files and objects in memory to tables, tables to series, series to batches; and answers back to files.

read, read_chunks, read_text   a file, standard input or a frame -> Table (or its text)
group, regular                 Table -> Series, in time order, on a regular grid
cut_in_time, split             train, validation and test parts
buckets, pad, pack_lanes ...   sequences of unequal length -> arrays
write                          columns -> a file, completely or not at all
"""

from __future__ import annotations

from .batches import Lanes, buckets, pack_lanes, pad, split_lanes, unpad, windows
from .frequency import Frequency, infer_frequency
from .read import read, read_chunks, read_text
from .series import Series, group, regular
from .splits import Cut, Split, cut_in_time, split
from .table import Table
from .write import write

__all__ = [
    "Cut",
    "Frequency",
    "Lanes",
    "Series",
    "Split",
    "Table",
    "buckets",
    "cut_in_time",
    "group",
    "infer_frequency",
    "pack_lanes",
    "pad",
    "read",
    "read_chunks",
    "read_text",
    "regular",
    "split",
    "split_lanes",
    "unpad",
    "windows",
    "write",
]
