// One step of a layer for a set of rows: products with x, products with h, gate maths, projection. No time in here.
#pragma once

#include "gru-inl.hpp"
#include "lstm-inl.hpp"
#include "pack-inl.hpp"
#include "rnn-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
const CellKernel<T> &kernel_of(Cell cell, bool projected) {
    switch (cell) {
        case Cell::rnn_tanh: return rnn_kernel<T, true>;
        case Cell::rnn_relu: return rnn_kernel<T, false>;
        case Cell::lstm: return projected ? lstm_kernel<T, true> : lstm_kernel<T, false>;
        case Cell::gru: return gru_kernel<T>;
        case Cell::gru_before: break;
    }
    return gru_before_kernel<T>;
}

// Floating-point operations of one step of `rows` rows.
template <class T>
double step_operations(const Plan<T> &plan, Index gates, Index rows) {
    return 2.0 * double(rows) * double(plan.hidden) * double(gates * (plan.inputs + plan.out) + plan.proj);
}

template <class T>
struct Layer {
    const Plan<T> &plan;
    const CellKernel<T> &cell;
    Index blocks;  // of units

    explicit Layer(const Plan<T> &p)
        : plan(p), cell(kernel_of<T>(p.cell, p.proj > 0)), blocks(ceil_div(p.hidden, lanes<T>)) {}

    const Matrix<T> &x_matrix(int phase) const { return phase == 0 ? plan.x1 : plan.x2; }
    const Matrix<T> &h_matrix(int phase) const { return phase == 0 ? plan.h1 : plan.h2; }
    Index padded_hidden() const { return blocks * lanes<T>; }
    Index blocks_in_panel(int phase) const { return h_matrix(phase).vectors / cell.phase[phase].count; }

    // A row of products with x: first the slots of phase 0 for every block, then those of phase 1.
    Index x_region(int phase) const { return phase == 0 ? 0 : padded_hidden() * cell.phase[0].slots; }
    Index x_width() const { return x_region(1) + (cell.phases == 2 ? padded_hidden() * cell.phase[1].slots : 0); }

    // Products of `rows` rows of x with the panels of one phase; out[r] is a row of products.
    void multiply_x(int phase, Index rows, const T *const *x, T *const *out, Range panels) const {
        const Phase &ph = cell.phase[phase];
        const Index panel = blocks_in_panel(phase) * ph.slots * lanes<T>;
        multiply(Product<T>{rows, x, 1, out, panel, false}, x_matrix(phase), panels);
        if (ph.slots == ph.count) return;
        const Index width = ph.slots * lanes<T>, slot = ph.count * lanes<T>;
        for (Index r = 0; r < rows; ++r)
            for (Index b = panels.first; b < panels.last; ++b)
                store(out[r] + b * width + slot, load(plan.hidden_bias + b * lanes<T>));
    }

    // Products with h (or r*h) and the gate maths of one phase.
    void gates(int phase, Index count, const StepRow<T> *rows, Range panels, bool backwards = false) const {
        const Phase &ph = cell.phase[phase];
        const Matrix<T> &m = h_matrix(phase);
        const Index together_blocks = blocks_in_panel(phase), x_panel = together_blocks * ph.slots * lanes<T>;
        const Index width = m.vectors * lanes<T>, region = x_region(phase);
        for_each_tile(m, count, panels, backwards, [&](Index first, int tile_rows, Index panel, int together) {
            alignas(64) T sums[tile_size * lanes<T>];
            const T *a[most_rows], *start[most_rows];
            T *out[most_rows];
            const Index vectors = vectors_in_panel(m, panel), row_width = together * vectors * lanes<T>;
            const StepRow<T> *tile = rows + first;
            for (int r = 0; r < tile_rows; ++r) {
                a[r] = phase == 0 ? tile[r].h : tile[r].reset;
                start[r] = tile[r].x + region + panel * x_panel + ph.h_slot * lanes<T>;
                out[r] = sums + r * row_width;
            }
            const TileCall<T> call{m.depth, a,       1,   panel_data(m, panel), width * m.depth,
                                   start,   x_panel, out, vectors * lanes<T>};
            run_tile(call, tile_rows, vectors, together);
            cell.forward[phase](GateTile<T>{tile, tile_rows, sums, row_width, panel * together_blocks * lanes<T>,
                                            together * vectors / ph.count, plan.hidden});
        });
    }

    // h = W_hr out, for rows whose `out` holds o*tanh(c).
    void project(Index count, const StepRow<T> *rows, T *const *h, Range panels) const {
        for (Index first = 0; first < count; first += most_rows) {
            const T *a[most_rows];
            const Index some = smaller(most_rows, count - first);
            for (Index r = 0; r < some; ++r) a[r] = rows[first + r].out;
            multiply(Product<T>{some, a, 1, h + first, 0, false}, plan.project, panels);
        }
    }
};

}  // namespace hiddenstate::HS_ISA
