// Gradients of the parameters and of x, taken up chunk by chunk.
//
// dW = sum over n of d[n] (outer product) input[n]: the product kernel with the roles turned, its rows being columns of
// d and its depth the chunk's rows. The inputs are packed into panels first, unless they lie in the order of the pairs
// as they are (dense rows of whole vectors); d is read where it lies. Every element of dW is one chain over n; chunks
// depend on the lengths alone, so neither threads nor tiles change a bit.
#pragma once

#include "layer-inl.hpp"
#include "schedule-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
struct Pair {
    const T *x, *h, *tape;  // input; state before the step; activations
    Index at;               // t * B + b
    bool fresh;             // h is the rest state
};

// Gate gradients of a chunk of steps, one row for every (row, step) pair.
template <class T>
struct Chunk {
    Index capacity, d_row, d_out_row;
    T *d;      // [capacity][slots * H, padded]
    T *d_out;  // [capacity][P, padded]: lstm with projection, gradient of h
    Pair<T> *pairs;
};

// Row lengths are an odd number of cache lines: columns of d then spread over all sets of the cache.
template <class T>
Index odd_lines(Index count) {
    const Index line = 64 / Index(sizeof(T));
    return (ceil_div(count, line) | 1) * line;
}

template <class T>
Chunk<T> new_chunk(Scratch &scratch, Index capacity, const Layer<T> &layer) {
    Chunk<T> chunk{capacity,
                   odd_lines<T>(layer.cell.slots * layer.plan.hidden),
                   odd_lines<T>(layer.plan.proj),
                   nullptr,
                   nullptr,
                   take<Pair<T>>(scratch, capacity)};
    chunk.d = take<T>(scratch, capacity * chunk.d_row + lanes<T>);  // the last row is read in whole vectors
    if (layer.plan.proj) chunk.d_out = take<T>(scratch, capacity * chunk.d_out_row + lanes<T>);
    return chunk;
}

// One product dW = d^T input: rows[q] is the q-th row of dW, columns[q] the column of d that makes it. Where inputs
// leave more lanes of a vector unused than gates do, it is turned: dW^T = input^T d, kept in `sums` until the end.
template <class T>
struct WeightProduct {
    Matrix<T> input;  // packed; turned: d, as it lies
    Index width;      // of the input
    Index count;
    const T **columns;
    T **rows;
    Index d_row;
    bool turned;
    T *copy;         // turned: the inputs of the chunk, row by row
    Index copy_row;  // distance of its rows
    T **sums;        // turned: rows of dW^T, padded to whole vectors
};

template <class T>
class WeightGradients {
 public:
    WeightGradients(const Backward<T> &call, const Layer<T> &layer, const Schedule &schedule, const Chunk<T> &chunk,
                    Scratch &scratch)
        : g_(call), layer_(layer), schedule_(schedule), chunk_(chunk) {
        const CellKernel<T> &cell = layer.cell;
        const Index H = layer.plan.hidden, I = layer.plan.inputs, R = layer.plan.out;
        const bool before = layer.plan.cell == Cell::gru_before;
        if (g_.dweight_ih) x_ = new_product(scratch, I, cell.x_slots * H, chunk.d, chunk.d_row);
        for (Index q = 0; q < x_.count; ++q) x_.rows[q] = g_.dweight_ih + x_row(q) * I;
        if (g_.dweight_hh) h_ = new_product(scratch, R, cell.h_slots * H, chunk.d + cell.h_at * H, chunk.d_row);
        for (Index q = 0; q < h_.count; ++q) h_.rows[q] = g_.dweight_hh + q * R;
        if (g_.dweight_hh && before) made_ = new_product(scratch, H, H, chunk.d + 2 * H, chunk.d_row);
        for (Index q = 0; before && q < made_.count; ++q) made_.rows[q] = g_.dweight_hh + (2 * H + q) * R;
        if (g_.dweight_hr) made_ = new_product(scratch, H, layer.plan.proj, chunk.d_out, chunk.d_out_row);
        for (Index q = 0; !before && q < made_.count; ++q) made_.rows[q] = g_.dweight_hr + q * H;
        sums_ = take<T>(scratch, chunk.d_row);
        fresh_sums_ = take<T>(scratch, chunk.d_row);
        fill(sums_, chunk.d_row, T(0));
        fill(fresh_sums_, chunk.d_row, T(0));
    }

    // Whether inputs of the chunk from step `first` on have to be packed.
    bool gathers(Index first) const { return (x_.count && !x_lies()) || (h_.count && !h_lies(first)) || made_.count; }

