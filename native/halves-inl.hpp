// Gradients of a layer: which rows are one pass, whose weight gradients are one sum, and who does it.
#pragma once

#include <new>  // placement, which leaves no function that could be merged

#include "backward-inl.hpp"

namespace hiddenstate::HS_ISA {

// Halves of the batch whose weight gradients are summed up apart, each by threads of its own, and added at the end:
// cores then hand over no gate gradients and do not wait for each other. The halves depend on the lengths alone, so the
// number of threads changes no bit.
template <class T>
class BackwardHalves {
 public:
    BackwardHalves(const Backward<T> &call, const Schedule &schedule, const Division &division, Team &team,
                   Scratch &scratch)
        : calls_{call, call}, whole_(schedule), team_(team), count_(schedule.rows < 2 * rows_per_thread ? 1 : 2) {
        if (count_ == 1) {
            add_pass(0, {0, team.size}, schedule, division, scratch);
            return;
        }
        own_sums(calls_[1], scratch);
        Rows rows[2];
        for (int part = 0; part < 2; ++part) {
            const Range half = share(schedule.rows, 2, part);
            rows[part] = {half.first, 1, half.last};
        }
        if (schedule.lengths) deal_rows(scratch, schedule, 2, rows);
        for (int part = 0; part < 2; ++part) {
            const Range members = team.size == 1 ? Range{0, 1} : share(team.size, 2, part);
            add_pass(part, members, part_of(scratch, schedule, rows[part]), division, scratch);
        }
    }

    void run() {
        team_.run([](void *self, int member) { static_cast<BackwardHalves *>(self)->work(member); }, this);
        if (count_ == 1) return;
        team_.run([](void *self, int member) { static_cast<BackwardHalves *>(self)->add_up(member); }, this);
    }

 private:
    struct Sum {
        T *to;
        const T *from;
        Index count;
    };

    void add_pass(int part, Range members, const Schedule &schedule, const Division &division, Scratch &scratch) {
        const int size = int(members.last - members.first);
        members_[part] = members;
        schedules_[part] = schedule;
        const Division own{size, division.by_rows || size == 1, division.ahead && size > 1};
        passes_[part] = new (scratch.take(sizeof(BackwardPass<T>)))
            BackwardPass<T>(calls_[part], schedules_[part], own, team_, int(members.first), scratch);
    }

    // Memory of its own for what the second half sums up over its rows.
    void own_sums(Backward<T> &call, Scratch &scratch) {
        const Plan<T> &plan = *call.forward.plan;
        const Index rows = kernel_of<T>(plan.cell, plan.proj > 0).gates * plan.hidden;
        replace(call.dweight_ih, rows * plan.inputs, scratch);
        replace(call.dweight_hh, rows * plan.out, scratch);
        replace(call.dweight_hr, plan.proj * plan.hidden, scratch);
        replace(call.dbias_ih, rows, scratch);
        replace(call.dbias_hh, rows, scratch);
        replace(call.drest_h, plan.out, scratch);
        replace(call.drest_c, plan.hidden, scratch);
    }

    void replace(T *&array, Index count, Scratch &scratch) {
        if (!array) return;
        T *mine = take<T>(scratch, count);
        sums_[sum_count_++] = {array, mine, count};
        array = mine;
    }

    void work(int member) {
        clear_ended_rows(member);
        for (int part = 0; part < count_; ++part)
            if (member >= members_[part].first && member < members_[part].last)
                passes_[part]->work(member - int(members_[part].first));
    }

    // Padded steps have no gradients.
    void clear_ended_rows(int member) const {
        const Backward<T> &g = calls_[0];
        const Plan<T> &plan = *g.forward.plan;
        const Range steps = share(g.forward.steps, team_.size, member);
        clear_padding(g.dx, plan.inputs, whole_, steps);
        clear_padding(g.dh_steps, plan.out, whole_, steps);
        clear_padding(g.dc_steps, plan.hidden, whole_, steps);
    }

    void add_up(int member) const {
        for (int i = 0; i < sum_count_; ++i) {
            const Range mine = share(sums_[i].count, team_.size, member);
            for (Index j = mine.first; j < mine.last; ++j) sums_[i].to[j] += sums_[i].from[j];
        }
    }

    Backward<T> calls_[2];
    const Schedule &whole_;
    Schedule schedules_[2];
    Team &team_;
    const int count_;
    BackwardPass<T> *passes_[2];
    Range members_[2];
    Sum sums_[7];
    int sum_count_ = 0;
};

template <class T>
void backward(const Backward<T> &call) {
    Scratch scratch;
    const Forward<T> &f = call.forward;
    const Schedule schedule = make_schedule(scratch, f.steps, f.batch, f.lengths, f.reverse);
    const Plan<T> &plan = *f.plan;
    const Index gates = kernel_of<T>(plan.cell, plan.proj > 0).gates, pairs = schedule.offset[schedule.steps];
    const double work = 2 * step_operations(plan, gates, pairs);
    const StepCost step{step_operations(plan, gates, f.batch), 2e4, 330};
    const DivisionPlan planned = plan_division(work, step, plan.back_h.panels, f.batch, f.threads,
                                               {threads_for(work, work_per_thread, f.threads), false, true});
    Team team(planned.division.members);
    const Division division = settle(team, planned);
    BackwardHalves<T>(call, schedule, division, team, scratch).run();
}

}  // namespace hiddenstate::HS_ISA
