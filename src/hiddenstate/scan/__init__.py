"""A cell over a sequence: rows of any length, resets inside rows, either direction, several layers.

scan          one layer in one direction: output and last state
record        the same, with the activations of every step and all gradients
Layer         a cell with its weights prepared once, for many scans or single steps
scan_python   the same recurrence by the cell's Python step, on the arrays of any library
stack         layers on layers, both directions
"""

from .layer import Layer, record, scan
from .loop import scan_python
from .recording import Gradients, Recording
from .stack import stack

__all__ = ["Gradients", "Layer", "Recording", "record", "scan", "scan_python", "stack"]
