// The Python module hiddenstate.native._core: checks, then one call into the kernels.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "program.hpp"
#include "scratch.hpp"
#include "team.hpp"
#include "tensors.hpp"

namespace hiddenstate {

namespace {

using nb::handle;

// The state and the segments of a call, checked against the plan.
struct Sequence {
    Array x, h0, c0, lengths, resets, rest_h, rest_c;
    Index steps, batch;

    Sequence(const LayerPlan &plan, handle x_, handle h0_, handle c0_, handle lengths_, handle resets_, handle rest_h_,
             handle rest_c_)
        : x(x_, "x", Access::read),
          h0(h0_, "h0", Access::read, true),
          c0(c0_, "c0", Access::read, true),
          lengths(lengths_, "lengths", Access::read, true),
          resets(resets_, "resets", Access::read, true),
          rest_h(rest_h_, "rest_h", Access::read, true),
          rest_c(rest_c_, "rest_c", Access::read, true) {
        x.expect({{"T", -1}, {"B", -1}, {"I", plan.inputs()}});
        steps = x.size(0);
        batch = x.size(1);
        const Axis B{"B", batch}, R{"R", plan.out()}, H{"H", plan.hidden()};
        h0.expect_state({B, R});
        c0.expect_state({B, H});
        lengths.expect({B});
        resets.expect({{"T", steps}, B});
        rest_h.expect({R});
        rest_c.expect({H});
        if (!plan.has_cell_state()) {
            plan.refuse(c0);
            plan.refuse(rest_c);
        }
        check_lengths();
    }

    void check_lengths() const {
        const Index *values = lengths.as<Index>();
        for (Index b = 0; values && b < batch; ++b)
            if (values[b] < 0 || values[b] > steps)
                raise_error("ShapeError", "length outside the sequence", "lengths[" + std::to_string(b) + "]",
                            "0 to T=" + std::to_string(steps), std::to_string(values[b]));
    }

    Index pairs() const {  // alive (row, step) pairs
        const Index *values = lengths.as<Index>();
        Index sum = values ? 0 : steps * batch;
        for (Index b = 0; values && b < batch; ++b) sum += values[b];
        return sum;
    }

