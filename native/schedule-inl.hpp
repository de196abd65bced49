// Which rows are alive at which step, where their data lies, and who works on them.
//
// Rows are sorted by length, longest first, so that the rows alive at a step are the first ones: padding is never
// touched. A row is known by its place i in that order. Step s counts in the order of processing; the time index t of
// a row's step is s, or length-1-s when the sequence is read backwards. Alive (row, step) pairs are numbered
// n = offset[s] + i.
#pragma once

#include "product-inl.hpp"
#include "scratch.hpp"
#include "team.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
T *take(Scratch &scratch, Index count) {
    return static_cast<T *>(scratch.take(std::size_t(count) * sizeof(T)));
}

template <class T>
inline void fill(T *to, Index count, T value) {
    for (Index i = 0; i < count; ++i) to[i] = value;
}

template <class T>
inline void copy(T *to, const T *from, Index count) {
    for (Index i = 0; i < count; ++i) to[i] = from[i];
}

// The element at `offset`, or null when there is no array.
template <class T>
inline T *place(T *array, Index offset) {
    return array ? array + offset : nullptr;
}

struct Schedule {
    Index batch, rows;     // of the arrays; of this schedule, which may be a part of them
    Index steps;           // the longest length
    const Index *order;    // [rows] batch index of the row at place i
    const Index *lengths;  // [B] by batch index, or null: all `steps`
    const Index *active;   // [steps] rows alive
    const Index *offset;   // [steps + 1] alive pairs before the step
    bool reverse;
    const Index *whole = nullptr, *places = nullptr;  // of a part: offsets of the whole, and the rows' places there

    Index length(Index b) const { return lengths ? lengths[b] : steps; }
    Index time(Index b, Index s) const { return reverse ? length(b) - 1 - s : s; }
    // Row of the tape that belongs to the step of the row at place i.
    Index on_tape(Index s, Index i) const { return places ? whole[s] + places[i] : offset[s] + i; }
};

// Counting sort, stable: rows of one length keep their order.
inline void sort_by_length(const Index *lengths, Index batch, Index longest, Index *first, Index *order) {
    fill(first, longest + 2, Index(0));
    for (Index b = 0; b < batch; ++b) ++first[longest - lengths[b] + 1];
    for (Index l = 0; l <= longest; ++l) first[l + 1] += first[l];
    for (Index b = 0; b < batch; ++b) order[first[longest - lengths[b]]++] = b;
}

inline Schedule make_schedule(Scratch &scratch, Index steps, Index batch, const Index *lengths, bool reverse) {
    Index longest = lengths ? 0 : steps;
    for (Index b = 0; lengths && b < batch; ++b) longest = larger(longest, lengths[b]);
    if (batch == 0) longest = 0;
    Index *order = take<Index>(scratch, batch), *active = take<Index>(scratch, longest);
    Index *offset = take<Index>(scratch, longest + 1);
    for (Index b = 0; b < batch; ++b) order[b] = b;
    if (lengths) sort_by_length(lengths, batch, longest, take<Index>(scratch, longest + 2), order);
    Index alive = batch;
    offset[0] = 0;
    for (Index s = 0; s < longest; ++s) {
        while (lengths && alive > 0 && lengths[order[alive - 1]] <= s) --alive;
        active[s] = alive;
        offset[s + 1] = offset[s] + alive;
    }
    return {batch, batch, longest, order, lengths, active, offset, reverse};
}

// Segments: does step s of row b start from the rest state instead of the carried one? A flag marks the first step of
// a segment in time; read backwards, a segment is entered from the step before the next flag.
inline bool starts_fresh(const Schedule &schedule, const std::uint8_t *resets, Index b, Index s) {
    if (!resets) return false;
    if (!schedule.reverse) return resets[s * schedule.batch + b];
    return s > 0 && resets[(schedule.time(b, s) + 1) * schedule.batch + b];
}

// Rows of one team member: places first, first + stride, ... below last; or `last` places of a list, ascending.
struct Rows {
    Index first, stride, last;
    const Index *list = nullptr;
    bool inwards = false;  // in which order they are worked on: from both ends inwards instead of ascending

