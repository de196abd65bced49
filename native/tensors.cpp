#include "tensors.hpp"

#include <cstdint>
#include <string>

#include "arrays.hpp"
#include "scratch.hpp"

namespace hiddenstate {

namespace {

constexpr std::size_t most_axes = 4;

// https://dmlc.github.io/dlpack/latest/c_api.html, from 1.3 on
struct Version {
    std::uint32_t major, minor;
};
struct ManagedTensor {
    Version version;
    void *context;
    void (*deleter)(ManagedTensor *self);
    std::uint64_t flags;
    nb::dlpack::dltensor tensor;
};
struct DlpackTable {
    Version version;
    DlpackTable *previous;
    void *allocate, *own;
    // 0, or -1 with a Python error set:
    int (*wrap)(ManagedTensor *tensor, void **object);
    int (*view)(void *object, nb::dlpack::dltensor *out);
};

// Loaded when the first tensor comes.
struct Torch {
    PyTypeObject *tensor, *parameter;
    PyObject *is_neg;
    const DlpackTable *table = nullptr;

    Torch() {
        const nb::module_ torch = nb::module_::import_("torch");
        auto type = [](const nb::object &kept) {
            return reinterpret_cast<PyTypeObject *>(nb::object(kept).release().ptr());
        };
        tensor = type(torch.attr("Tensor"));
        parameter = type(torch.attr("nn").attr("Parameter"));
        is_neg = PyUnicode_InternFromString("is_neg");
        const nb::object capsule = nb::getattr(torch.attr("Tensor"), "__dlpack_c_exchange_api__", nb::none());
        if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return;
        table = static_cast<DlpackTable *>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
        while (table && table->version.major > 1) table = table->previous;
        if (table && !table->view) table = nullptr;
    }

    // Null unless `object` is a plain tensor.
    static const Torch *of(nb::handle object) {
        static const Torch *torch = nullptr;
        PyTypeObject *type = Py_TYPE(object.ptr());
        if (!torch) {
            const std::string name = type->tp_name;
            if (name != "Tensor" && name != "Parameter") return nullptr;
            if (!PyDict_GetItemString(PyImport_GetModuleDict(), "torch")) return nullptr;
            torch = new Torch;
        }
        return type == torch->tensor || type == torch->parameter ? torch : nullptr;
    }

    bool see(nb::handle object, nb::dlpack::dltensor &out) const {
        const bool seen = table && table->view(object.ptr(), &out) == 0;
        PyErr_Clear();  // the caller tries another way, which says what is wrong
        return seen;
    }
};

struct Shape {
    std::size_t axes = 0;
    std::size_t sizes[most_axes];

    explicit Shape(nb::handle given) {
        nb::dlpack::dltensor tensor;
        const Torch *torch = Torch::of(given);
        if (torch && torch->see(given, tensor)) {
            for (Index i = 0; i < tensor.ndim; ++i) add(tensor.shape[i]);
            return;
        }
        nb::tuple sizes;
        if (!nb::try_cast(is_torch(given) ? given.attr("shape") : nb::borrow(given), sizes))
            raise_error("ShapeError", "not a shape", "shapes", "a tuple of sizes, a tensor or None",
                        nb::type_name(given.type()).c_str());
        for (const nb::handle size : sizes) add(nb::cast<Index>(size));
    }

    void add(Index size) {
        if (axes == most_axes || size < 0)
            raise_error("ShapeError", "not a shape of the kernels' arrays", "shapes",
                        "at most " + std::to_string(most_axes) + " sizes from 0 on", "");
        sizes[axes++] = std::size_t(size);
    }

    std::size_t numbers() const {
        std::size_t product = 1;
        for (std::size_t i = 0; i < axes; ++i) product *= sizes[i];
        return product;
    }
};

// A tensor and its memory, from which torch makes one of its own without a copy.
struct Lent {
    ManagedTensor managed;
    std::int64_t shape[most_axes], strides[most_axes];

    Lent(void *memory, const Shape &of, nb::dlpack::dtype type) : managed{} {
        std::int64_t step = 1;
        for (std::size_t i = of.axes; i-- > 0; step *= shape[i]) {
            shape[i] = std::int64_t(of.sizes[i]);
            strides[i] = step;
        }
        managed.version = {1, 0};
        managed.context = this;
        managed.deleter = [](ManagedTensor *self) {
            release_aligned(self->tensor.data);
            delete static_cast<Lent *>(self->context);
        };
        auto &tensor = managed.tensor;
        tensor.data = memory;
        tensor.device = {nb::device::cpu::value, 0};
        tensor.ndim = std::int32_t(of.axes);
        tensor.dtype = type;
        tensor.shape = shape;
        tensor.strides = strides;
    }
};

nb::object new_tensor(const DlpackTable *table, const Shape &shape, bool wide) {
    void *memory = allocate_aligned(shape.numbers() * (wide ? sizeof(double) : sizeof(float)), nullptr);
    if (!table) {
        const nb::capsule owner(memory, [](void *p) noexcept { release_aligned(p); });
        if (wide) return nb::cast(nb::ndarray<nb::pytorch, double>(memory, shape.axes, shape.sizes, owner));
        return nb::cast(nb::ndarray<nb::pytorch, float>(memory, shape.axes, shape.sizes, owner));
    }
    void *object = nullptr;
    auto *lent = new Lent(memory, shape, wide ? nb::dtype<double>() : nb::dtype<float>());
    if (table->wrap(&lent->managed, &object) != 0) throw nb::python_error();
    return nb::steal(static_cast<PyObject *>(object));
}

}  // namespace

bool view_tensor(nb::handle object, nb::dlpack::dltensor &out) {
    const Torch *torch = Torch::of(object);
    if (!torch || !torch->table) return false;
    const nb::object negated = nb::steal(PyObject_CallMethodNoArgs(object.ptr(), torch->is_neg));
    PyErr_Clear();
    return negated.ptr() == Py_False && torch->see(object, out);
}

bool is_torch(nb::handle object) {
    return PyObject_HasAttrString(object.ptr(), "resolve_neg");
}

nb::list new_tensors(nb::handle like, nb::list shapes) {
    const Torch *torch = Torch::of(like);
    nb::dlpack::dltensor seen;
    char type = 0;
    if (torch) type = torch->see(like, seen) ? code_of(seen.dtype) : Array(like, "like", Access::read).type();
    if (type != 'f' && type != 'd')
        raise_error("ShapeError", "not a tensor of a dtype that the kernels have", "like", "float32 or float64", "");
    nb::list found;
    for (const nb::handle shape : shapes)
        found.append(shape.is_none() ? nb::none() : new_tensor(torch->table, Shape(shape), type == 'd'));
    return found;
}

}  // namespace hiddenstate
