// Elman network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.
#pragma once

#include "cell-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T, bool Tanh>
void rnn_forward(const GateTile<T> &tile) {
    for_each_block<1>(tile, [](const StepRow<T> &row, const T *sums, Index, Index unit, Index units) {
        const Vec<T> sum = load(sums);
        const Vec<T> h = Tanh ? tanh<T>(sum) : (sum < T(0) ? Vec<T>{} : sum);  // NaN passes
        store_part(row.out + unit, h, units);
    });
}

template <class T, bool Tanh>
void rnn_backward(const BackTile<T> &tile) {
    for_each_block(tile, [](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        const Vec<T> dh = total_gradient(row, product, unit, units);
        const Vec<T> y = load_part(row.y + unit, units);
        const Vec<T> d = Tanh ? dh * (T(1) - y * y) : (y > T(0) ? dh : Vec<T>{});
        store_part(row.d + unit, d, units);
    });
}

template <class T, bool Tanh>
constexpr CellKernel<T> rnn_kernel = {
    .gates = 1,
    .fields = 0,
    .phases = 1,
    .phase = {{.x_gates = {0}, .h_gates = {0}, .count = 1, .slots = 1, .h_slot = 0}},
    .forward = {rnn_forward<T, Tanh>},
    .backward = rnn_backward<T, Tanh>,
    .backward_second = nullptr,
    .slots = 1,
    .x_slots = 1,
    .h_at = 0,
    .h_slots = 1,
    .carries = false,
};

}  // namespace hiddenstate::HS_ISA
