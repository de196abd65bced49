// One step of a layer for a set of rows: products with x, products with h, gate maths, projection. No time in here.
#pragma once

#include <type_traits>  // is_same, a number without code

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

// Floating-point operations of one step of `rows` rows that wait for the step before.
template <class T>
double recurrent_operations(const Plan<T> &plan, Index gates, Index rows) {
    return 2.0 * double(rows) * double(plan.hidden) * double(gates * plan.out + plan.proj);
}

// And all of them.
template <class T>
double step_operations(const Plan<T> &plan, Index gates, Index rows) {
    return recurrent_operations(plan, gates, rows) +
           2.0 * double(rows) * double(plan.hidden) * double(gates * plan.inputs);
}

// The state before a step is there from the start.
struct Whole {};

// Panels that the tiles of a step take together. From step to step only the rows change.
template <class T>
struct StepPanels {
    TileCall<T> call;
    GateTile<T> maths;
    Index vectors;  // of a panel
    Index x_first;  // where its sums start from in a row of products with x
    int together;
    const T *a[most_rows], *start[most_rows];
    T *out[most_rows];
};

// Memory for the sums of a tile.
template <class T>
struct TileSums {
    alignas(64) T numbers[tile_size * lanes<T>];
};

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
    Index step_of_last(int phase) const { return last_step<T>(plan.hidden, cell.phase[phase].count); }
    Index step_of(int phase, Index block) const { return block < blocks - 1 ? lanes<T> : step_of_last(phase); }
    Index blocks_before(int phase, Index panel) const {
        const Matrix<T> &m = h_matrix(phase);
        return panel == m.panels ? blocks : vectors_before(m, panel) / cell.phase[phase].count;
    }

    // A row of products with x: first the slots of phase 0 for every block, then those of phase 1. Behind a last block
    // that shares vectors is room for reading a whole one from its last unit on.
    Index x_region(int phase) const { return phase == 0 ? 0 : x_numbers(0); }
    Index x_width() const { return x_region(1) + (cell.phases == 2 ? x_numbers(1) : 0); }
    Index x_numbers(int phase) const {
        const Index slots = cell.phase[phase].slots, step = step_of_last(phase);
        const Index last = step < lanes<T> ? round_up(slots * step + lanes<T>, lanes<T>) : slots * lanes<T>;
        return (blocks - 1) * slots * lanes<T> + last;
    }

    // Products of `rows` rows of x with the panels of one phase; out[r] is a row of products.
    void multiply_x(int phase, Index rows, const T *const *x, T *const *out, Range panels) const {
        const Phase &ph = cell.phase[phase];
        const Index gap = (ph.slots - ph.count) * lanes<T>;
        multiply(Product<T>{rows, x, 1, out, false, true, gap}, x_matrix(phase), panels);
        if (!gap) return;  // else a panel is a block, and its last slot starts from the bias of W_hn
        for (Index r = 0; r < rows; ++r)
            for (Index b = panels.first; b < panels.last; ++b) {
                const Index step = step_of(phase, b);
                store_part(out[r] + b * ph.slots * lanes<T> + ph.count * step, load(plan.hidden_bias + b * lanes<T>),
                           step);
            }
    }

    // Products with h (or r*h) and the gate maths of one phase.
    void gates(int phase, Index count, const StepRow<T> *rows, Range panels, bool backwards) const {
        TileSums<T> sums;
        StepPanels<T> these;
        for_each_group(h_matrix(phase), count, panels, {backwards}, [&](Index panel, int together) {
            prepare(these, phase, panel, together, sums);
            take_panels(phase, these, count, rows);
        });
    }

    void prepare(StepPanels<T> &panels, int phase, Index panel, int together, TileSums<T> &sums) const {
        const Phase &ph = cell.phase[phase];
        const Matrix<T> &m = h_matrix(phase);
        const Index vectors = vectors_in_panel(m, panel), width = vectors * lanes<T>, row_width = together * width;
        const Index block = blocks_before(phase, panel), after = blocks_before(phase, panel + together);
        const Index x_panel = vectors / ph.count * ph.slots * lanes<T>;
        panels.call = {m.depth,         panels.a,     1,       panel_data(m, panel), width,
                       width * m.depth, panels.start, x_panel, panels.out,           width};
        panels.maths = {nullptr,       0,           sums.numbers,       row_width, block * lanes<T>,
                        after - block, plan.hidden, step_of_last(phase)};
        panels.vectors = vectors;
        panels.x_first = x_region(phase) + block * ph.slots * lanes<T> + ph.h_slot * step_of(phase, block);
        panels.together = together;
        for (int r = 0; r < rows_that_fit(vectors); ++r) panels.out[r] = sums.numbers + r * row_width;
    }

    // The same for panels that are prepared. Where the state arrives piece by piece, ready(k) waits for h[k] and says
    // up to where it is there.
    template <class Ready = Whole>
    void take_panels(int phase, StepPanels<T> &panels, Index count, const StepRow<T> *rows, Ready ready = {}) const {
        for_each_cut(count, panels.vectors, [&](Index first, int tile_rows) {
            const StepRow<T> *tile = rows + first;
            panels.maths.rows = tile;
            panels.maths.count = tile_rows;
            for (int r = 0; r < tile_rows; ++r) {
                panels.a[r] = phase == 0 ? tile[r].h : tile[r].reset;
                panels.start[r] = tile[r].x + panels.x_first;
            }
            if constexpr (std::is_same_v<Ready, Whole>)
                run_tile(panels.call, tile_rows, panels.vectors, panels.together);
            else
                run_pieces(panels, tile_rows, ready);
            cell.forward[phase](panels.maths);
        });
    }

    // A tile over the depth, piece by piece: the sums of one are where the next one starts.
    template <class Ready>
    static void run_pieces(StepPanels<T> &panels, int rows, Ready ready) {
        TileCall<T> &call = panels.call;
        const TileCall<T> whole = call;
        for (Index k = 0; k < whole.depth; k += call.depth) {
            call.depth = ready(k) - k;
            run_tile(call, rows, panels.vectors, panels.together);
            call.panel += call.depth * call.panel_row;
            call.start = call.out;
            call.start_step = call.out_step;
            for (int r = 0; r < rows; ++r) panels.a[r] += call.depth;
        }
        call.depth = whole.depth, call.panel = whole.panel, call.start = whole.start,
        call.start_step = whole.start_step;
    }

    // h = W_hr out, for rows whose `out` holds o*tanh(c).
    void project(Index count, const StepRow<T> *rows, T *const *h, Range panels) const {
        for (Index first = 0; first < count; first += most_rows) {
            const T *a[most_rows];
            const Index some = smaller(most_rows, count - first);
            for (Index r = 0; r < some; ++r) a[r] = rows[first + r].out;
            multiply(Product<T>{some, a, 1, h + first}, plan.project, panels);
        }
    }
};

}  // namespace hiddenstate::HS_ISA
