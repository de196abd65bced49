// Packing weights into panels (Matrix in kernels.hpp), once per Plan.
#pragma once

#include "product-inl.hpp"
#include "scratch.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
T *allocate(Index count) {
    T *memory = static_cast<T *>(allocate_aligned(std::size_t(count) * sizeof(T)));
    for (Index i = 0; i < count; ++i) memory[i] = T(0);
    return memory;
}

template <class T>
Matrix<T> empty_matrix(Index depth, Index columns, Index vectors) {
    Matrix<T> m{nullptr, nullptr, depth, columns, vectors};
    const Index padded = round_up(columns, lanes<T>);
    m.start = allocate<T>(padded);
    m.data = allocate<T>(padded * depth);
    return m;
}

template <class T>
void release(Matrix<T> &m) {
    release_aligned(m.data);
    release_aligned(m.start);
}

// Where element (k, column) lies: at + k * step.
template <class T>
struct Column {
    T *at;
    Index step;
};

template <class T>
Column<T> column_of(const Matrix<T> &m, Index column) {
    const Index width = m.vectors * lanes<T>, panel = column / width;
    return {m.data + panel * width * m.depth + column % width, vectors_in_panel(m, panel) * lanes<T>};
}

// Column c becomes source(c)[0..depth), a row of the caller's weights; null leaves it zero. Sixteen steps of k at a
// time, so that the lines written stay in the cache from one column to the next.
template <class T, class Source>
void pack_columns(Matrix<T> &m, Source source) {
    const Index block = m.vectors * lanes<T>;
    for (Index first = 0; first < m.columns; first += block)
        for (Index k0 = 0; k0 < m.depth; k0 += 16)
            for (Index c = first; c < smaller(first + block, m.columns); ++c) {
                const T *from = source(c);
                if (!from) continue;
                const Column<T> to = column_of(m, c);
                for (Index k = k0; k < smaller(k0 + 16, m.depth); ++k) to.at[k * to.step] = from[k];
            }
}

// Rows `depths` become value(k, column, count): a vector of elements column..column+count.
template <class T, class Value>
void pack_values(Matrix<T> &m, Range depths, Value value) {
    for (Index p = 0; p < panel_count(m); ++p) {
        const Index first = p * m.vectors * lanes<T>, vectors = vectors_in_panel(m, p);
        T *to = m.data + first * m.depth + depths.first * vectors * lanes<T>;
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
    pack_values(m, {0, m.depth},
                [&](Index k, Index column, Index count) { return load_part(source(k) + column, count); });
}

// Gates of one block of units side by side: columns [block][gate][lane] of the given gates.
struct GateColumns {
    const int *gates;
    Index count, hidden;

    template <class T>
    Index padded() const {
        return round_up(hidden, lanes<T>) * count;
    }
    // Row of the stacked weights that column c comes from; -1 for padding.
    template <class T>
    Index row(Index c) const {
        const Index unit = c / (lanes<T> * count) * lanes<T> + c % lanes<T>;
        return unit < hidden ? gates[c / lanes<T> % count] * hidden + unit : -1;
    }
};

template <class T>
Matrix<T> pack_gates(const T *weight, Index depth, const GateColumns &columns) {
    const Index together = columns.count == 3 ? 3 : 4;
    Matrix<T> m = empty_matrix<T>(depth, columns.padded<T>(), together);
    pack_columns(m, [&](Index c) {
        const Index row = columns.row<T>(c);
        return row < 0 ? nullptr : weight + row * depth;
    });
    return m;
}

template <class T>
void add_bias(T *start, const T *bias, const GateColumns &columns) {
    if (!bias) return;
    for (Index c = 0; c < columns.padded<T>(); ++c) {
        const Index row = columns.row<T>(c);
        if (row >= 0) start[c] += bias[row];
    }
}

}  // namespace hiddenstate::HS_ISA
