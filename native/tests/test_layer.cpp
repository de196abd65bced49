// Layers over time: values against the scalar loop, gradients against finite differences of the kernels' own forward
// pass in double, the same bits with any number of threads, and steps that equal the sequence.
#include <algorithm>

#include "layer_problem.hpp"

namespace hiddenstate::test {

constexpr Cell cells[] = {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru, Cell::gru_before};

template <class T>
void values(const Size &size) {
    const Problem<T> problem(size, 7);
    const Result<T> got = run_forward(problem, 1);
    const Result<double> wanted = scalar_forward(problem);
    const double limit = sizeof(T) == 4 ? 1e-5 : 1e-13;
    CHECK(largest_difference(got.y, wanted.y) < limit, "y of cell %d", int(size.cell));
    CHECK(largest_difference(got.h_n, wanted.h_n) < limit, "h_n of cell %d", int(size.cell));
    CHECK(largest_difference(got.c_n, wanted.c_n) < limit, "c_n of cell %d", int(size.cell));
}

double dot(const std::vector<double> &a, const std::vector<double> &b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

double loss(const Problem<double> &p) {
    const Result<double> r = run_forward(p, 1);
    double sum = dot(r.y, p.dy) + dot(r.h_n, p.dh_n);
    return r.c_n.empty() ? sum : sum + dot(r.c_n, p.dc_n);
}

// Along a random direction of every parameter array.
void gradients(const Size &size) {
    const Problem<double> problem(size, 3);
    const auto grads = run_backward(problem, 1);
    constexpr double step = 1e-6;
    for (int i = 0; i < problem.count; ++i) {
        const std::size_t n = grads[std::size_t(i)].size();
        if (n == 0) continue;
        const std::vector<double> direction = uniform<double>(n, 1, unsigned(40 + i));
        Problem<double> up = problem, down = problem;
        for (std::size_t j = 0; j < n; ++j) {
            up.parameters[i][j] += step * direction[j];
            down.parameters[i][j] -= step * direction[j];
        }
        const double slope = (loss(up) - loss(down)) / (2 * step), wanted = dot(grads[std::size_t(i)], direction);
        CHECK(std::fabs(slope - wanted) <= 1e-6 * (1 + std::fabs(wanted)),
              "cell %d, parameter %d: %.12g, expected %.12g", int(size.cell), i, wanted, slope);
    }
}

template <class T>
void threads(const Size &size) {
    const Problem<T> problem(size, 5);
    const Result<T> alone = run_forward(problem, 1);
    const auto alone_back = run_backward(problem, 1);
    for (int count : {2, 3}) {
        const Result<T> many = run_forward(problem, count);
        CHECK(same_bits(many.y, alone.y) && same_bits(many.h_n, alone.h_n) && same_bits(many.c_n, alone.c_n),
              "cell %d, %d threads, forward", int(size.cell), count);
        const auto many_back = run_backward(problem, count);
        for (std::size_t i = 0; i < many_back.size(); ++i)
            CHECK(same_bits(many_back[i], alone_back[i]), "cell %d, %d threads, gradient %zu", int(size.cell), count,
                  i);
    }
}

template <class T>
void steps(const Size &size) {
    const Problem<T> p(size, 11);
    const Result<T> whole = run_forward(p, 1);
    const bool lstm = size.cell == Cell::lstm;
    Plan<T> *plan = p.pack(false);
    std::vector<T> h = p.parameters[p.h0], c = p.parameters[p.c0], next(h.size());
    for (Index t = 0; t < size.steps; ++t) {
        const T *x = p.get(p.x) + t * size.batch * size.inputs;
        kernels<T>().step(*plan, size.batch, x, h.data(), lstm ? c.data() : nullptr, next.data(),
                          lstm ? c.data() : nullptr, 3);
        h = next;
    }
    kernels<T>().release(plan);
    CHECK(same_bits(h, whole.h_n), "cell %d, single steps", int(size.cell));
    if (lstm) CHECK(same_bits(c, whole.c_n), "single steps, c");
}

void all() {
    for (Cell cell : cells) {
        for (Index hidden : {1, 16, 37})
            for (bool ragged : {false, true})
                for (bool reverse : {false, true}) {
                    const Size size{cell, 6, 7, 5, hidden, 0, ragged, reverse};
                    values<float>(size);
                    values<double>(size);
                    gradients(size);
                    if (!ragged && !reverse) steps<float>(size);
                }
        const Size chunked{cell, 120, 4, 600, 70, 0, true, false};  // several chunks of time, forward and backward
        values<double>(chunked);
        gradients(chunked);
        threads<float>({cell, 10, 24, 20, 100, 0, false, false});  // rows are split
        threads<float>({cell, 12, 24, 20, 100, 0, true, true});
        threads<float>({cell, 90, 24, 1, 50, 0, false, false});  // weight gradients are turned, inputs lie as they are
        threads<float>({cell, 90, 24, 7, 50, 0, true, false});
        gradients({cell, 30, 9, 1, 50, 0, false, false});
        threads<float>({cell, 4, 3, 200, 260, 0, true, false});  // hidden units are split
        threads<double>({cell, 3, 1, 300, 300, 0, false, false});
        threads<float>({cell, 1200, 1, 40, 48, 0, false, false});  // products with x are computed ahead
        threads<float>({cell, 400, 3, 150, 32, 0, true, true});
        threads<float>({cell, 300, 7, 20, 40, 0, false, true});
    }
    for (bool reverse : {false, true}) {
        const Size projected{Cell::lstm, 6, 7, 5, 21, 9, true, reverse};
        values<float>(projected);
        values<double>(projected);
        gradients(projected);
    }
    steps<double>({Cell::lstm, 6, 40, 5, 21, 9, false, false});
    steps<float>({Cell::lstm, 3, 100, 70, 90, 0, false, false});  // large enough for threads
    for (Cell cell : cells)                                       // brief calls: hidden units are split
        for (Index batch : {1, 5}) steps<float>({cell, 40, batch, 130, 270, 0, false, false});
    steps<float>({Cell::lstm, 40, 3, 130, 270, 140, false, false});
    threads<float>({Cell::lstm, 4, 3, 200, 260, 70, true, false});
    threads<float>({Cell::lstm, 400, 2, 90, 60, 30, true, true});
}

}  // namespace hiddenstate::test

int main() {
    return hiddenstate::test::on_every_isa(hiddenstate::test::all);
}