    // Packs the inputs of the chunk's rows `mine`.
    void gather(Index rows, Range mine, Index first) {
        const Pair<T> *pairs = chunk_.pairs;
        const Index H = layer_.plan.hidden;
        if (!x_lies())
            pack(x_, rows, mine, [pairs](Index n, Index j, Index count) { return load_part(pairs[n].x + j, count); });
        if (!h_lies(first))
            pack(h_, rows, mine, [pairs](Index n, Index j, Index count) { return load_part(pairs[n].h + j, count); });
        if (layer_.plan.proj)
            pack(made_, rows, mine, [pairs, H](Index n, Index j, Index count) {
                const T *tape = pairs[n].tape + j;
                return load_part(tape + 3 * H, count) * tanh<T>(load_part(tape + 4 * H, count));
            });
        else
            pack(made_, rows, mine, [pairs](Index n, Index j, Index count) {
                return load_part(pairs[n].tape + j, count) * load_part(pairs[n].h + j, count);
            });
    }

    // Adds the chunk of these steps to the member's share of every weight and bias gradient. The first chunk, which
    // ends with the last step, starts the sums: what they held does not count.
    void accumulate(Range steps, int member, int members) {
        const Index rows = schedule_.offset[steps.last] - schedule_.offset[steps.first];
        const Addition addition{rows, steps.last < schedule_.steps, member, members};
        add_product(x_, x_lies() ? chunk_.pairs->x : nullptr, addition);
        add_product(h_, h_lies(steps.first) ? chunk_.pairs->h : nullptr, addition);
        add_product(made_, nullptr, addition);
        const Range mine = share(ceil_div(layer_.cell.slots * layer_.plan.hidden, lanes<T>), members, member);
        if (g_.dbias_ih || g_.dbias_hh) add_columns<false>(sums_, rows, mine);
        if (g_.forward.resets && g_.drest_h) add_columns<true>(fresh_sums_, rows, mine);
    }

    // d_x of the chunk's rows `mine`.
    void input_gradients(Range mine) {
        if (!g_.dx) return;
        constexpr Index group = 64;
        for (Index first = mine.first; first < mine.last; first += group) {
            const T *a[group];
            T *out[group];
            const Index some = smaller(group, mine.last - first);
            for (Index r = 0; r < some; ++r) {
                a[r] = chunk_.d + (first + r) * chunk_.d_row;
                out[r] = g_.dx + chunk_.pairs[first + r].at * layer_.plan.inputs;
            }
            const Matrix<T> &m = layer_.plan.back_x;
            multiply(Product<T>{some, a, 1, out}, m, {0, m.panels});
        }
    }

    // What was not summed up in place.
    void finish() {
        if (schedule_.steps == 0) start_sums();
        for (const WeightProduct<T> *product : {&x_, &h_, &made_})
            for (Index j = 0; product->turned && j < product->width; ++j)
                for (Index q = 0; q < product->count; ++q) product->rows[q][j] = product->sums[j][q];
        write_biases();
    }

    void write_biases() {
        const Index H = layer_.plan.hidden, G = layer_.cell.gates * H;
        for (Index q = 0; g_.dbias_ih && q < G; ++q) g_.dbias_ih[x_row(q)] = sums_[q];
        if (g_.dbias_hh) copy(g_.dbias_hh, sums_ + layer_.cell.h_at * H, G);
    }

    // Sum of the gate gradients of all steps that started from the rest state.
    const T *fresh_sums() const { return fresh_sums_; }

 private:
    // How a chunk of `rows` pairs is added: to what is there, or as the first one.
    struct Addition {
        Index rows;
        bool accumulate;
        int member, members;
    };

    // Zeros, where no chunk has started the sums.
    void start_sums() {
        for (const WeightProduct<T> *product : {&x_, &h_, &made_}) {
            for (Index q = 0; q < product->count; ++q) fill(product->rows[q], product->width, T(0));
            for (Index j = 0; product->turned && j < product->width; ++j) fill(product->sums[j], product->count, T(0));
        }
    }

    // Whether the inputs of consecutive pairs lie side by side in the caller's arrays, in whole vectors where those
    // count.
    bool dense() const { return !g_.forward.lengths && !g_.forward.resets && !g_.forward.reverse; }
    bool x_lies() const { return dense() && (x_.turned || x_.width % lanes<T> == 0); }
    bool h_lies(Index first) const { return dense() && first > 0 && (h_.turned || h_.width % lanes<T> == 0); }

