// Rows times a weight matrix: y = b + x W^T, in the reduction order of every kernel here.
#pragma once

#include "denormals.hpp"
#include "pack-inl.hpp"
#include "schedule-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
struct LinearCall {
    const Matrix<T> *matrix;
    Index rows;
    const T *x;
    T *y;
    int members;

    void work(int member) const {
        constexpr Index group = 64;
        const Range mine = share(rows, members, member);
        for (Index first = mine.first; first < mine.last; first += group) {
            const T *a[group];
            T *out[group];
            const Index some = smaller(group, mine.last - first);
            for (Index r = 0; r < some; ++r) {
                a[r] = x + (first + r) * matrix->depth;
                out[r] = y + (first + r) * matrix->columns;
            }
            multiply(Product<T>{some, a, 1, out}, *matrix, {0, matrix->panels});
        }
    }
};

template <class T>
void linear(const Plan<T> &plan, Index rows, const T *x, T *y, int threads) {
    const Matrix<T> &m = plan.linear;
    const double work = 2.0 * double(rows) * double(m.depth) * double(m.columns);
    Team team(rows < 2 * rows_per_thread ? 1 : threads_for(work, work_per_thread, threads));
    LinearCall<T> call{&m, rows, x, y, team.size};
    team.run([](void *self, int member) { static_cast<const LinearCall<T> *>(self)->work(member); }, &call);
}

}  // namespace hiddenstate::HS_ISA
