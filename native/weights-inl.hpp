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

// A chunk of steps, and which of the pass's chunks in memory it is kept in.
struct Span {
    Range steps;
    int buffer;
};

constexpr int most_buffers = 2;

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
    Matrix<T> input;  // its panels; turned: those of d. Where it lies depends on the chunk
    Index width;      // of the input
    Index count;
    T **rows;
    Index d_row;
    bool turned;
    Index copy_row;                   // turned: distance of the inputs in `packed`, which are kept row by row
    T **sums;                         // turned: rows of dW^T, padded to whole vectors
    const T *d[most_buffers];         // of each chunk: the first column that belongs to the product,
    const T **columns[most_buffers];  // all of them,
    T *packed[most_buffers];          // and the inputs
};

template <class T>
class WeightGradients {
 public:
    WeightGradients(const Backward<T> &call, const Layer<T> &layer, const Schedule &schedule, const Chunk<T> *chunks,
                    int buffers, Scratch &scratch)
        : g_(call), layer_(layer), schedule_(schedule), chunks_(chunks), buffers_(buffers) {
        const CellKernel<T> &cell = layer.cell;
        const Index H = layer.plan.hidden, I = layer.plan.inputs, R = layer.plan.out;
        const bool before = layer.plan.cell == Cell::gru_before;
        if (g_.dweight_ih) x_ = new_product(scratch, I, cell.x_slots * H, &Chunk<T>::d, 0);
        for (Index q = 0; q < x_.count; ++q) x_.rows[q] = g_.dweight_ih + x_row(q) * I;
        if (g_.dweight_hh) h_ = new_product(scratch, R, cell.h_slots * H, &Chunk<T>::d, cell.h_at * H);
        for (Index q = 0; q < h_.count; ++q) h_.rows[q] = g_.dweight_hh + q * R;
        if (g_.dweight_hh && before) made_ = new_product(scratch, H, H, &Chunk<T>::d, 2 * H);
        for (Index q = 0; before && q < made_.count; ++q) made_.rows[q] = g_.dweight_hh + (2 * H + q) * R;
        if (g_.dweight_hr) made_ = new_product(scratch, H, layer.plan.proj, &Chunk<T>::d_out, 0);
        for (Index q = 0; !before && q < made_.count; ++q) made_.rows[q] = g_.dweight_hr + q * H;
        sums_ = take<T>(scratch, chunks->d_row);
        fresh_sums_ = take<T>(scratch, chunks->d_row);
        fill(sums_, chunks->d_row, T(0));
        fill(fresh_sums_, chunks->d_row, T(0));
    }

    // Whether inputs of the chunk from step `first` on have to be packed.
    bool gathers(Index first) const { return (x_.count && !x_lies()) || (h_.count && !h_lies(first)) || made_.count; }

    // Packs the inputs of some of the chunk's rows.
    void gather(const Span &span, Portion portion) {
        const Pair<T> *pairs = chunks_[span.buffer].pairs;
        const Index H = layer_.plan.hidden, first = span.steps.first;
        if (!x_lies())
            pack(x_, span, portion,
                 [pairs](Index n, Index j, Index count) { return load_part(pairs[n].x + j, count); });
        if (!h_lies(first))
            pack(h_, span, portion,
                 [pairs](Index n, Index j, Index count) { return load_part(pairs[n].h + j, count); });
        if (layer_.plan.proj)
            pack(made_, span, portion, [pairs, H](Index n, Index j, Index count) {
                const T *tape = pairs[n].tape + j;
                return load_part(tape + 3 * H, count) * tanh<T>(load_part(tape + 4 * H, count));
            });
        else
            pack(made_, span, portion, [pairs](Index n, Index j, Index count) {
                return load_part(pairs[n].tape + j, count) * load_part(pairs[n].h + j, count);
            });
    }

    // Adds the chunk to a portion of every weight and bias gradient. The first chunk, which ends with the last step,
    // starts the sums: what they held does not count.
    void accumulate(const Span &span, Portion portion) {
        const Pair<T> *pairs = chunks_[span.buffer].pairs;
        const Addition addition{rows_of(span), span.steps.last < schedule_.steps, span.buffer, portion};
        add_product(x_, x_lies() ? pairs->x : nullptr, addition);
        add_product(h_, h_lies(span.steps.first) ? pairs->h : nullptr, addition);
        add_product(made_, nullptr, addition);
        const Range mine = portion.of(ceil_div(layer_.cell.slots * layer_.plan.hidden, lanes<T>));
        if (g_.dbias_ih || g_.dbias_hh) add_columns<false>(sums_, addition, mine);
        if (g_.forward.resets && g_.drest_h) add_columns<true>(fresh_sums_, addition, mine);
    }

