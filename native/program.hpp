// Calls on fixed arrays, checked once: single steps, linear maps, and lists of them that run in one call.
#pragma once

#include <memory>
#include <vector>

#include "plans.hpp"

namespace hiddenstate {

constexpr double release_gil_above = 2e5;  // operations: below, handing the interpreter over costs more than the work

// Something to do with arrays that were checked when it was made. Runs without the interpreter's lock.
class Operation {
 public:
    Operation() = default;
    Operation(const Operation &) = delete;
    Operation &operator=(const Operation &) = delete;
    virtual ~Operation() = default;
    virtual void run() const = 0;
    // Floating-point operations of one run.
    virtual double work() const { return 0; }
};

// One step of a layer. Throws ShapeError when an array does not fit.
class Step : public Operation {
 public:
    Step(const LayerPlan &plan, nb::handle x, nb::handle h, nb::handle c, nb::handle h_out, nb::handle c_out);
    void run() const override;
    double work() const override;

 private:
    const LayerPlan &plan_;
    const Array x_, h_, c_, h_out_, c_out_;
};

// y = b + x W^T. Throws ShapeError when an array does not fit.
class LinearMap : public Operation {
 public:
    LinearMap(const LinearPlan &plan, nb::handle x, nb::handle y);
    void run() const override;
    double work() const override;

 private:
    const LinearPlan &plan_;
    const Array x_, y_;
};

// Runs with the interpreter released when there is enough to do.
void run_released(const Operation &operation);

// Operations one after the other. Keeps the arrays and plans that it was made from.
class Program : public Operation {
 public:
    explicit Program(nb::list operations);
    void run() const override;
    double work() const override { return work_; }

 private:
    nb::list kept_;
    std::vector<std::unique_ptr<Operation>> operations_;
    double work_ = 0;
};

// Copies float32 values into a target of the same shape. False: something else, or not all finite.
bool fill(nb::handle target, nb::handle values);
// The same for every row of target [B, n], from B arrays [n].
bool fill_rows(nb::handle target, nb::list rows);

}  // namespace hiddenstate
