// LSTM: i, f, o = sigmoid(W x + b + W h + b), g = tanh(...), c' = f*c + i*g, h' = o*tanh(c') (W_hr of it, projected).
// Tape: i f g o c'. Gate gradients: i f g o.
#pragma once

#include "cell-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
void lstm_forward(const GateTile<T> &tile) {
    const Index H = tile.hidden;
    for_each_block<4>(tile, [H](const StepRow<T> &row, const T *sums, Index step, Index unit, Index units) {
        const Vec<T> i = sigmoid<T>(load(sums)), f = sigmoid<T>(load(sums + step));
        const Vec<T> g = tanh<T>(load(sums + 2 * step)), o = sigmoid<T>(load(sums + 3 * step));
        const Vec<T> c = fma(f, load(row.c + unit), i * g);
        store(row.c_out + unit, c);
        store_part(row.out + unit, o * tanh<T>(c), units);
        if (!row.tape) return;
        T *tape = row.tape + unit;
        store_part(tape, i, units);
        store_part(tape + H, f, units);
        store_part(tape + 2 * H, g, units);
        store_part(tape + 3 * H, o, units);
        store_part(tape + 4 * H, c, units);
    });
}

template <class T>
inline void lstm_gate_gradients(const BackRow<T> &row, Vec<T> dh, Index unit, Index units, Index H) {
    const T *tape = row.tape + unit;
    const Vec<T> i = load_part(tape, units), f = load_part(tape + H, units), g = load_part(tape + 2 * H, units);
    const Vec<T> o = load_part(tape + 3 * H, units), tanh_c = tanh<T>(load_part(tape + 4 * H, units));
    const Vec<T> dc = fma(dh * o, T(1) - tanh_c * tanh_c, load_part(row.carry_c + unit, units));
    if (row.dc_step) store_part(row.dc_step + unit, dc, units);
    store(row.carry_c_out + unit, dc * f);
    T *d = row.d + unit;
    store_part(d, dc * g * i * (T(1) - i), units);
    store_part(d + H, dc * load_part(row.c + unit, units) * f * (T(1) - f), units);
    store_part(d + 2 * H, dc * i * (T(1) - g * g), units);
    store_part(d + 3 * H, dh * tanh_c * o * (T(1) - o), units);
}

template <class T>
void lstm_backward(const BackTile<T> &tile) {
    for_each_block(tile, [&tile](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        lstm_gate_gradients(row, total_gradient(row, product, unit, units), unit, units, tile.hidden);
    });
}

// With a projection the first product gives d_h [P] and a second one, with W_hr, the gradient of o*tanh(c').
template <class T>
void lstm_backward_projected(const BackTile<T> &tile) {
    for_each_block(tile, [](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        store_part(row.d_out + unit, total_gradient(row, product, unit, units), units);
    });
}

template <class T>
void lstm_backward_second(const BackTile<T> &tile) {
    for_each_block(tile, [&tile](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        lstm_gate_gradients(row, product, unit, units, tile.hidden);
    });
}

template <class T, bool Projected>
constexpr CellKernel<T> lstm_kernel = {
    .gates = 4,
    .fields = 5,
    .phases = 1,
    .phase = {{.x_gates = {0, 1, 2, 3}, .h_gates = {0, 1, 2, 3}, .count = 4, .slots = 4, .h_slot = 0}},
    .forward = {lstm_forward<T>},
    .backward = Projected ? lstm_backward_projected<T> : lstm_backward<T>,
    .backward_second = Projected ? lstm_backward_second<T> : nullptr,
    .slots = 4,
    .x_slots = 4,
    .h_at = 0,
    .h_slots = 4,
    .carries = false,
};

}  // namespace hiddenstate::HS_ISA
