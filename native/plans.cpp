#include "plans.hpp"

namespace hiddenstate {

namespace {

struct CellFacts {
    const char *name;
    Cell cell;
    Index gates;
    bool cell_state;
    Index fields;
    const char *tape[5];
};

constexpr CellFacts cells[] = {
    {"rnn_tanh", Cell::rnn_tanh, 1, false, 0, {}},
    {"rnn_relu", Cell::rnn_relu, 1, false, 0, {}},
    {"lstm", Cell::lstm, 4, true, 5, {"i", "f", "g", "o", "c"}},
    {"gru", Cell::gru, 3, false, 4, {"r", "z", "n", "hn"}},
    {"gru_before", Cell::gru_before, 3, false, 3, {"r", "z", "n"}},
};

const CellFacts &facts_of(const std::string &name) {
    std::string names;
    for (const CellFacts &facts : cells) {
        if (name == facts.name) return facts;
        names += std::string(names.empty() ? "" : ", ") + facts.name;
    }
    raise_error("OptionError", "unknown cell", "cell", names, name);
}

}  // namespace

PackedWeights::~PackedWeights() {
    if (f32_) kernels<float>().release(f32_);
    if (f64_) kernels<double>().release(f64_);
}

LayerPlan::LayerPlan(const std::string &cell, nb::handle weight_ih, nb::handle weight_hh, nb::handle bias_ih,
                     nb::handle bias_hh, nb::handle weight_hr, bool backward)
    : cell_(cell) {
    const CellFacts &facts = facts_of(cell);
    gates_ = facts.gates;
    fields_ = facts.fields;
    cell_state_ = facts.cell_state;
    const Array ih(weight_ih, "weight_ih", Access::read), hh(weight_hh, "weight_hh", Access::read);
    const Array b_ih(bias_ih, "bias_ih", Access::read, true), b_hh(bias_hh, "bias_hh", Access::read, true);
    const Array hr(weight_hr, "weight_hr", Access::read, true);
    ih.expect({{"G*H", -1}, {"I", -1}});
    const Index rows = ih.size(0), H = rows / gates_, I = ih.size(1);
    if (H < 1 || I < 1 || rows % gates_)
        raise_error("ShapeError", "weights do not divide into gates", "weight_ih",
                    "[G*H, I] with G=" + std::to_string(gates_) + ", H >= 1, I >= 1",
                    "[" + std::to_string(rows) + ", " + std::to_string(I) + "]");
    const Axis G{"G*H", rows};
    hr.expect({{"P", -1}, {"H", H}});
    const Index P = hr.present() ? hr.size(0) : 0;
    if (hr.present() && (!cell_state_ || P < 1)) refuse(hr);
    hh.expect({G, {"R", P ? P : H}});
    b_ih.expect({G});
    b_hh.expect({G});
    auto pack = [&]<class T>(Plan<T> *&plan) {
        const Weights<T> weights{facts.cell,   I,          H,       P, ih.as<T>(), hh.as<T>(), b_ih.as<T>(),
                                 b_hh.as<T>(), hr.as<T>(), backward};
        plan = kernels<T>().pack(weights);
    };
    if (ih.type() == 'd')
        pack(f64_);
    else
        pack(f32_);
}

void LayerPlan::refuse(const Array &array) const {
    if (array.present())
        raise_error("ShapeError", "argument has no meaning here", array.name(),
                    "None with cell '" + cell_ + "'" + (cell_state_ ? " without a projection" : ""), "an array");
}

void LayerPlan::require_backward() const {
    if (!has_backward())
        raise_error("BackendError", "plan was not packed for gradients", "plan", "Plan(..., backward=True)", "");
}

LinearPlan::LinearPlan(nb::handle weight_, nb::handle bias_) {
    const Array weight(weight_, "weight", Access::read), bias(bias_, "bias", Access::read, true);
    weight.expect({{"O", -1}, {"I", -1}});
    bias.expect({{"O", weight.size(0)}});
    auto pack = [&]<class T>(Plan<T> *&plan) {
        plan = kernels<T>().pack_linear(weight.as<T>(), bias.as<T>(), weight.size(0), weight.size(1));
    };
    if (weight.type() == 'd')
        pack(f64_);
    else
        pack(f32_);
}

nb::tuple tape_fields(const std::string &cell) {
    const CellFacts &facts = facts_of(cell);
    nb::list names;
    for (Index i = 0; i < facts.fields; ++i) names.append(facts.tape[i]);
    return nb::tuple(names);
}

}  // namespace hiddenstate
