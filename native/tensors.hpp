// Torch's tensors, viewed and made through DLPack's table of C functions, which torch has from 2.10 on.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace hiddenstate {

namespace nb = nanobind;

// Fills `out` if `object` is a plain tensor in memory as it stands, and torch has the table. A subclass may be
// anything.
bool view_tensor(nb::handle object, nb::dlpack::dltensor &out);

// Whether `object` is a tensor of torch; its subclasses too.
bool is_torch(nb::handle object);

// Uninitialised tensors of the dtype of `like`, a plain float32 or float64 tensor on the CPU. `shapes` holds a tuple,
// or a tensor of that shape, or None for None. Their memory goes back to its keeper, for the next call, when nothing
// shows it any more; it cannot be resized.
nb::list new_tensors(nb::handle like, nb::list shapes);

}  // namespace hiddenstate