    // d_x of some of the chunk's rows.
    void input_gradients(const Span &span, Portion portion) {
        if (!g_.dx) return;
        constexpr Index group = 64;
        const Chunk<T> &chunk = chunks_[span.buffer];
        const Range mine = portion.of(rows_of(span));
        for (Index first = mine.first; first < mine.last; first += group) {
            const T *a[group];
            T *out[group];
            const Index some = smaller(group, mine.last - first);
            for (Index r = 0; r < some; ++r) {
                a[r] = chunk.d + (first + r) * chunk.d_row;
                out[r] = g_.dx + chunk.pairs[first + r].at * layer_.plan.inputs;
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
    // How a chunk is added: to what is there, or as the first one.
    struct Addition {
        Index rows;
        bool accumulate;
        int buffer;
        Portion portion;
    };

    Index rows_of(const Span &span) const {
        return schedule_.offset[span.steps.last] - schedule_.offset[span.steps.first];
    }

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

    // `part`: whose columns from `column` on belong to the product.
    WeightProduct<T> new_product(Scratch &scratch, Index width, Index count, T *Chunk<T>::*part, Index column) {
        WeightProduct<T> product{};
        const Index padded = round_up(width, lanes<T>), turned_row = round_up(count, lanes<T>);
        product.width = width;
        product.count = count;
        product.d_row = part == &Chunk<T>::d ? chunks_->d_row : chunks_->d_out_row;
        product.rows = take<T *>(scratch, count);
        product.turned = width * turned_row < padded * count / 16 * 15;
        product.copy_row = odd_lines<T>(width);
        T *start = take<T>(scratch, larger(padded, turned_row));
        fill(start, larger(padded, turned_row), T(0));
        for (int buffer = 0; buffer < buffers_; ++buffer) {
            const T *d = product.d[buffer] = chunks_[buffer].*part + column;
            product.packed[buffer] = take<T>(scratch, (product.turned ? product.copy_row : padded) * chunks_->capacity);
            if (product.turned) continue;
            const T **columns = product.columns[buffer] = take<const T *>(scratch, count);
            for (Index q = 0; q < count; ++q) columns[q] = d + q;
        }
        if (product.turned) {
            product.input = {nullptr, start, 0, count, 0, 0, 0, 0, product.d_row};
            product.sums = take<T *>(scratch, width);
            T *sums = take<T>(scratch, width * turned_row);
            for (Index j = 0; j < width; ++j) product.sums[j] = sums + j * turned_row;
        } else
            product.input = {nullptr, start, 0, width, 0, 0, 0, 0, 0};
        cut_panels(product.input, most_vectors, true);
        return product;
    }

    template <class Value>
    void pack(WeightProduct<T> &product, const Span &span, Portion portion, Value value) {
        if (!product.count) return;
        const Range mine = portion.of(rows_of(span));
        T *packed = product.packed[span.buffer];
        Matrix<T> input = product.input;
        input.data = packed;
        input.depth = rows_of(span);
        if (!product.turned) return pack_values(input, mine, value);
        for (Index n = mine.first; n < mine.last; ++n)
            for (Index j = 0; j < product.width; j += lanes<T>)
                store(packed + n * product.copy_row + j, value(n, j, smaller(lanes<T>, product.width - j)));
    }

    // A portion of one product over the chunk's rows; `lies`: where its inputs are when they were not packed.
    void add_product(const WeightProduct<T> &product, const T *lies, const Addition &addition) {
        if (!product.count) return;
        // From a step to the next the inputs of other rows lie between.
        const Index jump = (schedule_.batch - schedule_.rows) * product.width, run = lies ? schedule_.rows : 0;
        if (product.turned) return add_turned(product, lies, run, jump, addition);
        Matrix<T> input = product.input;
        input.depth = addition.rows;
        input.data = product.packed[addition.buffer];
        if (lies) {
            input.data = const_cast<T *>(lies);
            input.row = product.width;
        }
        const Range mine = addition.portion.of(product.count);
        multiply(Product<T>{mine.last - mine.first, product.columns[addition.buffer] + mine.first, product.d_row,
                            product.rows + mine.first, addition.accumulate, false, 0, run, 0, jump},
                 input, {0, input.panels});
    }

    void add_turned(const WeightProduct<T> &product, const T *lies, Index run, Index jump, const Addition &addition) {
        constexpr Index group = 64;
        Matrix<T> d = product.input;
        d.depth = addition.rows;
        d.data = const_cast<T *>(product.d[addition.buffer]);
        const Range panels = addition.portion.of(d.panels);
        const T *inputs = lies ? lies : product.packed[addition.buffer];
        const Index step = lies ? product.width : product.copy_row;
        for (Index first = 0; first < product.width; first += group) {
            const T *a[group];
            const Index some = smaller(group, product.width - first);
            for (Index r = 0; r < some; ++r) a[r] = inputs + first + r;
            multiply(
                Product<T>{some, a, step, product.sums + first, addition.accumulate, true, 0, run, lies ? jump : 0, 0},
                d, panels);
        }
    }

    // sums[q] += d[n][q] over the chunk's rows, in order; `mine` counts vectors of columns.
    template <bool FreshOnly>
    void add_columns(T *sums, const Addition &addition, Range mine) {
        const Chunk<T> &chunk = chunks_[addition.buffer];
        for (Index v = mine.first; v < mine.last; ++v) {
            const Index q = v * lanes<T>;
            Vec<T> sum = load(sums + q);
            for (Index n = 0; n < addition.rows; ++n)
                if (!FreshOnly || chunk.pairs[n].fresh) sum += load(chunk.d + n * chunk.d_row + q);
            store(sums + q, sum);
        }
    }

    const Backward<T> &g_;
    const Layer<T> &layer_;
    const Schedule &schedule_;
    const Chunk<T> *chunks_;  // [buffers]
    const int buffers_;
    WeightProduct<T> x_{}, h_{}, made_{};
    T *sums_, *fresh_sums_;
};

}  // namespace hiddenstate::HS_ISA
