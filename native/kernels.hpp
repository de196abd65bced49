// The interface between the bindings and the kernels: plain records and a table of functions per instruction set.
//
// Everything here is plain data without constructors: these types are seen by translation units compiled for
// different instruction sets, and an inline function shared between them could be merged by the linker into the copy
// that only the newest processor can run.
//
// Letters: T steps, B rows, I inputs, H hidden units, P projected size, R = P or H, G gates, N = sum of lengths.
#pragma once

#include <cstdint>

namespace hiddenstate {

using Index = std::int64_t;

enum class Cell : int { rnn_tanh, rnn_relu, lstm, gru, gru_before };

// Weights of one layer in one direction, as torch stores them. Null: absent.
template <class T>
struct Weights {
    Cell cell;
    Index inputs, hidden, proj;  // proj is 0 without a projection
    const T *weight_ih;          // [G*H, I]
    const T *weight_hh;          // [G*H, R]
    const T *bias_ih, *bias_hh;  // [G*H]
    const T *weight_hr;          // [P, H]
    bool backward;               // also pack what backward reads
};

// A packed right-hand side, cut into panels: the first `wide` of them have `vectors` vectors, the others `narrow`. In a
// panel, row k of all its columns lies side by side.
template <class T>
struct Matrix {
    T *data;        // [panel][depth][vectors * lanes]
    T *start;       // [columns, padded]: what every output starts from (bias or zeros)
    Index depth;    // length of the reduction
    Index columns;  // outputs; the rest of the last vector is zero
    Index panels, wide, vectors, narrow;
    Index row;  // 0; or `data` is not packed, but rows k as they lie, so far apart
};

// Packed weights of one layer. Built by Kernels::pack, never changed afterwards.
template <class T>
struct Plan {
    Cell cell;
    Index inputs, hidden, proj, out;
    bool has_backward;
    Matrix<T> x1, h1;     // gates computed from x and h_{t-1}
    Matrix<T> x2, h2;     // gru_before: the candidate, computed from x and r*h_{t-1}
    Matrix<T> project;    // lstm with projection: h from o*tanh(c)
    T *hidden_bias;       // gru: b_hn, padded to whole blocks
    Matrix<T> back_h;     // d_h_{t-1} from the gate gradients
    Matrix<T> back_n;     // gru_before: d_(r*h) from the candidate's gradient
    Matrix<T> back_x;     // d_x from the gate gradients
    Matrix<T> back_proj;  // lstm with projection: d_(o*tanh(c)) from d_h
    Matrix<T> linear;     // Linear: the only matrix
};

template <class T>
struct Forward {
    const Plan<T> *plan;
    Index steps, batch;
    const T *x, *h0, *c0;
    const Index *lengths;
    const std::uint8_t *resets;
    const T *rest_h, *rest_c;
    bool reverse;
    T *y, *h_n, *c_n;
    T *tape;
    int threads;
};

template <class T>
struct Backward {
    Forward<T> forward;  // what the forward pass was given and wrote (h_n and c_n unused)
    const T *dy, *dh_n, *dc_n;
    T *dx, *dh0, *dc0, *drest_h, *drest_c;
    T *dweight_ih, *dweight_hh, *dbias_ih, *dbias_hh, *dweight_hr;
    T *dh_steps, *dc_steps;
};

enum class Function : int { tanh, sigmoid, exp };

// What one instruction set offers for one number type.
template <class T>
struct Kernels {
    using Number = T;
    Plan<T> *(*pack)(const Weights<T> &);
    Plan<T> *(*pack_linear)(const T *weight, const T *bias, Index outputs, Index inputs);
    void (*release)(Plan<T> *);
    void (*forward)(const Forward<T> &);
    void (*backward)(const Backward<T> &);
    void (*step)(const Plan<T> &, Index batch, const T *x, const T *h, const T *c, T *h_out, T *c_out, int threads);
    void (*linear)(const Plan<T> &, Index rows, const T *x, T *y, int threads);
    void (*apply)(Function, Index n, const T *x, T *y);  // the vector maths, for its tests
};

}  // namespace hiddenstate
