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

// Gates of one block of units side by side: columns [block][gate][unit] of the given gates.
template <class T>
struct GateColumns {
    const int *gates;
    Index count, hidden;

    Index columns() const { return before_last() + count * last_step<T>(hidden, count); }
    // Rows of the stacked weights that the vector of columns from `column` on comes from; -1 for padding.
    void rows(Index column, Index *to) const {
        const Index width = count * lanes<T>, last = before_last();
        const Index block = smaller(column, last) / width, in_block = column - block * width;
        if (column < last) {
            const Index first = gates[in_block / lanes<T>] * hidden + block * lanes<T>;
            for (Index lane = 0; lane < lanes<T>; ++lane) to[lane] = first + lane;
            return;
        }
        const Index step = last_step<T>(hidden, count);
        for (Index lane = 0; lane < lanes<T>; ++lane) {
            const Index gate = (in_block + lane) / step, unit = block * lanes<T> + (in_block + lane) % step;
            to[lane] = gate < count && unit < hidden ? gates[gate] * hidden + unit : -1;
        }
    }

 private:
    Index before_last() const { return (ceil_div(hidden, lanes<T>) - 1) * count * lanes<T>; }
};

// One matrix to pack. With `columns` its column c is one row of the weights; without, its row k is row
// (k + rotate) % depth of them.
template <class T>
struct Packing {
    Matrix<T> *to;
    const T *weight;
    GateColumns<T> columns;
    Index rotate;
};

// A vector of columns: the rows of the weights that it comes from (-1 for padding), and where it goes.
template <class T>
struct Strip {
    Index rows[lanes<T>];
    T *to;
    Index width;

    Strip(const Packing<T> &packing, Index p, Index v)
        : to(vector_of(*packing.to, p, v)), width(panel_width(*packing.to, p)) {
        packing.columns.rows((vectors_before(*packing.to, p) + v) * lanes<T>, rows);
    }
};

// Weights and their old panels are far away when other work has emptied the caches. They are asked for one strip ahead,
// or so many rows.
constexpr Index rows_ahead = 8;

template <class T>
[[gnu::always_inline]] inline void ask_for_block(const Strip<T> &strip, const Packing<T> &packing, Index k,
                                                 Index count) {
    for (Index lane = 0; lane < lanes<T>; ++lane)
        if (strip.rows[lane] >= 0) prefetch(packing.weight + strip.rows[lane] * packing.to->depth + k);
    for (Index i = 0; i < count; ++i) prefetch(strip.to + (k + i) * strip.width);
}

template <class T>
void pack_columns(const Packing<T> &packing, Index p) {
    const Matrix<T> &m = *packing.to;
    Strip<T> next(packing, p, 0);
    for (Index v = 0, last = vectors_in_panel(m, p) - 1; v <= last; ++v) {
        const Strip<T> strip = next;
        const bool more = v < last || p + 1 < m.panels;
        if (more) next = v < last ? Strip<T>(packing, p, v + 1) : Strip<T>(packing, p + 1, 0);
        for (Index k = 0; k < m.depth; k += lanes<T>) {
            const Index count = smaller(lanes<T>, m.depth - k);
            if (more) ask_for_block(next, packing, k, count);
            Vec<T> block[lanes<T>];
            for (Index lane = 0; lane < lanes<T>; ++lane) {
                const Index row = strip.rows[lane];
                block[lane] = row < 0 ? Vec<T>{} : load_part(packing.weight + row * m.depth + k, count);
            }
            transpose<T>(block);
            for (Index i = 0; i < count; ++i) renew(strip.to + (k + i) * strip.width, block[i]);
        }
    }
}

template <class T>
void pack_rows(const Packing<T> &packing, Index p) {
    const Matrix<T> &m = *packing.to;
    const Index first = vectors_before(m, p) * lanes<T>, width = panel_width(m, p);
    T *to = vector_of(m, p, 0);
    for (Index k = 0; k < m.depth; ++k, to += width) {
        const T *from = packing.weight + first + (k + packing.rotate) % m.depth * m.columns;
        const T *ahead = packing.weight + first + (k + rows_ahead + packing.rotate) % m.depth * m.columns;
        for (Index c = 0; c < width; c += lanes<T>) {
            prefetch(ahead + c);
            prefetch(to + rows_ahead * width + c);
            renew(to + c, load_part(from + c, smaller(lanes<T>, m.columns - first - c)));
        }
    }
}

// The matrices of a plan: listed first, then packed together, on several threads when they are large.
template <class T>
class PackingList {
 public:
    void add_columns(Matrix<T> &m, const T *weight, Index depth, const GateColumns<T> &columns) {
        const Index together = columns.count == 3 ? 3 : most_vectors;  // a block's gates stay in one panel
        m = empty_matrix<T>(depth, columns.columns(), together, columns.count == 1, weight);
        add({&m, weight, columns, 0});
    }
    // Column c is row c of the weights.
    void add_transposed(Matrix<T> &m, const T *weight, Index depth, Index columns) {
        static constexpr int gate = 0;
        m = empty_matrix<T>(depth, columns, most_vectors, true, weight);
        add({&m, weight, {&gate, 1, columns}, 0});
    }
    void add_rows(Matrix<T> &m, const T *weight, Index depth, Index columns, Index rotate) {
        const void *key = reinterpret_cast<const char *>(weight) + 1;  // not that of the same weights by columns
        m = empty_matrix<T>(depth, columns, most_vectors, true, key);
        add({&m, weight, {nullptr, 0, 0}, rotate});
    }

    void run() {
        constexpr double weights_per_thread = 4e4;
        Team team(threads_for(weights_, weights_per_thread, int(panels_)));
        members_ = team.size;
        team.run([](void *self, int member) { static_cast<const PackingList *>(self)->work(member); }, this);
    }

 private:
    static constexpr int most_matrices = 9;

    void add(const Packing<T> &packing) {
        packings_[count_++] = packing;
        weights_ += double(packing.to->depth) * double(packing.to->columns);
        panels_ = larger(panels_, packing.to->panels);
    }

    // Of every matrix a member packs the panels whose middle lies in its share.
    void work(int member) const {
        for (int i = 0; i < count_; ++i) {
            const Packing<T> &packing = packings_[i];
            const Matrix<T> &m = *packing.to;
            const Index all = vectors_before(m, m.panels);
            for (Index p = 0; p < m.panels; ++p) {
                const Index twice_middle = vectors_before(m, p) + vectors_before(m, p + 1);
                if (twice_middle * members_ / (2 * all) != member) continue;
                packing.columns.gates ? pack_columns(packing, p) : pack_rows(packing, p);
            }
        }
    }

    Packing<T> packings_[most_matrices];
    int count_ = 0, members_ = 1;
    double weights_ = 0;
    Index panels_ = 0;  // of the matrix with most
};

// Adds the bias of the rows below `end`.
template <class T>
void add_bias(T *start, const T *bias, const GateColumns<T> &columns, Index end) {
    if (!bias) return;
    for (Index c = 0; c < columns.columns(); c += lanes<T>) {
        Index rows[lanes<T>];
        columns.rows(c, rows);
        for (Index lane = 0; lane < lanes<T>; ++lane)
            if (rows[lane] >= 0 && rows[lane] < end) start[c + lane] += bias[rows[lane]];
    }
}

}  // namespace hiddenstate::HS_ISA
