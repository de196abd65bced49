#include "arrays.hpp"

#include <cstring>

namespace hiddenstate {

void raise_error(const char *type, const std::string &what, const std::string &where, const std::string &expected,
                 const std::string &got) {
    nb::object error_type = nb::module_::import_("hiddenstate.errors").attr(type);
    nb::dict parts;
    auto add = [&parts](const char *key, const std::string &value) {
        if (!value.empty()) parts[key] = value;
    };
    add("where", where);
    add("expected", expected);
    add("got", got);
    nb::object error = error_type(what, **parts);
    PyErr_SetObject(error_type.ptr(), error.ptr());
    throw nb::python_error();
}

namespace {

const char *type_name(char type) {
    switch (type) {
        case 'f': return "float32";
        case 'd': return "float64";
        case 'q': return "int64";
        case '?': return "bool";
        default: return "another type";
    }
}

char code_of_format(const char *format, Index item_size) {
    if (!format || format[0] == '\0' || format[1] != '\0') return 0;
    switch (format[0]) {
        case 'f':
        case 'd':
        case '?': return format[0];
        case 'l':
        case 'q': return item_size == 8 ? 'q' : 0;
        default: return 0;
    }
}

char code_of_dlpack(nb::dlpack::dtype type) {
    using nb::dlpack::dtype_code;
    if (type.lanes != 1) return 0;
    if (type.code == std::uint8_t(dtype_code::Float)) return type.bits == 32 ? 'f' : type.bits == 64 ? 'd' : 0;
    if (type.code == std::uint8_t(dtype_code::Int) && type.bits == 64) return 'q';
    return type.code == std::uint8_t(dtype_code::Bool) ? '?' : 0;
}

// What is asked of torch's tensors. Loaded when the first one comes: torch is in the process then.
struct Torch {
    PyTypeObject *tensor, *parameter;
    PyObject *data_ptr, *is_contiguous, *is_cpu, *is_neg, *dtype, *shape;  // names
    struct {
        PyObject *dtype;
        char type;
        Index bytes;
    } types[4];

    Torch() {
        const nb::module_ torch = nb::module_::import_("torch");
        auto kept = [](const nb::object &object) { return nb::object(object).release().ptr(); };
        auto type = [&](nb::handle of, const char *name) {
            return reinterpret_cast<PyTypeObject *>(kept(of.attr(name)));
        };
        tensor = type(torch, "Tensor");
        parameter = type(torch.attr("nn"), "Parameter");
        data_ptr = PyUnicode_InternFromString("data_ptr");
        is_contiguous = PyUnicode_InternFromString("is_contiguous");
        is_cpu = PyUnicode_InternFromString("is_cpu");
        is_neg = PyUnicode_InternFromString("is_neg");
        dtype = PyUnicode_InternFromString("dtype");
        shape = PyUnicode_InternFromString("shape");
        types[0] = {kept(torch.attr("float32")), 'f', 4};
        types[1] = {kept(torch.attr("float64")), 'd', 8};
        types[2] = {kept(torch.attr("int64")), 'q', 8};
        types[3] = {kept(torch.attr("bool")), '?', 1};
    }

    // Torch, if that is what `object` comes from; a subclass of its tensors may be anything.
    static const Torch *of(nb::handle object) {
        static const Torch *torch = nullptr;
        const PyTypeObject *type = Py_TYPE(object.ptr());
        if (!torch) {
            const std::string name = type->tp_name;
            if (name != "Tensor" && name != "Parameter") return nullptr;
            if (!PyDict_GetItemString(PyImport_GetModuleDict(), "torch")) return nullptr;
            torch = new Torch;
        }
        return type == torch->tensor || type == torch->parameter ? torch : nullptr;
    }
};

std::string python_type(nb::handle object) {
    return nb::type_name(object.type()).c_str();
}

}  // namespace

Array::Array(nb::handle object, const char *name, Access access, bool optional) : name_(name) {
    if (optional && object.is_none()) return;
    present_ = true;
    bool found = find(object, access);
    if ((!found || !contiguous_) && access == Access::read && PyObject_HasAttrString(object.ptr(), "resolve_neg")) {
        copy_ = object.attr("resolve_neg")().attr("contiguous")();
        contiguous_ = true;
        found = find(copy_, access);
    }
    if (!found)
        raise_error(
            "ShapeError", "not an array that the kernels can use", name,
            access == Access::write ? "a writable C-contiguous array on the CPU" : "a C-contiguous array on the CPU",
            python_type(object));
    if (!contiguous_)
        raise_error("ShapeError", "array is not C-contiguous", name, "C order", describe() + " with strides");
}

Array::~Array() {
    if (has_buffer_) PyBuffer_Release(&buffer_);
}

bool Array::find(nb::handle object, Access access) {
    return PyObject_CheckBuffer(object.ptr()) ? from_buffer(object, access) : from_torch(object) || from_dlpack(object);
}

bool Array::from_buffer(nb::handle object, Access access) {
    const int flags = PyBUF_STRIDES | PyBUF_FORMAT | (access == Access::write ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object.ptr(), &buffer_, flags) != 0) {
        PyErr_Clear();
        return false;
    }
    has_buffer_ = true;
    if (buffer_.ndim > most_axes) return false;
    data_ = buffer_.buf;
    bytes_ = buffer_.len;
    rank_ = buffer_.ndim;
    type_ = code_of_format(buffer_.format, buffer_.itemsize);
    Index step = buffer_.itemsize;
    for (int axis = rank_ - 1; axis >= 0; --axis) {
        shape_[axis] = buffer_.shape[axis];
        if (bytes_ && shape_[axis] > 1 && buffer_.strides[axis] != step) contiguous_ = false;
        step *= shape_[axis];
    }
    return true;
}

