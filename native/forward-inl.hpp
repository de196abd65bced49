// A layer over a whole sequence.
//
// Time is cut into chunks whose products with x fit the cache: they are computed for the chunk, then the recurrent
// steps consume them. Chunks change no bit: a product stored and loaded again is the same number.
#pragma once

#include "denormals.hpp"
#include "layer-inl.hpp"
#include "schedule-inl.hpp"

namespace hiddenstate::HS_ISA {

constexpr Index chunk_bytes = 256 * 1024;        // products with x held at once, per member
constexpr Index chunk_bytes_ahead = 128 * 1024;  // the same where others compute them: one of two buffers

// What a member computes in one phase of every step.
template <class T>
struct PanelList {
    StepPanels<T> *list;
    Index count;
};

template <class T>
struct ForwardMember {
    Rows rows;
    StepRow<T> *step;  // its rows in the current step
    T **h;             // where their new h goes, when a projection makes it
    const T **x;       // its rows of the chunk, and where their products go
    T **products;
    T *memory;        // of the products
    Index capacity;   // rows of a chunk
    Index units_end;  // of its hidden units, where those are divided
    PanelList<T> panels[2];
    TileSums<T> *sums;
    Index placed, listed;  // rows of the last step; rows that the lists of panels are made for
};

template <class T>
class ForwardPass {
 public:
    ForwardPass(const Forward<T> &call, const Schedule &schedule, const Division &division, Team &team,
                Scratch &scratch)
        : f_(call),
          plan_(*call.plan),
          layer_(plan_),
          schedule_(schedule),
          division_(division),
          team_(team),
          hands_over_(by_units() && layer_.cell.phases == 1 && !plan_.proj) {
        allocate_state(scratch);
        members_ = take<ForwardMember<T>>(scratch, division.members);
        Rows *rows = take<Rows>(scratch, division.members);
        for (int m = 0; m < division.members; ++m) rows[m] = division.rows(schedule, m);
        if (division.by_rows && schedule.lengths) deal_rows(scratch, schedule, division.members, rows);
        const bool inwards = division.by_rows && division.members > 1 && keeps_apart();
        for (int m = 0; m < division.members; ++m) {
            rows[m].inwards = inwards;
            members_[m] = make_member(m, rows[m], scratch);
        }
    }

    void run() {
        team_.run([](void *self, int member) { static_cast<ForwardPass *>(self)->work(member); }, this);
    }

 private:
    void allocate_state(Scratch &scratch) {
        const Index width = layer_.padded_hidden(), state = schedule_.batch * width;
        zeros_ = take<T>(scratch, larger(plan_.out, width));
        fill(zeros_, larger(plan_.out, width), T(0));
        if (plan_.cell == Cell::lstm) {
            c_ = take<T>(scratch, state);
            rest_c_ = take<T>(scratch, width);
            fill(rest_c_, width, T(0));
            if (f_.rest_c) copy(rest_c_, f_.rest_c, plan_.hidden);
            fill(c_, state, T(0));
            for (Index i = 0; f_.c0 && i < f_.batch; ++i)
                copy(c_ + i * width, f_.c0 + schedule_.order[i] * plan_.hidden, plan_.hidden);
        }
        if (plan_.proj) hidden_ = take<T>(scratch, state);
        if (plan_.cell == Cell::gru_before) {
            reset_ = take<T>(scratch, state);
            update_ = take<T>(scratch, state);
        }
    }

    // Whether members visit their rows from both ends inwards. Going down the rows with an even stride, a processor's
    // prefetcher runs on into the rows that the next member is writing, whose lines then wander from core to core. With
    // many rows and cores close together the prefetcher gains more than that costs.
    bool keeps_apart() {
        constexpr Index few_rows = 16;
        constexpr double far = 200;  // nanoseconds
        return schedule_.batch <= few_rows * division_.members || team_.barrier_time() > far;
    }

