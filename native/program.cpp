#include "program.hpp"

#include <cmath>
#include <cstring>

#include "team.hpp"

namespace hiddenstate {

using nb::handle;

Step::Step(const LayerPlan &plan, handle x, handle h, handle c, handle h_out, handle c_out)
    : plan_(plan),
      x_(x, "x", Access::read),
      h_(h, "h", Access::read, true),
      c_(c, "c", Access::read, true),
      h_out_(h_out, "h_out", Access::write),
      c_out_(c_out, "c_out", Access::write, !plan.has_cell_state()) {
    x_.expect({{"B", -1}, {"I", plan.inputs()}});
    const Axis B{"B", x_.size(0)}, R{"R", plan.out()}, H{"H", plan.hidden()};
    h_.expect({B, R});
    h_out_.expect({B, R});
    c_.expect({B, H});
    c_out_.expect({B, H});
    if (!plan.has_cell_state()) {
        plan.refuse(c_);
        plan.refuse(c_out_);
    }
    refuse_overlaps({&h_out_, &c_out_}, {&x_, &h_});
    if (!c_out_.same_memory(c_)) refuse_overlaps({&c_out_}, {&c_});
    plan.visit([&](const auto *, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        for (const Array *array : {&x_, &h_, &c_, &h_out_, &c_out_}) array->as<T>();
    });
}

void Step::run() const {
    plan_.visit([&](const auto *packed, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        kernels.step(*packed, x_.size(0), x_.as<T>(), h_.as<T>(), c_.as<T>(), h_out_.as<T>(), c_out_.as<T>(),
                     get_num_threads());
    });
}

double Step::work() const {
    return 2.0 * double(x_.size(0)) * double(plan_.gates() * plan_.hidden()) * double(plan_.inputs() + plan_.out());
}

LinearMap::LinearMap(const LinearPlan &plan, handle x, handle y)
    : plan_(plan), x_(x, "x", Access::read), y_(y, "y", Access::write) {
    x_.expect({{"N", -1}, {"I", plan.inputs()}});
    y_.expect({{"N", x_.size(0)}, {"O", plan.out()}});
    refuse_overlaps({&y_}, {&x_});
    plan.visit([&](const auto *, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        for (const Array *array : {&x_, &y_}) array->as<T>();
    });
}

void LinearMap::run() const {
    plan_.visit([&](const auto *packed, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        kernels.linear(*packed, x_.size(0), x_.as<T>(), y_.as<T>(), get_num_threads());
    });
}

double LinearMap::work() const {
    return 2.0 * double(x_.size(0)) * double(plan_.inputs()) * double(plan_.out());
}

void run_released(const Operation &operation) {
    if (operation.work() < release_gil_above) return operation.run();
    nb::gil_scoped_release released;
    operation.run();
}

namespace {

const Array &float_matrix(const Array &array, Index rows, Index columns) {
    array.expect({{"B", rows}, {"n", columns}});
    array.as<float>();
    return array;
}

// Negative values and zeros of x become 0; NaN stays.
class Relu : public Operation {
 public:
    explicit Relu(handle x) : x_(x, "x", Access::write) { float_matrix(x_, -1, -1); }
    void run() const override {
        float *x = x_.as<float>();
        for (Index i = 0; i < x_.size(0) * x_.size(1); ++i) x[i] = x[i] <= 0 ? 0.0f : x[i];
    }

 private:
    const Array x_;
};

// Several matrices of equally many rows into one: side by side, or added up.
class Join : public Operation {
 public:
    Join(handle out, nb::list sources, bool add) : out_(out, "out", Access::write), add_(add) {
        float_matrix(out_, -1, -1);
        Index columns = 0;
        for (handle source : sources) {
            sources_.push_back(std::make_unique<Array>(source, "source", Access::read));
            float_matrix(*sources_.back(), out_.size(0), add ? out_.size(1) : -1);
            refuse_overlaps({&out_}, {sources_.back().get()});
            columns += sources_.back()->size(1);
        }
        if (!add) out_.expect({{"B", out_.size(0)}, {"n", columns}});
    }
    void run() const override {
        for (Index b = 0, first = 0; b < out_.size(0); ++b, first = 0)
            for (const auto &source : sources_) {
                const Index n = source->size(1);
                float *to = out_.as<float>() + b * out_.size(1) + (add_ ? 0 : first);
                const float *from = source->as<float>() + b * n;
                for (Index i = 0; i < n; ++i) to[i] = add_ && first ? to[i] + from[i] : from[i];
                first += n;
            }
    }

