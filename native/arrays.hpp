// Arrays at the binding: numpy arrays through the buffer protocol, torch CPU tensors through DLPack's table of C
// functions where torch has it, and what else speaks DLPack.
// Every check that a caller's array must pass is here, so that the kernels need none.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <initializer_list>
#include <string>

#include "kernels.hpp"

namespace hiddenstate {

namespace nb = nanobind;

enum class Access { read, write };

// One axis as the message names it: {"B", 32}; size -1 accepts any.
struct Axis {
    const char *name;
    Index size;
};

// 'f', 'd', 'q', '?', or 0 for others.
char code_of(nb::dlpack::dtype type);

class Array {
 public:
    // Throws ShapeError unless `object` is a C-contiguous CPU array (writable when written to); a torch tensor that is
    // read may be strided or negated, and is copied then. None gives an empty view when `optional`.
    Array(nb::handle object, const char *name, Access access, bool optional = false);
    ~Array();
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    // Throws ShapeError unless rank and sizes are these. Does nothing when absent.
    void expect(std::initializer_list<Axis> axes) const;
    // The same for a state, which may have torch's axis of layers, of size 1, in front.
    void expect_state(std::initializer_list<Axis> axes) const;
    // Throws ShapeError unless the type is T (float, double, Index, bool).
    template <class T>
    T *as() const {
        require_type(type_code<T>());
        return static_cast<T *>(data_);
    }

    bool present() const { return present_; }
    char type() const { return type_; }  // see code_of
    Index size(int axis) const { return shape_[axis]; }
    int rank() const { return rank_; }
    void *data() const { return data_; }
    std::size_t bytes() const { return std::size_t(bytes_); }
    const char *name() const { return name_; }
    bool overlaps(const Array &other) const;
    bool same_memory(const Array &other) const { return data_ == other.data_ && bytes_ == other.bytes_; }

 private:
    template <class T>
    static constexpr char type_code() {
        if constexpr (sizeof(T) == 1)
            return '?';
        else if constexpr (std::is_integral_v<T>)
            return 'q';
        else
            return sizeof(T) == 4 ? 'f' : 'd';
    }
    bool find(nb::handle object, Access access);
    bool from_buffer(nb::handle object, Access access);
    bool from_dlpack(nb::handle object);
    bool take(const nb::dlpack::dltensor &tensor);
    void require_type(char type) const;
    bool fits(std::initializer_list<Axis> axes, int first) const;
    std::string describe() const;

    static constexpr int most_axes = 4;
    const char *name_;
    void *data_ = nullptr;
    Index bytes_ = 0;
    Index shape_[most_axes] = {};
    int rank_ = 0;
    char type_ = 0;
    bool present_ = false, contiguous_ = true, has_buffer_ = false;
    Py_buffer buffer_;
    nb::ndarray<> tensor_;
    nb::object copy_;
};

// Throws ShapeError when a written array shares memory with another one. h_n may be h0 and c_n may be c0: pairs listed
// in `shared` are left out.
void refuse_overlaps(std::initializer_list<const Array *> written, std::initializer_list<const Array *> others);

// Raise errors of hiddenstate.errors.
[[noreturn]] void raise_error(const char *type, const std::string &what, const std::string &where,
                              const std::string &expected, const std::string &got);

}  // namespace hiddenstate