    ForwardMember<T> make_member(int member, const Rows &rows, Scratch &scratch) {
        const Index width = layer_.x_width(), most = rows.alive(schedule_.batch);
        const Index pairs = schedule_.steps ? schedule_.offset[schedule_.steps] : 0;
        const Index share_of_cache = division_.ahead     ? chunk_bytes_ahead
                                     : division_.by_rows ? chunk_bytes
                                                         : chunk_bytes * division_.members;
        const Index capacity = larger(most, smaller(pairs, share_of_cache / (width * Index(sizeof(T)))));
        const Index buffers = division_.ahead ? 2 : 1;
        T *memory =
            division_.by_rows || member == 0 ? take<T>(scratch, buffers * capacity * width) : members_[0].memory;
        const Index blocks = layer_.blocks_before(0, division_.panels(plan_.h1, member).last);
        const auto list = [&](int phase) {
            const bool there = phase < layer_.cell.phases;
            return PanelList<T>{there ? take<StepPanels<T>>(scratch, layer_.h_matrix(phase).panels) : nullptr, 0};
        };
        return {rows,
                take<StepRow<T>>(scratch, most),
                take<T *>(scratch, most),
                take<const T *>(scratch, capacity),
                take<T *>(scratch, capacity),
                memory,
                capacity,
                smaller(plan_.hidden, blocks * lanes<T>),
                {list(0), list(1)},
                take<TileSums<T>>(scratch, 1),
                0,
                0};
    }

    void work(int number) {
        ForwardMember<T> &member = members_[number];
        if (division_.ahead) return work_ahead(member, number);
        for (Index first = 0; first < schedule_.steps;) {
            const Index last = chunk_end(member, first);
            multiply_chunk(member, number, {first, last}, {0, pairs_in(member, {first, last})}, member.memory);
            take_steps(member, number, {first, last}, member.memory);
            first = last;
        }
        if (hands_over_) team_.wait(number);
        finish_rows(member, number);
    }

    // The first chunk's products by all, then every next one's by the others while member 0 takes the steps.
    void work_ahead(ForwardMember<T> &member, int number) {
        T *now = member.memory, *next = now + member.capacity * layer_.x_width();
        Range steps{0, chunk_end(member, 0)};
        multiply_chunk(member, number, steps, share(pairs_in(member, steps), division_.members, number), now);
        while (steps.first < schedule_.steps) {
            team_.wait(number);
            const Range following{steps.last, chunk_end(member, steps.last)};
            if (number == 0)
                take_steps(member, number, steps, now);
            else
                multiply_chunk(member, number, following,
                               share(pairs_in(member, following), division_.members - 1, number - 1), next);
            steps = following;
            T *const used = now;
            now = next, next = used;
        }
        finish_rows(member, number);
    }

    void take_steps(ForwardMember<T> &member, int number, Range steps, const T *products) {
        for (Index s = steps.first; s < steps.last; ++s) {
            const Index alive = member.rows.alive(schedule_.active[s]);
            if (division_.ahead) fetch(products + 2 * alive * layer_.x_width(), alive * layer_.x_width());
            place_rows(member, s, alive, products);
            advance(member, number, s, alive);
            products += alive * layer_.x_width();
        }
    }

    // Asks for what another processor's cache holds, before it is needed.
    [[gnu::always_inline]] static void fetch(const T *from, Index count) {
        for (Index i = 0; i < count; i += 64 / Index(sizeof(T))) prefetch(from + i);
    }

    // One step of the member's rows: all units of its own rows, or its own units of all rows.
    void advance(ForwardMember<T> &member, int number, Index s, Index alive) {
        if (grouped_as(alive) != member.listed) list_panels(member, number, alive);
        if (hands_over_) {
            const auto ready = [this, number, s](Index unit) { return await_units(number, s, unit); };
            for_each_listed(member, 0, s,
                            [&](StepPanels<T> &panels) { layer_.take_panels(0, panels, alive, member.step, ready); });
            return team_.arrive(number);
        }
        for (int phase = 0; phase < layer_.cell.phases; ++phase) {
            for_each_listed(member, phase, s,
                            [&](StepPanels<T> &panels) { layer_.take_panels(phase, panels, alive, member.step); });
            if (by_units()) team_.wait(number);
        }
        if (!plan_.proj) return;
        layer_.project(alive, member.step, member.h, division_.panels(plan_.project, number));
        if (by_units()) team_.wait(number);
    }

