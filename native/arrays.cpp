#include "arrays.hpp"

#include <cstring>

#include "tensors.hpp"

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

std::string python_type(nb::handle object) {
    return nb::type_name(object.type()).c_str();
}

}  // namespace

char code_of(nb::dlpack::dtype type) {
    using nb::dlpack::dtype_code;
    if (type.lanes != 1) return 0;
    if (type.code == std::uint8_t(dtype_code::Float)) return type.bits == 32 ? 'f' : type.bits == 64 ? 'd' : 0;
    if (type.code == std::uint8_t(dtype_code::Int) && type.bits == 64) return 'q';
    return type.code == std::uint8_t(dtype_code::Bool) ? '?' : 0;
}

Array::Array(nb::handle object, const char *name, Access access, bool optional) : name_(name) {
    if (optional && object.is_none()) return;
    present_ = true;
    bool found = find(object, access);
    if ((!found || !contiguous_) && access == Access::read && is_torch(object)) {
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
    return PyObject_CheckBuffer(object.ptr()) ? from_buffer(object, access) : from_dlpack(object);
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

bool Array::from_dlpack(nb::handle object) {
    nb::dlpack::dltensor tensor;
    if (view_tensor(object, tensor)) return take(tensor);
    // torch hands over nothing that needs a gradient
    if (!nb::try_cast(is_torch(object) ? object.attr("detach")() : nb::borrow(object), tensor_, false)) return false;
    tensor.data = tensor_.data();
    tensor.device = {tensor_.device_type(), tensor_.device_id()};
    tensor.ndim = std::int32_t(tensor_.ndim());
    tensor.dtype = tensor_.dtype();
    tensor.shape = const_cast<std::int64_t *>(tensor_.shape_ptr());
    tensor.strides = const_cast<std::int64_t *>(tensor_.stride_ptr());
    return take(tensor);
}

bool Array::take(const nb::dlpack::dltensor &tensor) {
    if (tensor.device.device_type != nb::device::cpu::value || tensor.ndim > most_axes) return false;
    data_ = static_cast<char *>(tensor.data) + tensor.byte_offset;
    rank_ = tensor.ndim;
    type_ = code_of(tensor.dtype);
    Index count = 1;
    for (int axis = rank_ - 1; axis >= 0; --axis) {
        shape_[axis] = tensor.shape[axis];
        if (shape_[axis] > 1 && tensor.strides && tensor.strides[axis] != count) contiguous_ = false;
        count *= shape_[axis];
    }
    if (!count) contiguous_ = true;
    bytes_ = count * tensor.dtype.bits / 8;
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
