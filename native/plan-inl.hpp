// Building a Plan: which weights are packed, in which order.
#pragma once

#include "layer-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
void add_phase(PackingList<T> &list, Matrix<T> &x, Matrix<T> &h, const Weights<T> &w, const Phase &phase) {
    const GateColumns<T> from_x{phase.x_gates, phase.count, w.hidden}, from_h{phase.h_gates, phase.count, w.hidden};
    list.add_columns(x, w.weight_ih, w.inputs, from_x);
    list.add_columns(h, w.weight_hh, w.proj ? w.proj : w.hidden, from_h);
    // Reset-after GRU: b_hn stays inside the reset gate's reach, with the product with h.
    add_bias(x.start, w.bias_ih, from_x, most_gates * w.hidden);
    add_bias(x.start, w.bias_hh, from_x, (w.cell == Cell::gru ? 2 : most_gates) * w.hidden);
}

template <class T>
void add_backward(PackingList<T> &list, Plan<T> &plan, const Weights<T> &w, const CellKernel<T> &cell) {
    const Index H = w.hidden;
    list.add_rows(plan.back_h, w.weight_hh, cell.h_slots * H, plan.out, 0);
    if (w.cell == Cell::gru_before) list.add_rows(plan.back_n, w.weight_hh + 2 * H * H, H, H, 0);
    list.add_rows(plan.back_x, w.weight_ih, cell.x_slots * H, w.inputs, w.cell == Cell::gru ? 2 * H : 0);
    if (w.proj) list.add_rows(plan.back_proj, w.weight_hr, w.proj, H, 0);
}

template <class T>
void release_plan(Plan<T> *plan) {
    Matrix<T> *const all[] = {&plan->x1,     &plan->h1,     &plan->x2,     &plan->h2,        &plan->project,
                              &plan->back_h, &plan->back_n, &plan->back_x, &plan->back_proj, &plan->linear};
    for (Matrix<T> *m : all) release(*m);
    release_aligned(plan->hidden_bias);
    delete plan;
}

template <class T>
Plan<T> *pack_plan(const Weights<T> &w) {
    const CellKernel<T> &cell = kernel_of<T>(w.cell, w.proj > 0);
    auto *plan = new Plan<T>{};
    plan->cell = w.cell;
    plan->inputs = w.inputs;
    plan->hidden = w.hidden;
    plan->proj = w.proj;
    plan->out = w.proj ? w.proj : w.hidden;
    plan->has_backward = w.backward;
    try {
        PackingList<T> list;
        add_phase(list, plan->x1, plan->h1, w, cell.phase[0]);
        if (cell.phases == 2) add_phase(list, plan->x2, plan->h2, w, cell.phase[1]);
        if (w.proj) list.add_transposed(plan->project, w.weight_hr, w.hidden, w.proj);
        plan->hidden_bias = allocate_zeros<T>(round_up(w.hidden, lanes<T>));
        if (w.bias_hh && w.cell == Cell::gru) copy(plan->hidden_bias, w.bias_hh + 2 * w.hidden, w.hidden);
        if (w.backward) add_backward(list, *plan, w, cell);
        list.run();
    } catch (...) {
        release_plan(plan);
        throw;
    }
    return plan;
}

template <class T>
Plan<T> *pack_linear(const T *weight, const T *bias, Index outputs, Index inputs) {
    auto *plan = new Plan<T>{};
    plan->inputs = inputs;
    plan->out = outputs;
    try {
        PackingList<T> list;
        list.add_transposed(plan->linear, weight, inputs, outputs);
        list.run();
    } catch (...) {
        release_plan(plan);
        throw;
    }
    for (Index c = 0; bias && c < outputs; ++c) plan->linear.start[c] = bias[c];
    return plan;
}

}  // namespace hiddenstate::HS_ISA
