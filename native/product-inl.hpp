// Products of rows with a packed matrix: the one kernel under everything.
//
//   out[r][c] = start[r][c] + sum_k a[r][k * a_step] * matrix[k][c]     k = 0, 1, ..., depth-1, one fma after the other
//
// A tile of (rows x vectors) stays in registers over the whole of k. Every output element is the same chain of fma
// whatever the tile, so the way rows and columns are cut never changes a bit. Rows are given by pointers: they may lie
// anywhere, repeat, or point at a row of zeros.
#pragma once

#include "simd-inl.hpp"

namespace hiddenstate::HS_ISA {

constexpr int most_rows = 8;     // of a tile
constexpr int most_vectors = 4;  // of a panel
constexpr int most_panels = 4;
constexpr Index tile_size = 32;  // vectors in a tile, at most

template <class T>
struct TileCall {
    Index depth;
    const T *const *a;
    Index a_step;
    const T *panel;
    Index panel_row;   // from a row of the panel to the next one
    Index panel_step;  // from a panel to the next one
    const T *const *start;
    Index start_step;  // from a panel to the next one, in the rows of start
    T *const *out;
    Index out_step;
    Index run = 0, a_jump = 0, panel_jump = 0;  // after every `run` of the depth (0: none) rows lie further apart
};

template <class T, int Rows, int Vectors, int Panels>
void tile(const TileCall<T> &call) {
    Vec<T> sum[Rows][Panels][Vectors];
    const T *a[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
        a[r] = call.a[r];
        const T *start = call.start[r];
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sum[r][p][v] = load(start + p * call.start_step + v * lanes<T>);
    }
    const T *panel = call.panel;
    const Index a_step = call.a_step, panel_row = call.panel_row, panel_step = call.panel_step;
    for (Index rest = call.depth, run = call.run ? call.run : rest; rest > 0; rest -= run) {
        run = smaller(run, rest);
        for (Index k = 0; k < run; ++k, panel += panel_row) {
            Vec<T> b[Panels][Vectors];
#pragma GCC unroll 4
            for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
                for (int v = 0; v < Vectors; ++v) b[p][v] = load(panel + p * panel_step + v * lanes<T>);
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) {
                const Vec<T> left = broadcast(a[r][k * a_step]);
#pragma GCC unroll 4
                for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
                    for (int v = 0; v < Vectors; ++v) sum[r][p][v] = fma(left, b[p][v], sum[r][p][v]);
            }
        }
        panel += call.panel_jump;
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) a[r] += run * a_step + call.a_jump;
    }
    const Index out_step = call.out_step;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
        T *out = call.out[r];
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) store(out + p * out_step + v * lanes<T>, sum[r][p][v]);
    }
}

constexpr int rows_that_fit(Index vectors) {
    return accumulators / int(vectors) < most_rows ? accumulators / int(vectors) : most_rows;
}

// How many panels a tile of few rows takes at once: enough independent sums to hide the latency of fma, and no more,
// because panels left for another tile are those that the first cache still holds at the next step.
constexpr int panels_that_fit(int rows, int vectors) {
    return accumulators < 16 || rows > 2 ? 1 : rows == 1 && vectors < most_vectors ? 4 : 2;
}

// Passes of as many rows take the same panels together, and so do all of more than two.
inline Index grouped_as(Index rows) {
    return smaller(rows, 3);
}

template <class T, int Rows, int Vectors>
void tile_panels(const TileCall<T> &call, int panels) {
    constexpr int fit = panels_that_fit(Rows, Vectors);
    if constexpr (fit > 2) {
        if (panels == fit) return tile<T, Rows, Vectors, fit>(call);
    }
    if constexpr (fit > 1) {
        if (panels == 2) return tile<T, Rows, Vectors, 2>(call);
    }
    tile<T, Rows, Vectors, 1>(call);
}

template <class T, int Vectors>
void tile_rows(const TileCall<T> &call, int rows, int panels) {
    constexpr int fit = rows_that_fit(Vectors);
    switch (rows) {
        case 1: return tile_panels<T, 1, Vectors>(call, panels);
        case 2: return tile_panels<T, 2, Vectors>(call, panels);
        case 3: return tile_panels<T, 3, Vectors>(call, 1);
        case 4:
            if constexpr (fit >= 4)
                return tile_panels<T, 4, Vectors>(call, 1);
            else
                break;
        case 5:
            if constexpr (fit >= 5)
                return tile_panels<T, 5, Vectors>(call, 1);
            else
                break;
        case 6:
            if constexpr (fit >= 6)
                return tile_panels<T, 6, Vectors>(call, 1);
            else
                break;
        case 7:
            if constexpr (fit >= 7)
                return tile_panels<T, 7, Vectors>(call, 1);
            else
                break;
        case 8:
            if constexpr (fit >= 8)
                return tile_panels<T, 8, Vectors>(call, 1);
            else
                break;
    }
}