    Index at(Index p) const { return list ? list[p] : first + p * stride; }
    // The q-th to be worked on of the `count` that are alive.
    Index visit(Index q, Index count) const { return at(!inwards ? q : q % 2 ? count - 1 - q / 2 : q / 2); }
    Index alive(Index active) const {
        if (list) return listed_below(active);
        const Index end = smaller(active, last);
        return end <= first ? 0 : stride == 1 ? end - first : ceil_div(end - first, stride);
    }
    Index listed_below(Index place) const {
        Index low = 0, high = last;
        while (low < high) {
            const Index middle = (low + high) / 2;
            if (list[middle] < place)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
};

// Deals rows of unequal length so that the members' sums of lengths come out even: each row, longest first, to who has
// least. For passes without barriers; where members meet in between, each stretch of time has to come out even.
inline void deal_rows(Scratch &scratch, const Schedule &schedule, int members, Rows *rows) {
    Index *total = take<Index>(scratch, members);
    for (int m = 0; m < members; ++m) {
        rows[m] = {0, 1, 0, take<Index>(scratch, schedule.rows)};
        total[m] = 0;
    }
    for (Index i = 0; i < schedule.rows; ++i) {
        int least = 0;
        for (int m = 1; m < members; ++m)
            if (total[m] < total[least]) least = m;
        total[least] += schedule.length(schedule.order[i]);
        const_cast<Index *>(rows[least].list)[rows[least].last++] = i;
    }
}

// The schedule of some rows of the whole.
inline Schedule part_of(Scratch &scratch, const Schedule &whole, const Rows &rows) {
    const Index count = rows.alive(whole.rows);
    Index *order = take<Index>(scratch, count), *places = take<Index>(scratch, count);
    for (Index p = 0; p < count; ++p) {
        places[p] = rows.at(p);
        order[p] = whole.order[places[p]];
    }
    Index steps = 0;
    while (steps < whole.steps && rows.alive(whole.active[steps])) ++steps;
    Index *active = take<Index>(scratch, steps), *offset = take<Index>(scratch, steps + 1);
    offset[0] = 0;
    for (Index s = 0; s < steps; ++s) {
        active[s] = rows.alive(whole.active[s]);
        offset[s + 1] = offset[s] + active[s];
    }
    return {whole.batch, count, steps, order, whole.lengths, active, offset, whole.reverse, whole.offset, places};
}

// Zeros in array [T, B, width] where rows have ended, for some steps. Members share time and not rows, which lie side
// by side: writing next to each other, cores take each other's lines.
template <class T>
void clear_padding(T *array, Index width, const Schedule &schedule, Range steps) {
    if (!array || !schedule.lengths) return;
    for (Index t = steps.first; t < steps.last; ++t)
        for (Index b = 0; b < schedule.batch; ++b)
            if (t >= schedule.lengths[b]) fill(array + (t * schedule.batch + b) * width, width, T(0));
}

// How a call is cut: by rows (members never wait for each other inside the loop over time); with few rows by hidden
// units (a barrier at every step); or, when a step is too short for barriers, `ahead`: member 0 goes through the steps,
// while the others compute the products with x of the next chunk of time (forward) or wait for its weight gradients.
struct Division {
    int members;
    bool by_rows, ahead = false;

    // Rows of equal length lie together; unequal ones are dealt like cards, so that everyone gets long and short ones.
    Rows rows(const Schedule &schedule, int member) const {
        if (!by_rows || members == 1) return {0, 1, schedule.rows};
        if (schedule.lengths) return {member, members, schedule.rows};
        const Range mine = share(schedule.rows, members, member);
        return {mine.first, 1, mine.last};
    }
    template <class T>
    Range panels(const Matrix<T> &m, int member) const {
        return by_rows || ahead ? Range{0, m.panels} : share(m.panels, members, member);
    }
};

// Operations of a whole call below which a second thread costs more than it brings.
constexpr double work_per_thread = 1.5e6;
constexpr Index rows_per_thread = 4;

// A full step between two meetings of members that divide its units: its operations, and from how many on such members
// pay: for each of them, and for a nanosecond of a barrier. Both were measured, on two cores.
struct StepCost {
    double work, per_thread, per_nanosecond;
};

inline int threads_for(double work, double work_each, int limit) {
    const double count = work / work_each;
    return count < 1 ? 1 : count < limit ? int(count) : limit;
}

// `work`: operations of the call; `step_members`: as many as may share one full step.
inline Division divide(double work, Index batch, int limit, int step_members) {
    const int threads = threads_for(work, work_per_thread, limit);
    if (threads <= 1) return {1, true};
    if (batch >= rows_per_thread * threads) return {threads, true};
    return {threads < step_members ? threads : step_members, false};
}

// How a call is to be cut: units of a step where rows are few and a step of so many operations is worth it for each,
// else `otherwise`.
struct DivisionPlan {
    Division division, otherwise;
    StepCost step;
};
inline DivisionPlan plan_division(double work, const StepCost &step, Index panels, Index batch, int limit,
                                  const Division &otherwise) {
    const Division cut = divide(work, batch, limit, threads_for(step.work, step.per_thread, int(panels)));
    return {cut.members == 1 ? otherwise : cut, otherwise, step};
}

// What a team makes of the division that was planned. Units are divided while the barrier is quick enough for such a
// step, as cores and their distances are just now.
inline Division settle(Team &team, const DivisionPlan &plan) {
    Division planned = plan.division;
    const bool by_units = !planned.by_rows && !planned.ahead;
    if (by_units && plan.step.work < plan.step.per_nanosecond * team.barrier_time()) planned = plan.otherwise;
    if (planned.members < team.size) team.size = planned.members;
    return {team.size, planned.by_rows || team.size == 1, planned.ahead && team.size > 1};
}

}  // namespace hiddenstate::HS_ISA
