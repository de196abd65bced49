// The Python classes Plan and Linear: packed weights and what is known about them.
#pragma once

#include "arrays.hpp"
#include "dispatch.hpp"

namespace hiddenstate {

// Packed weights of either number type.
class PackedWeights {
 public:
    ~PackedWeights();
    PackedWeights(const PackedWeights &) = delete;
    PackedWeights &operator=(const PackedWeights &) = delete;

    template <class Field>
    Index get(Field field) const {
        return f32_ ? field(*f32_) : field(*f64_);
    }

    const char *dtype() const { return f32_ ? "float32" : "float64"; }
    Index inputs() const {
        return get([](const auto &p) { return p.inputs; });
    }
    Index out() const {
        return get([](const auto &p) { return p.out; });
    }

    // Calls visit(plan, kernels) for the number type of the weights.
    template <class Visit>
    void visit(Visit call) const {
        if (f32_)
            call(f32_, kernels<float>());
        else
            call(f64_, kernels<double>());
    }

 protected:
    PackedWeights() = default;

    Plan<float> *f32_ = nullptr;
    Plan<double> *f64_ = nullptr;
};

class LayerPlan : public PackedWeights {
 public:
    LayerPlan(const std::string &cell, nb::handle weight_ih, nb::handle weight_hh, nb::handle bias_ih,
              nb::handle bias_hh, nb::handle weight_hr, bool backward);

    const std::string &cell() const { return cell_; }
    Index hidden() const {
        return get([](const auto &p) { return p.hidden; });
    }
    Index proj() const {
        return get([](const auto &p) { return p.proj; });
    }
    bool has_backward() const {
        return get([](const auto &p) { return p.has_backward; });
    }
    Index gates() const { return gates_; }
    Index fields() const { return fields_; }
    bool has_cell_state() const { return cell_state_; }

    // Throws ShapeError when an array is given that this cell has no use for.
    void refuse(const Array &array) const;
    // Throws BackendError unless the plan was packed for backward.
    void require_backward() const;

 private:
    std::string cell_;
    Index gates_, fields_;
    bool cell_state_;
};

class LinearPlan : public PackedWeights {
 public:
    LinearPlan(nb::handle weight, nb::handle bias);
};

// Names of what the forward pass keeps of every step. Throws OptionError for an unknown cell.
nb::tuple tape_fields(const std::string &cell);

}  // namespace hiddenstate
