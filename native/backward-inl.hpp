// Gradients of a layer over a whole sequence.
//
// Steps run backwards. The product of the next step's gate gradients with W_hh and the gate maths of this step are one
// phase, as in the forward pass. Gate gradients are kept for a chunk of steps; then the weight gradients (products over
// the chunk's rows, in the order of n, continued from chunk to chunk: weights-inl.hpp) and d_x take them up.
#pragma once

#include "weights-inl.hpp"

namespace hiddenstate::HS_ISA {

// (row, step) pairs of a chunk: as many as the second cache holds, but enough to make the products worth their setting
// up, and at least one step. With few rows, whose steps may be one thread's, chunks are smaller, so that the others
// soon have one to take up; but not where the gradients of the weights do not stay in the second cache.
constexpr Index gradient_bytes = 512 * 1024, fewest_pairs = 192, chunks_of_few_rows = 8;

// The maths of an RNN is too short to hide that y and dy come from memory: from so many bytes on they are asked for
// before the product. Other cells do not gain.
constexpr Index far_bytes = 8 * 1024 * 1024;

template <class T>
struct BackMember {
    Rows rows;
    BackRow<T> *step;
    bool *crossing;  // the row's next step started from the rest state
};

template <class T>
class BackwardPass {
 public:
    // `first`: number of the first of the team's members that this pass has.
    BackwardPass(const Backward<T> &call, const Schedule &schedule, const Division &division, Team &team, int first,
                 Scratch &scratch)
        : g_(call),
          f_(call.forward),
          plan_(*f_.plan),
          layer_(plan_),
          schedule_(schedule),
          division_(division),
          team_(team),
          first_member_(first),
          buffers_(division.ahead ? most_buffers : 1),
          pairs_(pairs_of_chunk()),
          chunks_(make_chunks(scratch)),
          weights_(call, layer_, schedule, chunks_, buffers_, scratch) {
        const Index read = 2 * schedule.offset[schedule.steps] * plan_.out * Index(sizeof(T));
        asks_ahead_ = layer_.cell.fields == 0 && read >= far_bytes;
        allocate_state(scratch);
        members_ = take<BackMember<T>>(scratch, division.members);
        for (int m = 0; m < division.members; ++m) {
            const Rows rows = division.rows(schedule, m);
            const Index most = rows.alive(schedule.rows);
            members_[m] = {rows, take<BackRow<T>>(scratch, most), take<bool>(scratch, most)};
        }
    }

    // What member `number` of the pass does.
    void work(int number) {
        const BackMember<T> &member = members_[number];
        pass_empty_rows(number);
        if (division_.ahead)
            work_ahead(member, number);
        else
            work_together(member, number);
        finish(member, number);
    }

 private:
    void wait(int number) { team_.wait(first_member_ + number, first_member_, first_member_ + division_.members); }

    void work_together(const BackMember<T> &member, int number) {
        const Portion mine{number, number + 1, division_.members};
        for (Index last = schedule_.steps; last > 0;) {
            const Span span{{chunk_start(last), last}, 0};
            take_steps(member, number, span);
            wait(number);
            keep_first_step(span, mine);
            if (weights_.gathers(span.steps.first)) {
                weights_.gather(span, mine);
                wait(number);
            }
            take_up(span, mine);
            wait(number);
            last = span.steps.first;
        }
    }

    void take_steps(const BackMember<T> &member, int number, const Span &span) {
        for (Index s = span.steps.last - 1; s >= span.steps.first; --s) {
            const Index alive = member.rows.alive(schedule_.active[s]);
            place_rows(member, number, s, span, alive);
            retreat(member, number, s, alive);
        }
    }

    // All that has to be done before others can take the chunk up.
    void take_steps_alone(const BackMember<T> &member, const Span &span) {
        constexpr Portion all{0, 1, 1};
        take_steps(member, 0, span);
        keep_first_step(span, all);
        if (weights_.gathers(span.steps.first)) weights_.gather(span, all);
    }

    // The gate gradients that the chunk before will need.
    void keep_first_step(const Span &span, Portion portion) {
        const Chunk<T> &chunk = chunks_[span.buffer];
        const Range mine = portion.of(schedule_.active[span.steps.first]);
        copy(next_ + mine.first * chunk.d_row, chunk.d + mine.first * chunk.d_row,
             (mine.last - mine.first) * chunk.d_row);
    }

    void take_up(const Span &span, Portion portion) {
        weights_.accumulate(span, portion);
        weights_.input_gradients(span, portion);
    }