    template <class T>
    Forward<T> call(const Plan<T> *plan, bool reverse, const Array &y, const Array &tape) const {
        Forward<T> call{};
        call.plan = plan;
        call.steps = steps;
        call.batch = batch;
        call.x = x.as<T>();
        call.h0 = h0.as<T>();
        call.c0 = c0.as<T>();
        call.lengths = lengths.as<Index>();
        call.resets = reinterpret_cast<const std::uint8_t *>(resets.as<bool>());
        call.rest_h = rest_h.as<T>();
        call.rest_c = rest_c.as<T>();
        call.reverse = reverse;
        call.y = y.as<T>();
        call.tape = tape.as<T>();
        call.threads = get_num_threads();
        return call;
    }
};

void check_tape(const LayerPlan &plan, const Array &tape, Index pairs) {
    tape.expect({{"N", -1}, {"fields*H", plan.fields() * plan.hidden()}});
    if (tape.present() && tape.size(0) < pairs)
        raise_error("ShapeError", "tape has too few rows", "tape", "at least N=" + std::to_string(pairs),
                    std::to_string(tape.size(0)));
}

void forward(const LayerPlan &plan, handle x, handle h0, handle c0, handle lengths, handle resets, handle rest_h,
             handle rest_c, bool reverse, handle y_, handle h_n_, handle c_n_, handle tape_) {
    const Sequence s(plan, x, h0, c0, lengths, resets, rest_h, rest_c);
    const Array y(y_, "y", Access::write), h_n(h_n_, "h_n", Access::write);
    const Array c_n(c_n_, "c_n", Access::write, !plan.has_cell_state()), tape(tape_, "tape", Access::write, true);
    y.expect({{"T", s.steps}, {"B", s.batch}, {"R", plan.out()}});
    h_n.expect_state({{"B", s.batch}, {"R", plan.out()}});
    c_n.expect_state({{"B", s.batch}, {"H", plan.hidden()}});
    check_tape(plan, tape, s.pairs());
    refuse_overlaps({&y, &h_n, &c_n, &tape}, {&s.x, &s.lengths, &s.resets, &s.rest_h, &s.rest_c});
    refuse_overlaps({&y, &tape}, {&s.h0, &s.c0});
    plan.visit([&](const auto *packed, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        Forward<T> call = s.call<T>(packed, reverse, y, tape);
        call.h_n = h_n.as<T>();
        call.c_n = c_n.as<T>();
        nb::gil_scoped_release released;
        for (const Array *out : {&y, &tape}) prefer_large_pages(out->data(), out->bytes());
        kernels.forward(call);
    });
}

void backward(const LayerPlan &plan, handle x, handle h0, handle c0, handle lengths, handle resets, handle rest_h,
              handle rest_c, bool reverse, handle y_, handle tape_, handle dy_, handle dh_n_, handle dc_n_, handle dx_,
              handle dh0_, handle dc0_, handle drest_h_, handle drest_c_, handle dweight_ih_, handle dweight_hh_,
              handle dbias_ih_, handle dbias_hh_, handle dweight_hr_, handle dh_steps_, handle dc_steps_) {
    plan.require_backward();
    const Sequence s(plan, x, h0, c0, lengths, resets, rest_h, rest_c);
    const Array y(y_, "y", Access::read), tape(tape_, "tape", Access::read, plan.fields() == 0);
    auto in = [](handle object, const char *name) { return Array(object, name, Access::read, true); };
    auto out = [](handle object, const char *name) { return Array(object, name, Access::write, true); };
    const Array dy = in(dy_, "dy"), dh_n = in(dh_n_, "dh_n"), dc_n = in(dc_n_, "dc_n");
    const Array dx = out(dx_, "dx"), dh0 = out(dh0_, "dh0"), dc0 = out(dc0_, "dc0");
    const Array drest_h = out(drest_h_, "drest_h"), drest_c = out(drest_c_, "drest_c");
    const Array dweight_ih = out(dweight_ih_, "dweight_ih"), dweight_hh = out(dweight_hh_, "dweight_hh");
    const Array dbias_ih = out(dbias_ih_, "dbias_ih"), dbias_hh = out(dbias_hh_, "dbias_hh");
    const Array dweight_hr = out(dweight_hr_, "dweight_hr");
    const Array dh_steps = out(dh_steps_, "dh_steps"), dc_steps = out(dc_steps_, "dc_steps");
    const Axis T_{"T", s.steps}, B{"B", s.batch}, R{"R", plan.out()}, H{"H", plan.hidden()}, I{"I", plan.inputs()};
    const Axis G{"G*H", plan.gates() * plan.hidden()};
    for (const Array *a : {&y, &dy, &dh_steps}) a->expect({T_, B, R});
    for (const Array *a : {&dh_n, &dh0}) a->expect_state({B, R});
    for (const Array *a : {&dc_n, &dc0}) a->expect_state({B, H});
    for (const Array *a : {&dbias_ih, &dbias_hh}) a->expect({G});
    dx.expect({T_, B, I});
    drest_h.expect({R});
    drest_c.expect({H});
    dweight_ih.expect({G, I});
    dweight_hh.expect({G, R});
    dweight_hr.expect({{"P", plan.proj()}, H});
    dc_steps.expect({T_, B, H});
    check_tape(plan, tape, s.pairs());
    if (!plan.has_cell_state())
        for (const Array *a : {&dc_n, &dc0, &drest_c, &dc_steps}) plan.refuse(*a);
    if (!plan.proj()) plan.refuse(dweight_hr);
    refuse_overlaps({&dx, &dh0, &dc0, &drest_h, &drest_c, &dweight_ih, &dweight_hh, &dbias_ih, &dbias_hh, &dweight_hr,
                     &dh_steps, &dc_steps},
                    {&s.x, &s.h0, &s.c0, &s.lengths, &s.resets, &s.rest_h, &s.rest_c, &y, &tape, &dy, &dh_n, &dc_n});
    plan.visit([&](const auto *packed, const auto &kernels) {
        using T = typename std::decay_t<decltype(kernels)>::Number;
        const Backward<T> call{s.call<T>(packed, reverse, y, tape),
                               dy.as<T>(),
                               dh_n.as<T>(),
                               dc_n.as<T>(),
                               dx.as<T>(),
                               dh0.as<T>(),
                               dc0.as<T>(),
                               drest_h.as<T>(),
                               drest_c.as<T>(),
                               dweight_ih.as<T>(),
                               dweight_hh.as<T>(),
                               dbias_ih.as<T>(),
                               dbias_hh.as<T>(),
                               dweight_hr.as<T>(),
                               dh_steps.as<T>(),
                               dc_steps.as<T>()};
        nb::gil_scoped_release released;
        prefer_large_pages(dx.data(), dx.bytes());
        kernels.backward(call);
    });
}

// Addresses of the functions of `OpenMP`, in its order.
void use_openmp_at(const std::vector<std::uintptr_t> &addresses) {
    if (addresses.size() != 5)
        raise_error("OptionError", "not the functions of an OpenMP runtime", "addresses", "5 addresses",
                    std::to_string(addresses.size()));
    const auto *at = addresses.data();
    use_openmp({reinterpret_cast<decltype(OpenMP::parallel)>(at[0]), reinterpret_cast<decltype(OpenMP::thread)>(at[1]),
                reinterpret_cast<decltype(OpenMP::threads)>(at[2]), reinterpret_cast<decltype(OpenMP::inside)>(at[3]),
                reinterpret_cast<decltype(OpenMP::most_threads)>(at[4])});
}

void step(const LayerPlan &plan, handle x, handle h, handle c, handle h_out, handle c_out) {
    run_released(Step(plan, x, h, c, h_out, c_out));
}

void linear(const LinearPlan &plan, handle x, handle y) {
    run_released(LinearMap(plan, x, y));
}

}  // namespace

}  // namespace hiddenstate

