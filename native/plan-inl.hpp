// Building a Plan: which weights are packed, in which order.
#pragma once

#include "layer-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
void pack_phase(Matrix<T> &x, Matrix<T> &h, const Weights<T> &w, const Phase &phase) {
    const GateColumns<T> from_x{phase.x_gates, phase.count, w.hidden}, from_h{phase.h_gates, phase.count, w.hidden};
    const Index out = w.proj ? w.proj : w.hidden;
    x = pack_gates(w.weight_ih, w.inputs, from_x);
    h = pack_gates(w.weight_hh, out, from_h);
    add_bias(x.start, w.bias_ih, from_x);
    if (w.cell != Cell::gru) return add_bias(x.start, w.bias_hh, from_x);
    // Reset-after GRU: b_hn stays inside the reset gate's reach, with the product with h.
    const Index H = w.hidden;
    for (Index c = 0; w.bias_hh && c < from_x.columns(); ++c) {
        const Index row = from_x.row(c);
        if (row >= 0 && row < 2 * H) x.start[c] += w.bias_hh[row];
    }
}

template <class T>
Matrix<T> pack_weight_rows(const T *weight, Index depth, Index columns, Index first, Index rotate) {
    const void *key = reinterpret_cast<const char *>(weight) + 1;  // not that of the same weights by columns
    Matrix<T> m = empty_matrix<T>(depth, columns, most_vectors, true, key);
    pack_rows(m, [&](Index k) { return weight + (first + (k + rotate) % depth) * columns; });
    return m;
}

template <class T>
void pack_backward(Plan<T> &plan, const Weights<T> &w, const CellKernel<T> &cell) {
    const Index H = w.hidden;
    const bool before = w.cell == Cell::gru_before;
    plan.back_h = pack_weight_rows(w.weight_hh, cell.h_slots * H, plan.out, 0, 0);
    if (before) plan.back_n = pack_weight_rows(w.weight_hh, H, H, 2 * H, 0);
    plan.back_x = pack_weight_rows(w.weight_ih, cell.x_slots * H, w.inputs, 0, w.cell == Cell::gru ? 2 * H : 0);
    if (w.proj) plan.back_proj = pack_weight_rows(w.weight_hr, w.proj, H, 0, 0);
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
        pack_phase(plan->x1, plan->h1, w, cell.phase[0]);
        if (cell.phases == 2) pack_phase(plan->x2, plan->h2, w, cell.phase[1]);
        if (w.proj) {
            plan->project = empty_matrix<T>(w.hidden, w.proj, most_vectors, true, w.weight_hr);
            pack_columns(plan->project, [&w](Index c) { return w.weight_hr + c * w.hidden; });
        }
        plan->hidden_bias = allocate_zeros<T>(round_up(w.hidden, lanes<T>));
        if (w.bias_hh && w.cell == Cell::gru)
            for (Index j = 0; j < w.hidden; ++j) plan->hidden_bias[j] = w.bias_hh[2 * w.hidden + j];
        if (w.backward) pack_backward(*plan, w, cell);
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
        plan->linear = empty_matrix<T>(inputs, outputs, most_vectors, true, weight);
    } catch (...) {
        release_plan(plan);
        throw;
    }
    pack_columns(plan->linear, [=](Index c) { return weight + c * inputs; });
    for (Index c = 0; bias && c < outputs; ++c) plan->linear.start[c] = bias[c];
    return plan;
}

}  // namespace hiddenstate::HS_ISA