    // Member 0 takes the steps of a chunk while the others take up the one before, and then helps them.
    void work_ahead(const BackMember<T> &member, int number) {
        if (schedule_.steps == 0) return;
        const Portion mine = portion_beside_steps(number), even{number, number + 1, division_.members};
        Span span = chunk_before({{schedule_.steps, schedule_.steps}, 1});
        if (number == 0) take_steps_alone(member, span);
        for (;;) {
            wait(number);
            if (span.steps.first == 0) break;
            const Span next = chunk_before(span);
            if (number == 0) take_steps_alone(member, next);
            take_up(span, mine);
            span = next;
        }
        take_up(span, even);
    }

    // What a member takes up of a chunk while member 0 takes the steps of the next one: of the time that both take, an
    // even part each, in multiply-adds of a pair. Steps of a single row take about three times as long as those of
    // many.
    Portion portion_beside_steps(int number) const {
        constexpr Index pieces = 64;
        const Index others = division_.members - 1;
        const double gates = double(layer_.cell.gates * plan_.hidden);
        const double steps = gates * double(plan_.out) * (1.1 + 1.6 / double(schedule_.rows)) + 1500;
        const double taken =
            1.2 * gates *
            double((g_.dweight_ih ? plan_.inputs : 0) + (g_.dweight_hh ? plan_.out : 0) + (g_.dx ? plan_.inputs : 0));
        const double left = (steps + taken) / double(division_.members) - steps;
        const Index own = left > 0 ? Index(double(pieces) * left / taken) : 0, each = pieces - own;
        if (number == 0) return {0, own, pieces};
        return {own * others + each * (number - 1), own * others + each * number, pieces * others};
    }

    Span chunk_before(const Span &span) const {
        return {{chunk_start(span.steps.first), span.steps.first}, most_buffers - 1 - span.buffer};
    }

    const Chunk<T> *make_chunks(Scratch &scratch) {
        Index capacity = 0;
        for (Index last = schedule_.steps; last > 0;) {
            const Index first = chunk_start(last);
            capacity = larger(capacity, schedule_.offset[last] - schedule_.offset[first]);
            last = first;
        }
        Chunk<T> *chunks = take<Chunk<T>>(scratch, buffers_);
        for (int buffer = 0; buffer < buffers_; ++buffer) chunks[buffer] = new_chunk<T>(scratch, capacity, layer_);
        return chunks;
    }

    // Depends on the lengths alone, as the order of the sums does.
    Index pairs_of_chunk() const {
        const Index inputs = plan_.inputs + plan_.out, row = layer_.cell.slots * plan_.hidden + inputs;
        const Index usual = larger(fewest_pairs, gradient_bytes / (row * Index(sizeof(T))));
        const Index weights = layer_.cell.gates * plan_.hidden * inputs * Index(sizeof(T));
        if (schedule_.rows >= 2 * rows_per_thread || weights > gradient_bytes) return usual;
        const Index part = ceil_div(schedule_.offset[schedule_.steps], chunks_of_few_rows);
        return smaller(usual / most_buffers, larger(fewest_pairs / most_buffers, part));
    }

    Index chunk_start(Index last) const {
        Index first = last - 1;
        while (first > 0 && schedule_.offset[last] - schedule_.offset[first - 1] <= pairs_) --first;
        return first;
    }

    void allocate_state(Scratch &scratch) {
        const Index width = layer_.padded_hidden(), rows = schedule_.rows;
        const Index longest = larger(larger(plan_.out, width), layer_.cell.h_slots * plan_.hidden);
        zeros_ = take<T>(scratch, longest);
        fill(zeros_, longest, T(0));
        next_ = take<T>(scratch, rows * chunks_->d_row);
        if (layer_.cell.carries) carry_ = take<T>(scratch, rows * width);
        if (plan_.cell == Cell::lstm) carry_c_ = take<T>(scratch, rows * width);
        if (!f_.resets) return;
        rest_h_ = take<T>(scratch, rows * width);
        rest_c_ = take<T>(scratch, rows * width);
        fill(rest_h_, rows * width, T(0));
        fill(rest_c_, rows * width, T(0));
    }

    // Step s of the member's rows. Rows whose last step this is have no next step to multiply with.
    void retreat(const BackMember<T> &member, int number, Index s, Index alive) {
        const Index going_on = s + 1 < schedule_.steps ? member.rows.alive(schedule_.active[s + 1]) : 0;
        const BackFn<T> maths = layer_.cell.backward, second = layer_.cell.backward_second;
        const Range panels = division_.panels(plan_.back_h, number);
        product(plan_.back_h, {0, going_on}, member.step, panels, maths, &BackRow<T>::after);
        product(no_depth(plan_.back_h), {going_on, alive}, member.step, panels, maths, &BackRow<T>::after);
        if (by_units()) wait(number);
        if (!second) return;
        const Matrix<T> &m = plan_.proj ? plan_.back_proj : plan_.back_n;
        for (Index p = 0; p < alive; ++p) {
            BackRow<T> &row = member.step[p];
            row.after = plan_.proj ? row.d_out : row.d + 2 * plan_.hidden;
        }
        product(m, {0, alive}, member.step, division_.panels(m, number), second, &BackRow<T>::after);
        if (by_units()) wait(number);
    }

