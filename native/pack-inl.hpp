// Packing weights into panels (Matrix in kernels.hpp), once per Plan.
#pragma once

#include <utility>  // integer_sequence, a type without code

#include "product-inl.hpp"
#include "schedule-inl.hpp"
#include "scratch.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
T *allocate(Index count, const void *key = nullptr) {
    return static_cast<T *>(allocate_aligned(std::size_t(count) * sizeof(T), key));
}

template <class T>
T *allocate_zeros(Index count) {
    T *memory = allocate<T>(count);
    for (Index i = 0; i < count; ++i) memory[i] = T(0);
    return memory;
}

// `start` is zero, `data` not initialised: mostly what a matrix with this key held before.
template <class T>
Matrix<T> empty_matrix(Index depth, Index columns, Index vectors, bool evenly, const void *key) {
    Matrix<T> m{nullptr, nullptr, depth, columns, 0, 0, 0, 0, 0};
    cut_panels(m, vectors, evenly);
    const Index padded = round_up(columns, lanes<T>);
    m.start = allocate_zeros<T>(padded);
    m.data = allocate<T>(padded * depth, key);
    return m;
}

template <class T>
void release(Matrix<T> &m) {
    release_aligned(m.data);
    release_aligned(m.start);
}

// Vector `v` of panel `p` and its row k = 0; the next row lies panel_width behind.
template <class T>
T *vector_of(const Matrix<T> &m, Index p, Index v) {
    return panel_data(m, p) + v * lanes<T>;
}
template <class T>
Index panel_width(const Matrix<T> &m, Index p) {
    return vectors_in_panel(m, p) * lanes<T>;
}

// Calls visit(panel) for all panels, on several threads when the matrix is large.
template <class T, class Visit>
void for_each_panel(const Matrix<T> &m, Visit visit) {
    constexpr double weights_per_thread = 4e4;
    struct Job {
        const Visit &visit;
        Index panels;
        int members;
    };
    Team team(threads_for(double(m.depth) * double(m.columns), weights_per_thread, int(m.panels)));
    Job job{visit, m.panels, team.size};
    team.run(
        [](void *context, int member) {
            const Job &job = *static_cast<const Job *>(context);
            const Range mine = share(job.panels, job.members, member);
            for (Index p = mine.first; p < mine.last; ++p) job.visit(p);
        },
        &job);
}

// Exchanges the upper half of every 2*Half lanes of a with the lower half of b's: one stage of a transposition.
template <class T, int Half, int... Lane>
inline void exchange(Vec<T> &a, Vec<T> &b, std::integer_sequence<int, Lane...>) {
    constexpr int n = int(lanes<T>);
    const Vec<T> low = __builtin_shufflevector(a, b, (Lane & Half ? n + Lane - Half : Lane)...);
    b = __builtin_shufflevector(a, b, (Lane & Half ? n + Lane : Lane + Half)...);
    a = low;
}

// A square block in registers: element (i, j) goes to (j, i).
template <class T, int Half = int(lanes<T>) / 2>
inline void transpose(Vec<T> *block) {
#pragma GCC unroll 16
    for (int i = 0; i < int(lanes<T>); ++i)
        if (!(i & Half)) exchange<T, Half>(block[i], block[i + Half], std::make_integer_sequence<int, lanes<T>>{});
    if constexpr (Half > 1) transpose<T, Half / 2>(block);
}

// Column c becomes source(c)[0..depth), a row of the caller's weights; null makes it zero.
template <class T, class Source>
void pack_columns(Matrix<T> &m, Source source) {
    for_each_panel(m, [&m, source](Index p) {
        const Index width = panel_width(m, p);
        for (Index v = 0; v < vectors_in_panel(m, p); ++v) {
            const T *rows[lanes<T>];
            for (Index lane = 0; lane < lanes<T>; ++lane) {
                const Index column = (vectors_before(m, p) + v) * lanes<T> + lane;
                rows[lane] = column < m.columns ? source(column) : nullptr;
            }
            T *to = vector_of(m, p, v);
            for (Index k = 0; k < m.depth; k += lanes<T>) {
                const Index count = smaller(lanes<T>, m.depth - k);
                Vec<T> block[lanes<T>];
                for (Index lane = 0; lane < lanes<T>; ++lane)
                    block[lane] = rows[lane] ? load_part(rows[lane] + k, count) : Vec<T>{};
                transpose<T>(block);
                for (Index i = 0; i < count; ++i) renew(to + (k + i) * width, block[i]);
            }
        }
    });
}

// Rows `depths` become value(k, column, count): a vector of elements column..column+count.
template <class T, class Value>
void pack_values(Matrix<T> &m, Range depths, Value value) {
    for (Index p = 0; p < m.panels; ++p) {
        const Index first = vectors_before(m, p) * lanes<T>, vectors = vectors_in_panel(m, p);
        T *to = panel_data(m, p) + depths.first * vectors * lanes<T>;
        for (Index k = depths.first; k < depths.last; ++k, to += vectors * lanes<T>)
            for (Index v = 0; v < vectors; ++v) {
                const Index column = first + v * lanes<T>;
                store(to + v * lanes<T>, value(k, column, smaller(lanes<T>, m.columns - column)));
            }
    }
}

// Row k becomes source(k)[0..columns).
template <class T, class Source>
void pack_rows(Matrix<T> &m, Source source) {
    for_each_panel(m, [&m, source](Index p) {
        const Index first = vectors_before(m, p) * lanes<T>, width = panel_width(m, p);
        T *to = vector_of(m, p, 0);
        for (Index k = 0; k < m.depth; ++k, to += width) {
            const T *from = source(k) + first;
            for (Index c = 0; c < width; c += lanes<T>)
                renew(to + c, load_part(from + c, smaller(lanes<T>, m.columns - first - c)));
        }
    });
}

// Gates of one block of units side by side: columns [block][gate][unit] of the given gates.
template <class T>
struct GateColumns {
    const int *gates;
    Index count, hidden;

    Index columns() const {
        const Index blocks = ceil_div(hidden, lanes<T>);
        return (blocks - 1) * count * lanes<T> + count * last_step<T>(hidden, count);
    }
    // Row of the stacked weights that column c comes from; -1 for padding.
    Index row(Index c) const {
        const Index width = lanes<T> * count, last = (ceil_div(hidden, lanes<T>) - 1) * width;
        const Index block = c < last ? c / width : last / width, in_block = c - block * width;
        const Index step = c < last ? lanes<T> : last_step<T>(hidden, count);
        const Index gate = in_block / step, unit = block * lanes<T> + in_block % step;
        return gate < count && unit < hidden ? gates[gate] * hidden + unit : -1;
    }
};

template <class T>
Matrix<T> pack_gates(const T *weight, Index depth, const GateColumns<T> &columns) {
    const Index together = columns.count == 3 ? 3 : 4;  // a block's gates stay in one panel
    Matrix<T> m = empty_matrix<T>(depth, columns.columns(), together, columns.count == 1, weight);
    pack_columns(m, [&](Index c) {
        const Index row = columns.row(c);
        return row < 0 ? nullptr : weight + row * depth;
    });
    return m;
}

template <class T>
void add_bias(T *start, const T *bias, const GateColumns<T> &columns) {
    if (!bias) return;
    for (Index c = 0; c < columns.columns(); ++c) {
        const Index row = columns.row(c);
        if (row >= 0) start[c] += bias[row];
    }
}

}  // namespace hiddenstate::HS_ISA