// False, without an error, where DLPack has to say what it is: not a plain tensor in memory.
bool Array::from_torch(nb::handle object) {
    const Torch *torch = Torch::of(object);
    if (!torch) return false;
    PyObject *self = object.ptr();
    auto owned = [](PyObject *result) {
        if (!result) PyErr_Clear();
        return nb::steal(result);
    };
    const nb::object cpu = owned(PyObject_GetAttr(self, torch->is_cpu));
    const nb::object negated = owned(PyObject_CallMethodNoArgs(self, torch->is_neg));
    if (cpu.ptr() != Py_True || negated.ptr() != Py_False) return false;
    const nb::object dtype = owned(PyObject_GetAttr(self, torch->dtype)),
                     shape = owned(PyObject_GetAttr(self, torch->shape));
    const nb::object dense = owned(PyObject_CallMethodNoArgs(self, torch->is_contiguous));
    const nb::object address = owned(PyObject_CallMethodNoArgs(self, torch->data_ptr));
    if (!dtype || !shape || !dense || !address || PyTuple_GET_SIZE(shape.ptr()) > most_axes) return false;
    Index count = 1, item = 0;
    for (const auto &known : torch->types)
        if (dtype.ptr() == known.dtype) type_ = known.type, item = known.bytes;
    rank_ = int(PyTuple_GET_SIZE(shape.ptr()));
    for (int axis = 0; axis < rank_; ++axis) {
        shape_[axis] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), axis));
        count *= shape_[axis];
    }
    data_ = PyLong_AsVoidPtr(address.ptr());
    bytes_ = count * item;
    contiguous_ = dense.ptr() == Py_True;
    return true;
}

bool Array::from_dlpack(nb::handle object) {
    if (!nb::try_cast(object, tensor_, false)) return false;
    if (tensor_.device_type() != nb::device::cpu::value || tensor_.ndim() > most_axes) return false;
    data_ = tensor_.data();
    bytes_ = Index(tensor_.nbytes());
    rank_ = int(tensor_.ndim());
    type_ = code_of_dlpack(tensor_.dtype());
    Index step = 1;
    for (int axis = rank_ - 1; axis >= 0; --axis) {
        shape_[axis] = Index(tensor_.shape(std::size_t(axis)));
        if (bytes_ && shape_[axis] > 1 && tensor_.stride(std::size_t(axis)) != step) contiguous_ = false;
        step *= shape_[axis];
    }
    return true;
}

std::string Array::describe() const {
    std::string text = std::string(type_name(type_)) + " [";
    for (int axis = 0; axis < rank_; ++axis) text += (axis ? ", " : "") + std::to_string(shape_[axis]);
    return text + "]";
}

void Array::require_type(char type) const {
    if (present_ && type_ != type)
        raise_error("ShapeError", "array has the wrong type", name_, type_name(type), describe());
}

// Whether the axes from `first` on are these.
bool Array::fits(std::initializer_list<Axis> axes, int first) const {
    if (rank_ != first + int(axes.size())) return false;
    for (const Axis &wanted : axes) {
        if (wanted.size >= 0 && shape_[first] != wanted.size) return false;
        ++first;
    }
    return true;
}

void Array::expect_state(std::initializer_list<Axis> axes) const {
    const bool of_one_layer = rank_ > 0 && shape_[0] == 1 && fits(axes, 1);
    if (!of_one_layer) expect(axes);
}

void Array::expect(std::initializer_list<Axis> axes) const {
    if (!present_ || fits(axes, 0)) return;
    std::string expected = "[";
    for (const Axis &wanted : axes) {
        if (expected.size() > 1) expected += ", ";
        expected += wanted.name;
        if (wanted.size >= 0) expected += "=" + std::to_string(wanted.size);
    }
    raise_error("ShapeError", "array has the wrong shape", name_, expected + "]", describe());
}

bool Array::overlaps(const Array &other) const {
    if (!bytes_ || !other.bytes_) return false;
    const char *mine = static_cast<const char *>(data_), *theirs = static_cast<const char *>(other.data_);
    return mine < theirs + other.bytes_ && theirs < mine + bytes_;
}

void refuse_overlaps(std::initializer_list<const Array *> written, std::initializer_list<const Array *> others) {
    auto refuse = [](const Array &a, const Array &b) {
        if (a.overlaps(b))
            raise_error("ShapeError", "output shares memory with another array", a.name(), "memory of its own",
                        std::string("an overlap with ") + b.name());
    };
    for (auto a = written.begin(); a != written.end(); ++a) {
        for (auto b = a + 1; b != written.end(); ++b) refuse(**a, **b);
        for (const Array *b : others) refuse(**a, *b);
    }
}

}  // namespace hiddenstate