    bool by_units() const { return !division_.by_rows && !division_.ahead; }
    bool takes_steps(int number) const { return !division_.ahead || number == 0; }

    static Matrix<T> no_depth(Matrix<T> m) {
        m.depth = 0;
        return m;
    }

    void product(const Matrix<T> &m, Range places, const BackRow<T> *rows, Range panels, BackFn<T> maths,
                 const T *BackRow<T>::*source) {
        const Index hidden = plan_.hidden;
        rows += places.first;
        for_each_tile(m, places.last - places.first, panels, [&](Index first, int count, Index panel, int together) {
            alignas(64) T sums[tile_size * lanes<T>];
            const T *a[most_rows], *start[most_rows];
            T *out[most_rows];
            const Index vectors = vectors_in_panel(m, panel), width = vectors * lanes<T>;
            const Index row_width = together * width, unit = vectors_before(m, panel) * lanes<T>;
            for (int r = 0; r < count; ++r) {
                a[r] = rows[first + r].*source;
                start[r] = m.start + unit;
                out[r] = sums + r * row_width;
                if (asks_ahead_) ask_ahead(rows[first + r], {unit, unit + row_width}, m.columns);
            }
            run_tile(TileCall<T>{m.depth, a, 1, panel_data(m, panel), width, width * m.depth, start, width, out, width},
                     count, vectors, together);
            maths(BackTile<T>{rows + first, count, sums, row_width, unit, together * vectors, m.columns, hidden});
        });
    }

    [[gnu::always_inline]] static void ask_ahead(const BackRow<T> &row, Range units, Index columns) {
        for (Index u = units.first; u < smaller(units.last, columns); u += lanes<T>) {
            prefetch(row.dy + u);
            prefetch(row.y + u);
        }
    }

    // A row in step s: what flows in from step s+1, and what is stored of step s.
    void place_rows(const BackMember<T> &member, int number, Index s, const Span &span, Index alive) {
        const Chunk<T> &chunk = chunks_[span.buffer];
        const Index R = plan_.out, H = plan_.hidden, fields = layer_.cell.fields;
        const bool records = division_.by_rows || number == 0;
        for (Index p = 0; p < alive; ++p) {
            const Index i = member.rows.at(p), b = schedule_.order[i], t = schedule_.time(b, s);
            const Index pair = schedule_.offset[s] - schedule_.offset[span.steps.first] + i, at = t * f_.batch + b;
            BackRow<T> &row = member.step[p];
            receive(row, member, p, s, number);
            if (s + 1 < span.steps.last)
                row.after = chunk.d + (pair + schedule_.active[s]) * chunk.d_row;
            else
                row.after = next_ + i * chunk.d_row;
            row.after = member.crossing[p] ? zeros_ : row.after + layer_.cell.h_at * H;
            row.dy = or_zeros(place(g_.dy, at * R));
            row.dh_step = place(g_.dh_steps, at * R);
            row.dc_step = place(g_.dc_steps, at * H);
            row.tape = place(f_.tape, schedule_.on_tape(s, i) * fields * H);
            row.y = f_.y + at * R;
            row.d = chunk.d + pair * chunk.d_row;
            row.d_out = place(chunk.d_out, pair * chunk.d_out_row);
            const bool fresh = starts_fresh(schedule_, f_.resets, b, s);
            row.h = fresh ? or_zeros(f_.rest_h) : h_before(b, s, t);
            row.c = fresh ? or_zeros(f_.rest_c) : c_before(i, b, s);
            if (records) chunk.pairs[pair] = {f_.x + at * plan_.inputs, row.h, row.tape, at, fresh};
        }
    }

    // The gradients that step s receives from step s+1 without a product. Where s+1 started from the rest state they
    // belong to that state instead; where s is the row's last step they come from outside.
    void receive(BackRow<T> &row, const BackMember<T> &member, Index p, Index s, int number) {
        const Index width = layer_.padded_hidden(), i = member.rows.at(p), b = schedule_.order[i];
        row.carry_out = place(carry_, i * width);
        row.carry_c_out = place(carry_c_, i * width);
        const bool ends = s == schedule_.length(b) - 1;
        member.crossing[p] = !ends && starts_fresh(schedule_, f_.resets, b, s + 1);
        if (ends) {
            row.carry = or_zeros(place(g_.dh_n, b * plan_.out));
            row.carry_c = or_zeros(place(g_.dc_n, b * plan_.hidden));
            return;
        }
        if (member.crossing[p]) {
            const Matrix<T> &m = plan_.proj ? plan_.back_proj : plan_.back_h;
            const Range panels = division_.panels(m, number);
            const Range units{vectors_before(m, panels.first) * lanes<T>, vectors_before(m, panels.last) * lanes<T>};
            add_units(place(rest_h_, i * width), row.carry_out, units);
            add_units(place(rest_c_, i * width), row.carry_c_out, units);
        }
        row.carry = member.crossing[p] ? zeros_ : or_zeros(row.carry_out);
        row.carry_c = member.crossing[p] ? zeros_ : or_zeros(row.carry_c_out);
    }