    // Row of the stacked input weights that column q of d belongs to: reset-after GRU keeps its gradients as n r z hn.
    Index x_row(Index q) const {
        const Index H = layer_.plan.hidden;
        return layer_.plan.cell == Cell::gru ? (q + 2 * H) % (3 * H) : q;
    }

    WeightProduct<T> new_product(Scratch &scratch, Index width, Index count, const T *d, Index d_row) {
        WeightProduct<T> product{};
        const Index padded = round_up(width, lanes<T>), turned_row = round_up(count, lanes<T>);
        product.width = width;
        product.count = count;
        product.d_row = d_row;
        product.rows = take<T *>(scratch, count);
        product.turned = width * turned_row < padded * count / 16 * 15;
        T *start = take<T>(scratch, larger(padded, turned_row));
        fill(start, larger(padded, turned_row), T(0));
        if (product.turned) {
            product.input = {const_cast<T *>(d), start, 0, count, 0, 0, 0, 0, d_row};
            product.copy_row = odd_lines<T>(width);
            product.copy = take<T>(scratch, product.copy_row * chunk_.capacity);
            product.sums = take<T *>(scratch, width);
            T *sums = take<T>(scratch, width * turned_row);
            for (Index j = 0; j < width; ++j) product.sums[j] = sums + j * turned_row;
        } else {
            product.input = {take<T>(scratch, padded * chunk_.capacity), start, 0, width, 0, 0, 0, 0, 0};
            product.columns = take<const T *>(scratch, count);
            for (Index q = 0; q < count; ++q) product.columns[q] = d + q;
        }
        cut_panels(product.input, most_vectors, true);
        return product;
    }

    template <class Value>
    void pack(WeightProduct<T> &product, Index rows, Range mine, Value value) {
        if (!product.count) return;
        Matrix<T> input = product.input;
        input.depth = rows;
        if (!product.turned) return pack_values(input, mine, value);
        for (Index n = mine.first; n < mine.last; ++n)
            for (Index j = 0; j < product.width; j += lanes<T>)
                store(product.copy + n * product.copy_row + j, value(n, j, smaller(lanes<T>, product.width - j)));
    }

    // The member's share of one product over the chunk's rows; `lies`: where its inputs are when they were not packed.
    void add_product(const WeightProduct<T> &product, const T *lies, const Addition &addition) {
        if (!product.count) return;
        Matrix<T> input = product.input;
        input.depth = addition.rows;
        // From a step to the next the inputs of other rows lie between.
        const Index jump = (schedule_.batch - schedule_.rows) * product.width, run = lies ? schedule_.rows : 0;
        if (product.turned) return add_turned(product, input, lies, run, jump, addition);
        if (lies) {
            input.data = const_cast<T *>(lies);
            input.row = product.width;
        }
        const Range mine = share(product.count, addition.members, addition.member);
        multiply(Product<T>{mine.last - mine.first, product.columns + mine.first, product.d_row,
                            product.rows + mine.first, addition.accumulate, false, 0, run, 0, jump},
                 input, {0, input.panels});
    }

    void add_turned(const WeightProduct<T> &product, const Matrix<T> &d, const T *lies, Index run, Index jump,
                    const Addition &addition) {
        constexpr Index group = 64;
        const Range panels = share(d.panels, addition.members, addition.member);
        for (Index first = 0; first < product.width; first += group) {
            const T *a[group];
            const Index some = smaller(group, product.width - first);
            for (Index r = 0; r < some; ++r) a[r] = (lies ? lies : product.copy) + first + r;
            const Index step = lies ? product.width : product.copy_row;
            multiply(
                Product<T>{some, a, step, product.sums + first, addition.accumulate, true, 0, run, lies ? jump : 0, 0},
                d, panels);
        }
    }

    // sums[q] += d[n][q] over the chunk's rows, in order; `mine` counts vectors of columns.
    template <bool FreshOnly>
    void add_columns(T *sums, Index rows, Range mine) {
        for (Index v = mine.first; v < mine.last; ++v) {
            const Index q = v * lanes<T>;
            Vec<T> sum = load(sums + q);
            for (Index n = 0; n < rows; ++n)
                if (!FreshOnly || chunk_.pairs[n].fresh) sum += load(chunk_.d + n * chunk_.d_row + q);
            store(sums + q, sum);
        }
    }

    const Backward<T> &g_;
    const Layer<T> &layer_;
    const Schedule &schedule_;
    const Chunk<T> &chunk_;
    WeightProduct<T> x_{}, h_{}, made_{};
    T *sums_, *fresh_sums_;
};

}  // namespace hiddenstate::HS_ISA