    // At every other step from the other end, which the cache still holds.
    template <class Visit>
    static void for_each_listed(const ForwardMember<T> &member, int phase, Index s, Visit visit) {
        const PanelList<T> &panels = member.panels[phase];
        for (Index i = 0; i < panels.count; ++i) visit(panels.list[s % 2 ? panels.count - 1 - i : i]);
    }

    void list_panels(ForwardMember<T> &member, int number, Index alive) {
        member.listed = grouped_as(alive);
        for (int phase = 0; phase < layer_.cell.phases; ++phase) {
            const Matrix<T> &m = layer_.h_matrix(phase);
            PanelList<T> &panels = member.panels[phase];
            panels.count = 0;
            for_each_group(m, alive, division_.panels(m, number), {false, true}, [&](Index panel, int together) {
                layer_.prepare(panels.list[panels.count++], phase, panel, together, *member.sums);
            });
        }
    }

    bool by_units() const { return !division_.by_rows && !division_.ahead; }

    // Waits for the units of the state before step s that begin with `unit`, and returns where their member's end.
    Index await_units(int number, Index s, Index unit) const {
        int owner = 0;
        while (members_[owner].units_end <= unit) ++owner;
        if (s > 0 && owner != number) team_.await(number, owner);
        return members_[owner].units_end;
    }

    Index pairs_in(const ForwardMember<T> &member, Range steps) const {
        Index pairs = 0;
        for (Index s = steps.first; s < steps.last; ++s) pairs += member.rows.alive(schedule_.active[s]);
        return pairs;
    }

    Index chunk_end(const ForwardMember<T> &member, Index first) const {
        Index rows = 0, s = first;
        for (; s < schedule_.steps; ++s) {
            rows += member.rows.alive(schedule_.active[s]);
            if (rows > member.capacity && s > first) break;
        }
        return s;
    }

    // Products with x of the chunk's pairs `mine`, counted from its first step on.
    void multiply_chunk(const ForwardMember<T> &member, int number, Range steps, Range mine, T *memory) {
        Index rows = 0, pair = 0;
        for (Index s = steps.first; s < steps.last; ++s) {
            const Index alive = member.rows.alive(schedule_.active[s]);
            for (Index p = 0; p < alive; ++p, ++pair) {
                if (pair < mine.first || pair >= mine.last) continue;
                const Index b = schedule_.order[member.rows.visit(p, alive)];
                member.x[rows++] = f_.x + (schedule_.time(b, s) * f_.batch + b) * plan_.inputs;
            }
        }
        for (int phase = 0; phase < layer_.cell.phases; ++phase) {
            T *region = memory + mine.first * layer_.x_width() + layer_.x_region(phase);
            for (Index r = 0; r < rows; ++r) member.products[r] = region + r * layer_.x_width();
            const Range panels = division_.panels(layer_.h_matrix(phase), number);
            layer_.multiply_x(phase, rows, member.x, member.products, panels);
        }
    }

    void place_rows(ForwardMember<T> &member, Index s, Index alive, const T *products) {
        if (s > 0 && alive == member.placed && !f_.resets) return move_rows(member, s, alive, products);
        member.placed = alive;
        const Index R = plan_.out, H = plan_.hidden, width = layer_.padded_hidden();
        for (Index p = 0; p < alive; ++p) {
            const Index i = member.rows.visit(p, alive), b = schedule_.order[i], t = schedule_.time(b, s);
            const bool fresh = starts_fresh(schedule_, f_.resets, b, s);
            StepRow<T> &row = member.step[p];
            row.h = fresh ? or_zeros(f_.rest_h) : h_before(b, s, t);
            row.c_out = place(c_, i * width);
            row.c = fresh ? rest_c_ : row.c_out;
            row.x = products + p * layer_.x_width();
            member.h[p] = f_.y + (t * f_.batch + b) * R;
            row.out = plan_.proj ? hidden_ + i * width : member.h[p];
            row.tape = place(f_.tape, (schedule_.offset[s] + i) * layer_.cell.fields * H);
            row.reset = place(reset_, i * width);
            row.update = place(update_, i * width);
        }
    }