    static void add_units(T *to, const T *from, Range units) {
        for (Index u = units.first; from && u < units.last; u += lanes<T>) store(to + u, load(to + u) + load(from + u));
    }

    const T *or_zeros(const T *row) const { return row ? row : zeros_; }

    const T *h_before(Index b, Index s, Index t) const {
        if (s == 0) return or_zeros(place(f_.h0, b * plan_.out));
        return f_.y + ((schedule_.reverse ? t + 1 : t - 1) * f_.batch + b) * plan_.out;
    }

    const T *c_before(Index i, Index b, Index s) const {
        if (!carry_c_) return nullptr;
        if (s == 0) return or_zeros(place(f_.c0, b * plan_.hidden));
        const Index fields = layer_.cell.fields, H = plan_.hidden;
        return f_.tape + (schedule_.on_tape(s - 1, i) * fields + fields - 1) * H;
    }

    // Rows without steps hand their gradients through.
    void pass_empty_rows(int number) {
        const Range mine = share(schedule_.rows, division_.members, number);
        const Index R = plan_.out, H = plan_.hidden;
        for (Index i = mine.first; i < mine.last; ++i) {
            const Index b = schedule_.order[i];
            if (schedule_.length(b) > 0) continue;
            if (g_.dh0) copy(g_.dh0 + b * R, or_zeros(place(g_.dh_n, b * R)), R);
            if (g_.dc0) copy(g_.dc0 + b * H, or_zeros(place(g_.dc_n, b * H)), H);
        }
    }

    // Gradients of the initial states, then (member 0) of the parameters and the rest states.
    void finish(const BackMember<T> &member, int number) {
        const Index R = plan_.out, H = plan_.hidden;
        const Index alive = schedule_.steps && takes_steps(number) ? member.rows.alive(schedule_.active[0]) : 0;
        for (Index p = 0; p < alive; ++p) {
            const Index i = member.rows.at(p), b = schedule_.order[i];
            BackRow<T> &row = member.step[p];
            receive(row, member, p, -1, number);
            row.after = member.crossing[p] ? zeros_ : next_ + i * chunks_->d_row + layer_.cell.h_at * H;
            row.dy = zeros_;
            row.dh_step = place(g_.dh0, b * R);
            if (g_.dc0 && (division_.by_rows || number == 0)) row.dc_step = g_.dc0 + b * H;
        }
        if (g_.dh0)
            product(plan_.back_h, {0, alive}, member.step, division_.panels(plan_.back_h, number), back_to_start<T>,
                    &BackRow<T>::after);
        wait(number);
        for (Index p = 0; g_.dc0 && p < alive && (division_.by_rows || number == 0); ++p)
            copy(member.step[p].dc_step, member.step[p].carry_c, H);
        if (number > 0) return;
        weights_.finish();
        write_rest();
    }

    void write_rest() {
        const Index R = plan_.out, H = plan_.hidden, width = layer_.padded_hidden();
        if (g_.drest_h) fill(g_.drest_h, R, T(0));
        if (g_.drest_c) fill(g_.drest_c, H, T(0));
        if (!f_.resets) return;
        for (Index i = 0; i < schedule_.rows; ++i) {
            for (Index u = 0; g_.drest_h && carry_ && u < R; ++u) g_.drest_h[u] += rest_h_[i * width + u];
            for (Index u = 0; g_.drest_c && u < H; ++u) g_.drest_c[u] += rest_c_[i * width + u];
        }
        if (!g_.drest_h) return;
        const T *sums = weights_.fresh_sums() + layer_.cell.h_at * H;
        T *out = g_.drest_h;
        multiply(Product<T>{1, &sums, 1, &out, true}, plan_.back_h, {0, plan_.back_h.panels});
    }

    const Backward<T> &g_;
    const Forward<T> &f_;
    const Plan<T> &plan_;
    const Layer<T> layer_;
    const Schedule &schedule_;
    const Division division_;
    Team &team_;
    const int first_member_;
    bool asks_ahead_;
    const int buffers_;
    const Index pairs_;  // of a chunk, about
    const Chunk<T> *chunks_;
    WeightGradients<T> weights_;
    BackMember<T> *members_;
    T *zeros_, *next_, *carry_ = nullptr, *carry_c_ = nullptr, *rest_h_ = nullptr, *rest_c_ = nullptr;
};

}  // namespace hiddenstate::HS_ISA