template <class T>
void run_tile(const TileCall<T> &call, int rows, Index vectors, int panels) {
    switch (vectors) {
        case 1: return tile_rows<T, 1>(call, rows, panels);
        case 2: return tile_rows<T, 2>(call, rows, panels);
        case 3: return tile_rows<T, 3>(call, rows, panels);
        case 4: return tile_rows<T, 4>(call, rows, panels);
    }
}

// Cuts the columns into panels of `vectors` vectors and one with the rest; or, `evenly`, into as many panels whose
// widths differ by one at most: narrow panels keep the processor less busy.
template <class T>
void cut_panels(Matrix<T> &m, Index vectors, bool evenly) {
    const Index all = ceil_div(m.columns, lanes<T>), full = all / vectors;
    m.panels = ceil_div(all, vectors);
    if (evenly && m.panels) {
        m.narrow = all / m.panels;
        m.wide = all % m.panels;
        m.vectors = m.narrow + 1;
        if (m.wide == 0) m.wide = m.panels, m.vectors = m.narrow;
    } else {
        m.wide = full;
        m.vectors = vectors;
        m.narrow = all - full * vectors;
    }
}

template <class T>
Index vectors_in_panel(const Matrix<T> &m, Index panel) {
    return panel < m.wide ? m.vectors : m.narrow;
}

// Vectors before a panel.
template <class T>
Index vectors_before(const Matrix<T> &m, Index panel) {
    return panel <= m.wide ? panel * m.vectors : m.wide * m.vectors + (panel - m.wide) * m.narrow;
}

template <class T>
T *panel_data(const Matrix<T> &m, Index panel) {
    return m.data + vectors_before(m, panel) * lanes<T> * (m.row ? 1 : m.depth);
}

// Distance of two rows of a panel, and of two panels of this width.
template <class T>
Index row_step(const Matrix<T> &m, Index width) {
    return m.row ? m.row : width;
}
template <class T>
Index panel_step(const Matrix<T> &m, Index width) {
    return m.row ? width : width * m.depth;
}

struct Range {
    Index first, last;
};

// Part of a whole in equal pieces: what a member does.
struct Portion {
    Index first, last, whole;
    Range of(Index count) const { return {count * first / whole, count * last / whole}; }
};

// The share of `member` when `count` things are dealt to `members`, in contiguous pieces.
inline Range share(Index count, int members, int member) {
    return Portion{member, member + 1, members}.of(count);
}

// Whether the next `together` panels exist and have the same width.
template <class T>
bool alike(const Matrix<T> &m, Range panels, int together, bool backwards) {
    if (together > panels.last - panels.first) return false;
    const Index first = backwards ? panels.last - together : panels.first;
    return vectors_in_panel(m, first) == vectors_in_panel(m, first + together - 1);
}

// How panels are passed through. Going backwards at every other step meets those first that the cache still holds. When
// step follows step at once, a tile of one row therefore leaves half of few panels to another tile.
struct Order {
    bool backwards = false, again = false;
};

// Calls visit(panel, panels) for the panels that tiles of a pass of `rows` rows take together.
template <class T, class Visit>
[[gnu::always_inline]] inline void for_each_group(const Matrix<T> &m, Index rows, Range panels, Order order,
                                                  Visit visit) {
    const bool backwards = order.backwards;
    for (Range left = panels; left.first < left.last;) {
        const Index vectors = vectors_in_panel(m, backwards ? left.last - 1 : left.first);
        int together = rows == 1 || rows == 2 ? panels_that_fit(int(rows), int(vectors)) : 1;
        if (order.again && 2 * together > panels.last - panels.first) together = smaller(together, 2);
        while (together > 1 && !alike(m, left, together, backwards)) together /= 2;
        const Index p = backwards ? left.last - together : left.first;
        visit(p, together);
        if (backwards)
            left.last = p;
        else
            left.first = p + together;
    }
}