 private:
    const Array out_;
    const bool add_;
    std::vector<std::unique_ptr<Array>> sources_;
};

// Rows of a table.
class Embed : public Operation {
 public:
    Embed(handle table, handle ids, handle out)
        : table_(table, "table", Access::read), ids_(ids, "ids", Access::read), out_(out, "out", Access::write) {
        ids_.expect({{"B", -1}});
        ids_.as<Index>();
        float_matrix(table_, -1, -1);
        float_matrix(out_, ids_.size(0), table_.size(1));
        refuse_overlaps({&out_}, {&table_, &ids_});
    }
    void run() const override {
        const Index n = table_.size(1), last = table_.size(0) - 1;
        for (Index b = 0; b < ids_.size(0); ++b) {
            const Index id = ids_.as<Index>()[b];
            const float *from = table_.as<float>() + (id < 0 ? 0 : id > last ? last : id) * n;
            std::memcpy(out_.as<float>() + b * n, from, std::size_t(n) * sizeof(float));
        }
    }

 private:
    const Array table_, ids_, out_;
};

std::unique_ptr<Operation> make_operation(nb::tuple parts) {
    const std::string kind = nb::cast<std::string>(parts[0]);
    if (kind == "step")
        return std::make_unique<Step>(nb::cast<const LayerPlan &>(parts[1]), parts[2], parts[3], parts[4], parts[5],
                                      parts[6]);
    if (kind == "linear")
        return std::make_unique<LinearMap>(nb::cast<const LinearPlan &>(parts[1]), parts[2], parts[3]);
    if (kind == "relu") return std::make_unique<Relu>(parts[1]);
    if (kind == "embed") return std::make_unique<Embed>(parts[1], parts[2], parts[3]);
    if (kind == "add" || kind == "concat")
        return std::make_unique<Join>(parts[1], nb::cast<nb::list>(parts[2]), kind == "add");
    raise_error("OptionError", "unknown operation", "operations", "step, linear, relu, embed, add or concat", kind);
}

// Whether all of n numbers are finite, after copying them.
bool copy_finite(float *to, const float *from, Index n) {
    std::uint32_t worst = 0;
    for (Index i = 0; i < n; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, from + i, sizeof bits);
        bits &= 0x7f800000u;
        worst = bits > worst ? bits : worst;
        to[i] = from[i];
    }
    return worst != 0x7f800000u;
}

// A plain array's numbers, when it is float32 with these sizes and in order; null for anything else.
struct Plain {
    Py_buffer buffer;
    const float *data = nullptr;

    Plain(handle object, const Array &target, int skipped) {
        if (!PyObject_CheckBuffer(object.ptr())) return;
        if (PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
            PyErr_Clear();
            return;
        }
        held = true;
        bool fits = buffer.format && !std::strcmp(buffer.format, "f") && buffer.ndim == target.rank() - skipped;
        for (int axis = 0; fits && axis < buffer.ndim; ++axis) fits = buffer.shape[axis] == target.size(axis + skipped);
        if (fits) data = static_cast<const float *>(buffer.buf);
    }
    ~Plain() {
        if (held) PyBuffer_Release(&buffer);
    }
    Plain(const Plain &) = delete;
    Plain &operator=(const Plain &) = delete;

 private:
    bool held = false;
};

}  // namespace

Program::Program(nb::list operations) : kept_(operations) {
    for (handle parts : operations) {
        operations_.push_back(make_operation(nb::cast<nb::tuple>(parts)));
        work_ += operations_.back()->work();
    }
}

void Program::run() const {
    for (const auto &operation : operations_) operation->run();
}

bool fill(handle target_, handle values_) {
    const Array target(target_, "target", Access::write);
    float_matrix(target, -1, -1);
    const Plain values(values_, target, 0);
    return values.data && copy_finite(target.as<float>(), values.data, target.size(0) * target.size(1));
}

bool fill_rows(handle target_, nb::list rows) {
    const Array target(target_, "target", Access::write);
    float_matrix(target, Index(rows.size()), -1);
    float *to = target.as<float>();
    for (handle row : rows) {
        const Plain values(row, target, 1);
        if (!values.data || !copy_finite(to, values.data, target.size(1))) return false;
        to += target.size(1);
    }
    return true;
}

}  // namespace hiddenstate