NB_MODULE(_core, m) {
    using namespace hiddenstate;
    using namespace nb::literals;
    nb::set_leak_warnings(false);  // a torch graph still alive when Python ends keeps its plans
    nb::class_<LayerPlan>(m, "Plan", "Packed weights of one layer in one direction; immutable.")
        .def(nb::init<const std::string &, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle, bool>(),
             "cell"_a, "weight_ih"_a.none(), "weight_hh"_a.none(), "bias_ih"_a.none() = nb::none(),
             "bias_hh"_a.none() = nb::none(), "weight_hr"_a.none() = nb::none(), nb::kw_only(), "backward"_a = false)
        .def_prop_ro("cell", &LayerPlan::cell)
        .def_prop_ro("dtype", &LayerPlan::dtype)
        .def_prop_ro("input_size", &LayerPlan::inputs)
        .def_prop_ro("hidden_size", &LayerPlan::hidden)
        .def_prop_ro("proj_size", &LayerPlan::proj)
        .def_prop_ro("out_size", &LayerPlan::out)
        .def_prop_ro("backward", &LayerPlan::has_backward)
        .def_prop_ro("isa", [](const LayerPlan &) { return isa(); });
    nb::class_<LinearPlan>(m, "Linear", "Packed weights of a linear map; immutable.")
        .def(nb::init<nb::handle, nb::handle>(), "weight"_a.none(), "bias"_a.none() = nb::none())
        .def_prop_ro("dtype", &LinearPlan::dtype)
        .def_prop_ro("input_size", &LinearPlan::inputs)
        .def_prop_ro("output_size", &LinearPlan::out);
    m.def("forward", &forward, "plan"_a, "x"_a.none(), "h0"_a.none(), "c0"_a.none(), "lengths"_a.none(),
          "resets"_a.none(), "rest_h"_a.none(), "rest_c"_a.none(), "reverse"_a, "y"_a.none(), "h_n"_a.none(),
          "c_n"_a.none(), "tape"_a.none());
    m.def("backward", &backward, "plan"_a, "x"_a.none(), "h0"_a.none(), "c0"_a.none(), "lengths"_a.none(),
          "resets"_a.none(), "rest_h"_a.none(), "rest_c"_a.none(), "reverse"_a, "y"_a.none(), "tape"_a.none(),
          "dy"_a.none(), "dh_n"_a.none(), "dc_n"_a.none(), "dx"_a.none(), "dh0"_a.none(), "dc0"_a.none(),
          "drest_h"_a.none(), "drest_c"_a.none(), "dweight_ih"_a.none(), "dweight_hh"_a.none(), "dbias_ih"_a.none(),
          "dbias_hh"_a.none(), "dweight_hr"_a.none(), "dh_steps"_a.none(), "dc_steps"_a.none());
    m.def("step", &step, "plan"_a, "x"_a.none(), "h"_a.none(), "c"_a.none(), "h_out"_a.none(), "c_out"_a.none());
    m.def("linear", &linear, "plan"_a, "x"_a.none(), "y"_a.none());
    nb::class_<Program>(m, "Program", "Steps, linear maps and what lies between, on fixed arrays, in one call.")
        .def(nb::init<nb::list>(), "operations"_a)
        .def("run", [](const Program &program) { run_released(program); });
    m.def("fill", &fill, "target"_a, "values"_a.none());
    m.def("fill_rows", &fill_rows, "target"_a, "rows"_a);
    m.def("tape_fields", [](const std::string &cell) { return tape_fields(cell); }, "cell"_a);
    m.def("isa", [] { return isa(); });
    m.def("isas", &isas);
    m.def("choose_isa", &choose_isa, "name"_a);
    m.def("set_num_threads", &set_num_threads, "count"_a);
    m.def("get_num_threads", &get_num_threads);
    m.def("new_tensors", &new_tensors, "like"_a, "shapes"_a);
    m.def("free_kept", &free_kept);
    m.def("use_openmp", &use_openmp_at, "addresses"_a);
}
