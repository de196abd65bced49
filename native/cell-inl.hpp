// What a cell gives the passes over time: which gates are computed together, and the gate maths of one step, forward
// and backward, on a tile of rows whose products are ready. One file per family: rnn-inl.hpp, lstm-inl.hpp,
// gru-inl.hpp.
#pragma once

#include "math-inl.hpp"

namespace hiddenstate::HS_ISA {

// One row in one forward step. [H~] is H padded to whole vectors; the others end where they end.
template <class T>
struct StepRow {
    const T *h;         // [R]  state before the step
    const T *c;         // [H~] lstm: cell before the step
    const T *x;         // products with x: [block][slot][unit]
    T *out;             // [R]  state after the step ([H~], before the projection, when there is one)
    T *c_out;           // [H~]
    T *tape;            // [fields][H], or null
    T *reset, *update;  // [H~] gru_before: r*h and z, from its first phase to its second
};

// Distance of two gates in the last block of units. A block that is not full shares vectors between its gates if that
// saves one; lanes behind its units then hold other gates, and what is computed from them is never stored.
template <class T>
Index last_step(Index hidden, Index gates) {
    const Index units = hidden % lanes<T>;
    return units && ceil_div(gates * units, lanes<T>) < gates ? units : lanes<T>;
}

// Sums of a tile, [row][block][gate][unit], ready for the gate maths of `blocks` blocks of units from `unit` on.
template <class T>
struct GateTile {
    const StepRow<T> *rows;
    int count;
    const T *sums;
    Index sums_row;
    Index unit, blocks, hidden;
    Index last_step;
};

// One row in one backward step.
template <class T>
struct BackRow {
    const T *after;             // gate gradients of the next step, what the product reads
    const T *dy;                // [R] gradient that enters from outside
    const T *carry;             // [R] gradient of h that comes from the next step without a product (last step: dh_n)
    const T *carry_c;           // [H] gradient of c from the next step (last step: dc_n)
    T *carry_out;               // [H~]
    T *carry_c_out;             // [H~]
    const T *tape, *h, *c, *y;  // stored activations; h and c before the step; h after it
    T *d;                       // [slots][H] gate gradients of this step
    T *d_out;                   // [P] lstm with projection: total gradient of h
    T *dh_step, *dc_step;       // total gradients of h and c for the caller, or null
};

// Products of a tile, [row][lane]: sums of `blocks` vectors of columns from `unit` on.
template <class T>
struct BackTile {
    const BackRow<T> *rows;
    int count;
    const T *sums;
    Index sums_row;
    Index unit, blocks, columns, hidden;
};

template <class T>
using GateFn = void (*)(const GateTile<T> &);
template <class T>
using BackFn = void (*)(const BackTile<T> &);

constexpr int most_gates = 4;

// Gates computed in one phase of a step. x and h list the rows of the stacked weights in the order of the columns;
// products with x are kept in `slots` slots per block, and the sums over h start from those `h_slot` onwards.
struct Phase {
    int x_gates[most_gates], h_gates[most_gates];
    int count, slots, h_slot;
};

template <class T>
struct CellKernel {
    int gates;   // stacked in the weights
    int fields;  // of the tape
    int phases;  // of a forward step, without the projection
    Phase phase[2];
    GateFn<T> forward[2];
    BackFn<T> backward, backward_second;  // second: after the product of gru_before's candidate, or lstm's projection
    int slots;                            // of the gate gradients
    int x_slots;                          // the first of them meet W_ih,
    int h_at, h_slots;                    // and these meet W_hh through the state before the step
    bool carries;                         // h has an elementwise path from step to step
};

// Calls visit(row, sums of the block, distance of its gates, first unit, units) for every row and block of a tile.
template <int Gates, class T, class Visit>
inline void for_each_block(const GateTile<T> &tile, Visit visit) {
    for (Index block = 0; block < tile.blocks; ++block) {
        const Index unit = tile.unit + block * lanes<T>, units = smaller(lanes<T>, tile.hidden - unit);
        const Index step = units < lanes<T> ? tile.last_step : lanes<T>;
        for (int r = 0; r < tile.count; ++r)
            visit(tile.rows[r], tile.sums + r * tile.sums_row + block * Gates * lanes<T>, step, unit, units);
    }
}

template <class T, class Visit>
inline void for_each_block(const BackTile<T> &tile, Visit visit) {
    for (Index block = 0; block < tile.blocks; ++block) {
        const Index unit = tile.unit + block * lanes<T>, units = smaller(lanes<T>, tile.columns - unit);
        for (int r = 0; r < tile.count; ++r)
            visit(tile.rows[r], load(tile.sums + r * tile.sums_row + block * lanes<T>), unit, units);
    }
}

// dL/dh of the step: through the product with the next step's gates, without it, and from outside.
template <class T>
inline Vec<T> total_gradient(const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
    const Vec<T> total = product + load_part(row.carry + unit, units) + load_part(row.dy + unit, units);
    if (row.dh_step) store_part(row.dh_step + unit, total, units);
    return total;
}

// The state before the first step: its gradient has no gates.
template <class T>
void back_to_start(const BackTile<T> &tile) {
    for_each_block(tile, [](const BackRow<T> &row, Vec<T> product, Index unit, Index units) {
        total_gradient(row, product, unit, units);
    });
}

}  // namespace hiddenstate::HS_ISA