// Calls visit(first row, rows) for the tiles of this width that `rows` rows are cut into, as evenly as possible.
template <class Visit>
[[gnu::always_inline]] inline void for_each_cut(Index rows, Index vectors, Visit visit) {
    const Index fit = rows_that_fit(vectors), tiles = rows <= fit ? rows > 0 : ceil_div(rows, fit);
    const Index each = tiles <= 1 ? rows : rows / tiles, one_more = rows - tiles * each;
    for (Index t = 0, first = 0; t < tiles; ++t) {
        const int count = int(t < one_more ? each + 1 : each);
        visit(first, count);
        first += count;
    }
}

// Calls visit(first row, rows, panel, panels) over all tiles of `rows` rows and the given panels: panels outside (one
// panel stays in the cache while the rows pass), rows inside. Always inline, as both loops are: for one row the call
// would take as long as a tenth of the tile.
template <class T, class Visit>
[[gnu::always_inline]] inline void for_each_tile(const Matrix<T> &m, Index rows, Range panels, Visit visit) {
    for_each_group(m, rows, panels, {}, [&](Index panel, int together) {
        for_each_cut(rows, vectors_in_panel(m, panel),
                     [&](Index first, int count) { visit(first, count, panel, together); });
    });
}

// What multiply works on: `rows` rows `a` times a packed matrix.
template <class T>
struct Product {
    Index rows;
    const T *const *a;
    Index a_step;
    T *const *out;
    bool accumulate = false;  // start from what out holds instead of matrix.start
    bool whole = false;       // rows of out have room for whole vectors; otherwise they end at matrix.columns
    Index gap = 0;            // numbers between two panels in a row of out, with `whole`
    Index run = 0, a_jump = 0, panel_jump = 0;  // see TileCall; 0: one run
};

template <class T>
void multiply_tail(const Product<T> &product, const Matrix<T> &m, TileCall<T> call, Index first, int rows, Index panel);

// out = start + a * matrix, for the given panels.
template <class T>
void multiply(const Product<T> &product, const Matrix<T> &m, Range panels) {
    for_each_tile(m, product.rows, panels, [&](Index first, int rows, Index panel, int together) {
        const T *a[most_rows], *start[most_rows];
        T *out[most_rows];
        const Index vectors = vectors_in_panel(m, panel), width = vectors * lanes<T>;
        const Index column = vectors_before(m, panel) * lanes<T>, out_step = width + product.gap;
        for (int r = 0; r < rows; ++r) {
            a[r] = product.a[first + r];
            out[r] = product.out[first + r] + column + panel * product.gap;
            start[r] = product.accumulate ? out[r] : m.start + column;
        }
        TileCall<T> call{m.depth,
                         a,
                         product.a_step,
                         panel_data(m, panel),
                         row_step(m, width),
                         panel_step(m, width),
                         start,
                         product.accumulate ? out_step : width,
                         out,
                         out_step,
                         product.run,
                         product.a_jump,
                         product.panel_jump};
        if (product.whole || column + together * width <= m.columns) return run_tile(call, rows, vectors, together);
        // The last panel ends inside a vector; those before it in the tile are whole.
        for (; together > 1; --together, ++panel) {
            run_tile(call, rows, vectors, 1);
            call.panel += call.panel_step;
            for (int r = 0; r < rows; ++r) start[r] += call.start_step, out[r] += call.out_step;
        }
        multiply_tail(product, m, call, first, rows, panel);
    });
}

// The last panel of a row that ends inside a vector: computed in a buffer, then copied.
template <class T>
void multiply_tail(const Product<T> &product, const Matrix<T> &m, TileCall<T> call, Index first, int rows,
                   Index panel) {
    const Index vectors = vectors_in_panel(m, panel), column = vectors_before(m, panel) * lanes<T>;
    const Index left = m.columns - column;
    alignas(64) T buffer[most_rows][most_vectors * lanes<T>];
    const T *start[most_rows];
    T *out[most_rows];
    for (int r = 0; r < rows; ++r) {
        T *target = product.out[first + r] + column;
        out[r] = buffer[r];
        start[r] = product.accumulate ? buffer[r] : call.start[r];
        if (product.accumulate)
            for (Index v = 0; v < vectors; ++v)
                store(buffer[r] + v * lanes<T>,
                      load_part(target + v * lanes<T>, smaller(lanes<T>, left - v * lanes<T>)));
    }
    call.start = start;
    call.out = out;
    run_tile(call, rows, vectors, 1);
    for (int r = 0; r < rows; ++r) {
        T *target = product.out[first + r] + column;
        for (Index v = 0; v < vectors; ++v)
            store_part(target + v * lanes<T>, load(buffer[r] + v * lanes<T>), smaller(lanes<T>, left - v * lanes<T>));
    }
}

}  // namespace hiddenstate::HS_ISA
