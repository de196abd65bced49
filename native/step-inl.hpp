// One step of a batch: what forward does with T = 1, without the machinery of time.
#pragma once

#include "denormals.hpp"
#include "layer-inl.hpp"
#include "schedule-inl.hpp"

namespace hiddenstate::HS_ISA {

// Operations of a brief call from which on a second thread pays, if it is awake.
constexpr double brief_work_per_thread = 1.2e5;

template <class T>
class Step {
 public:
    Step(const Plan<T> &plan, Index batch, const T *x, const T *h, const T *c, T *h_out, T *c_out)
        : plan_(plan), layer_(plan), batch_(batch), x_(x), h_(h), c_(c), h_out_(h_out), c_out_(c_out) {}

    void run(int threads) {
        const double work = step_operations(plan_, layer_.cell.gates, batch_);
        by_rows_ = batch_ >= 2 * rows_per_thread;
        const int lasting = by_rows_ ? threads_for(work, work_per_thread, threads) : 1;
        const bool brief = lasting == 1;  // over before a sleeper would have come
        Team team(brief ? threads_for(work, brief_work_per_thread, threads) : lasting, brief);
        team_ = &team;
        Scratch scratch;
        if (!by_rows_) shared_ = make_memory(scratch, batch_);
        team.run([](void *self, int member) { static_cast<const Step *>(self)->work(member); }, this);
    }

 private:
    static constexpr Index group = 32;  // rows at a time: their products with x stay in the first cache
    static constexpr Index slice = 4;   // with few rows, panels at a time: products with x, then those with h

    // Of a group of rows: products with x, and what is not an output, padded to whole vectors.
    struct Memory {
        T *products, *states, *updates, *cells, *none;
    };

    Memory make_memory(Scratch &scratch, Index rows) const {
        const Index width = layer_.padded_hidden(), longest = larger(plan_.out, width);
        const Memory memory{take<T>(scratch, rows * layer_.x_width()), take<T>(scratch, rows * width),
                            take<T>(scratch, rows * width), take<T>(scratch, rows * width),
                            h_ ? nullptr : take<T>(scratch, longest)};
        if (memory.none) fill(memory.none, longest, T(0));
        return memory;
    }

    // Members divide the rows; with few rows the hidden units.
    void work(int member) const {
        if (!by_rows_) return advance(shared_, 0, batch_, member, team_->size);
        Scratch scratch;
        const Range mine = share(batch_, team_->size, member);
        const Memory memory = make_memory(scratch, smaller(group, mine.last - mine.first));
        for (Index first = mine.first; first < mine.last; first += group)
            advance(memory, first, smaller(group, mine.last - first), 0, 1);
    }

    // A step of `rows` rows from `first` on: the units of one of `members`.
    void advance(const Memory &memory, Index first, Index rows, int member, int members) const {
        StepRow<T> row[group];
        T *out[group];
        const Range units = units_of(share(layer_.h_matrix(0).panels, members, member));
        for (Index r = 0; r < rows; ++r) row[r] = place_row(memory, first + r, r, units);
        for (int phase = 0; phase < layer_.cell.phases; ++phase) {
            if (phase > 0 && members > 1) team_->wait(member);
            pass(memory, phase, first, rows, row, share(layer_.h_matrix(phase).panels, members, member));
        }
        for (Index r = 0; c_out_ && r < rows; ++r)
            copy(c_out_ + (first + r) * plan_.hidden + units.first, row[r].c_out + units.first,
                 units.last - units.first);
        if (!plan_.proj) return;
        if (members > 1) team_->wait(member);
        for (Index r = 0; r < rows; ++r) out[r] = h_out_ + (first + r) * plan_.out;
        layer_.project(rows, row, out, share(plan_.project.panels, members, member));
    }

    // One phase, slice by slice: at every other step from the other end, which the cache still holds.
    void pass(const Memory &memory, int phase, Index first, Index rows, const StepRow<T> *row, Range panels) const {
        thread_local bool turned = false;
        const bool backwards = turned = !turned;
        const T *inputs[group];
        T *out[group];
        for (Index r = 0; r < rows; ++r) {
            inputs[r] = x_ + (first + r) * plan_.inputs;
            out[r] = memory.products + r * layer_.x_width() + layer_.x_region(phase);
        }
        const Index most = by_rows_ ? panels.last : slice;
        for (Range left = panels; left.first < left.last;) {
            Range now = left;
            if (backwards)
                left.last = now.first = larger(left.first, left.last - most);
            else
                left.first = now.last = smaller(left.last, left.first + most);
            layer_.multiply_x(phase, rows, inputs, out, now);
            layer_.gates(phase, rows, row, now, backwards);
        }
    }

    Range units_of(Range panels) const {
        return {smaller(plan_.hidden, layer_.blocks_before(0, panels.first) * lanes<T>),
                smaller(plan_.hidden, layer_.blocks_before(0, panels.last) * lanes<T>)};
    }

    StepRow<T> place_row(const Memory &memory, Index b, Index r, Range units) const {
        const Index width = layer_.padded_hidden();
        T *cell = memory.cells + r * width, *state = memory.states + r * width;
        if (plan_.cell == Cell::lstm) {
            if (c_)
                copy(cell + units.first, c_ + b * plan_.hidden + units.first, units.last - units.first);
            else
                fill(cell + units.first, units.last - units.first, T(0));
        }
        return {h_ ? h_ + b * plan_.out : memory.none,
                cell,
                memory.products + r * layer_.x_width(),
                plan_.proj ? state : h_out_ + b * plan_.out,
                cell,
                nullptr,
                state,
                memory.updates + r * width};
    }

    const Plan<T> &plan_;
    const Layer<T> layer_;
    const Index batch_;
    const T *x_, *h_, *c_;
    T *h_out_, *c_out_;
    bool by_rows_ = true;
    Team *team_ = nullptr;
    Memory shared_{};
};

template <class T>
void step(const Plan<T> &plan, Index batch, const T *x, const T *h, const T *c, T *h_out, T *c_out, int threads) {
    Step<T>(plan, batch, x, h, c, h_out, c_out).run(threads);
}

}  // namespace hiddenstate::HS_ISA