    // The same rows as in the step before.
    void move_rows(const ForwardMember<T> &member, Index s, Index alive, const T *products) const {
        const Index step = (schedule_.reverse ? -1 : 1) * f_.batch * plan_.out;
        const Index width = layer_.x_width(), tape = schedule_.active[s - 1] * layer_.cell.fields * plan_.hidden;
        for (Index p = 0; p < alive; ++p) {
            StepRow<T> &row = member.step[p];
            row.h = member.h[p];
            row.c = row.c_out;
            row.x = products + p * width;
            member.h[p] += step;
            if (!plan_.proj) row.out = member.h[p];
            if (row.tape) row.tape += tape;
        }
    }

    const T *or_zeros(const T *row) const { return row ? row : zeros_; }

    const T *h_before(Index b, Index s, Index t) const {
        if (s == 0) return or_zeros(place(f_.h0, b * plan_.out));
        return f_.y + ((schedule_.reverse ? t + 1 : t - 1) * f_.batch + b) * plan_.out;
    }

    // Last states. Cells of the projection's step are complete in every division.
    void finish_rows(const ForwardMember<T> &member, int number) {
        clear_padding(f_.y, plan_.out, schedule_, share(f_.steps, division_.members, number));
        if (!division_.by_rows && number > 0) return;
        const Index R = plan_.out, H = plan_.hidden;
        for (Index p = 0; p < member.rows.alive(f_.batch); ++p) {
            const Index i = member.rows.at(p), b = schedule_.order[i], length = schedule_.length(b);
            const T *last = f_.y + ((schedule_.reverse ? 0 : length - 1) * f_.batch + b) * R;
            if (length == 0) last = h_before(b, 0, 0);
            copy(f_.h_n + b * R, last, R);
            if (f_.c_n) copy(f_.c_n + b * H, c_ + i * layer_.padded_hidden(), H);
        }
    }

    const Forward<T> &f_;
    const Plan<T> &plan_;
    const Layer<T> layer_;
    const Schedule &schedule_;
    const Division &division_;
    Team &team_;
    // Whether members that divide the units wait for another's only where they come to them in their products, and not
    // for all after every step.
    const bool hands_over_;
    ForwardMember<T> *members_;
    T *zeros_, *c_ = nullptr, *rest_c_ = nullptr, *hidden_ = nullptr, *reset_ = nullptr, *update_ = nullptr;
};

// Where units are not divided, others compute the products with x, if those are a good part of the work; one thread
// keeps up with the steps up to about twice as many inputs as outputs. Else even few rows are divided.
template <class T>
Division ahead_or_by_rows(const Plan<T> &plan, Index batch, int threads) {
    const int others = int(smaller(ceil_div(plan.inputs, 2 * plan.out), threads - 1));
    if (threads > 1 && 4 * plan.inputs >= plan.out) return {1 + others, false, true};
    return {int(larger(1, smaller(threads, batch))), true};
}

template <class T>
void forward(const Forward<T> &call) {
    Scratch scratch;
    const Schedule schedule = make_schedule(scratch, call.steps, call.batch, call.lengths, call.reverse);
    const Plan<T> &plan = *call.plan;
    const CellKernel<T> &cell = kernel_of<T>(plan.cell, plan.proj > 0);
    const double work = step_operations(plan, cell.gates, schedule.offset[schedule.steps]);
    const Index panels = plan.h1.panels, meetings = cell.phases + (plan.proj > 0);
    // Of two members the one with more panels sets the pace.
    const double evenly = double(panels / 2 * 2) / double(panels);
    const StepCost step{evenly * recurrent_operations(plan, cell.gates, call.batch), 9e3, 130.0 * double(meetings)};
    const DivisionPlan planned =
        plan_division(work, step, panels, call.batch, call.threads,
                      ahead_or_by_rows(plan, call.batch, threads_for(work, work_per_thread, call.threads)));
    Team team(planned.division.members);
    const Division division = settle(team, planned);
    ForwardPass<T>(call, schedule, division, team, scratch).run();
}

}  // namespace hiddenstate::HS_ISA
