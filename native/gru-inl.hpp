// GRU: r, z = sigmoid(W x + b + W h + b), h' = (1-z)*n + z*h with
//   reset after:  n = tanh(W_in x + b_in + r*(W_hn h + b_hn))     tape r z n hn = W_hn h + b_hn;  gradients n r z hn
//   reset before: n = tanh(W_in x + b_in + W_hn (r*h) + b_hn)     tape r z n;                     gradients r z n
#pragma once

#include "cell-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
void gru_forward(const GateTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block<3>(tile, [H](const StepRow<T> &row, const T *sums, Index step, Index unit, Index units) {
        const Vec<T> r = sigmoid<T>(load(sums)), z = sigmoid<T>(load(sums + step)), hn = load(sums + 2 * step);
        const Vec<T> n = tanh<T>(fma(r, hn, load(row.x + 4 * unit)));
        const Vec<T> h = load_part(row.h + unit, units);
        store_part(row.out + unit, fma(z, h - n, n), units);
        if (!row.tape) return;
        T *tape = row.tape + unit;
        store_part(tape, r, units);
        store_part(tape + H, z, units);
        store_part(tape + 2 * H, n, units);
        store_part(tape + 3 * H, hn, units);
    });
}

template <class T>
void gru_backward(const BackTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block(tile, [H](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        const Vec<T> dh = total_gradient(row, product, unit, units);
        const T *tape = row.tape + unit;
        const Vec<T> r = load_part(tape, units), z = load_part(tape + H, units), n = load_part(tape + 2 * H, units);
        const Vec<T> hn = load_part(tape + 3 * H, units), h = load_part(row.h + unit, units);
        const Vec<T> dn = dh * (T(1) - z) * (T(1) - n * n);
        store(row.carry_out + unit, dh * z);
        T *d = row.d + unit;
        store_part(d, dn, units);
        store_part(d + H, dn * hn * r * (T(1) - r), units);
        store_part(d + 2 * H, dh * (h - n) * z * (T(1) - z), units);
        store_part(d + 3 * H, dn * r, units);
    });
}

template <class T>
void gru_before_gates(const GateTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block<2>(tile, [H](const StepRow<T> &row, const T *sums, Index step, Index unit, Index units) {
        const Vec<T> r = sigmoid<T>(load(sums)), z = sigmoid<T>(load(sums + step));
        store(row.reset + unit, r * load_part(row.h + unit, units));
        store(row.update + unit, z);
        if (!row.tape) return;
        store_part(row.tape + unit, r, units);
        store_part(row.tape + H + unit, z, units);
    });
}

template <class T>
void gru_before_candidate(const GateTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block<1>(tile, [H](const StepRow<T> &row, const T *sums, Index, Index unit, Index units) {
        const Vec<T> n = tanh<T>(load(sums)), h = load_part(row.h + unit, units);
        store_part(row.out + unit, fma(load(row.update + unit), h - n, n), units);
        if (row.tape) store_part(row.tape + 2 * H + unit, n, units);
    });
}

template <class T>
void gru_before_backward(const BackTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block(tile, [H](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        const Vec<T> dh = total_gradient(row, product, unit, units);
        const Vec<T> z = load_part(row.tape + H + unit, units), n = load_part(row.tape + 2 * H + unit, units);
        const Vec<T> h = load_part(row.h + unit, units);
        store(row.carry_out + unit, dh * z);
        store_part(row.d + H + unit, dh * (h - n) * z * (T(1) - z), units);
        store_part(row.d + 2 * H + unit, dh * (T(1) - z) * (T(1) - n * n), units);
    });
}

// product: gradient of r*h, through W_hn.
template <class T>
void gru_before_backward_second(const BackTile<T> &tile) {
    for_each_block(tile, [](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        const Vec<T> r = load_part(row.tape + unit, units), h = load_part(row.h + unit, units);
        store(row.carry_out + unit, fma(product, r, load(row.carry_out + unit)));
        store_part(row.d + unit, product * h * r * (T(1) - r), units);
    });
}

template <class T>
constexpr CellKernel<T> gru_kernel = {
    .gates = 3,
    .fields = 4,
    .phases = 1,
    // A block's slots are n r z hn: three products with x, then b_hn, from which the sum over h starts.
    .phase = {{.x_gates = {2, 0, 1}, .h_gates = {0, 1, 2}, .count = 3, .slots = 4, .h_slot = 1}},
    .forward = {gru_forward<T>},
    .backward = gru_backward<T>,
    .backward_second = nullptr,
    .slots = 4,
    .x_slots = 3,
    .h_at = 1,
    .h_slots = 3,
    .carries = true,
};

template <class T>
constexpr CellKernel<T> gru_before_kernel = {
    .gates = 3,
    .fields = 3,
    .phases = 2,
    .phase = {{.x_gates = {0, 1}, .h_gates = {0, 1}, .count = 2, .slots = 2, .h_slot = 0},
              {.x_gates = {2}, .h_gates = {2}, .count = 1, .slots = 1, .h_slot = 0}},
    .forward = {gru_before_gates<T>, gru_before_candidate<T>},
    .backward = gru_before_backward<T>,
    .backward_second = gru_before_backward_second<T>,
    .slots = 3,
    .x_slots = 3,
    .h_at = 0,
    .h_slots = 2,
    .carries = true,
};

}  // namespace hiddenstate::HS_ISA
