"""C++ kernels: one layer in one direction over a whole sequence, forward and backward, and row-wise linear maps.

The compiled half is ``native._core`` (sources in ``native/`` of the repository). This module is its only door.
Arrays enter as C-contiguous numpy arrays or torch CPU tensors that require no gradient, all of one dtype (float32 or
float64); outputs are allocated by the caller, so that numpy and torch share one path.

Letters: T steps, B rows, I inputs, H hidden units, P projected size, R = P or H (width of ``h``), N = sum of lengths.

Cells: ``"rnn_tanh"``, ``"rnn_relu"``, ``"lstm"``, ``"gru"`` (reset after the product), ``"gru_before"``.
"""
