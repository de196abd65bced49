// A layer's call with random arrays, and the same layer as a scalar loop over rows, segments and steps.
#pragma once

#include "check.hpp"

namespace hiddenstate::test {

struct Size {
    Cell cell;
    Index steps, batch, inputs, hidden, proj;
    bool ragged, reverse;  // ragged: unequal lengths, resets and a rest state
};

inline Index gates_of(Cell cell) {
    return cell == Cell::lstm ? 4 : cell == Cell::gru || cell == Cell::gru_before ? 3 : 1;
}
inline Index fields_of(Cell cell) {
    return cell == Cell::lstm ? 5 : cell == Cell::gru ? 4 : cell == Cell::gru_before ? 3 : 0;
}

// What a call reads. Gradients of `parameters` are named by their place in this list.
template <class T>
struct Problem {
    Size size;
    Index out;
    enum { x, h0, c0, rest_h, rest_c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, count };
    std::vector<T> parameters[count];
    std::vector<Index> lengths;
    std::vector<std::uint8_t> resets;
    std::vector<T> dy, dh_n, dc_n;

    Problem(const Size &s, unsigned seed) : size(s), out(s.proj ? s.proj : s.hidden) {
        const Index T_ = s.steps, B = s.batch, I = s.inputs, H = s.hidden, G = gates_of(s.cell) * H;
        const Index counts[count] = {T_ * B * I, B * out, B * H, out, H, G * I, G * out, G, G, s.proj * H};
        for (int p = 0; p < count; ++p)
            parameters[p] =
                uniform<T>(std::size_t(counts[p]), p == x ? 1 : 1 / std::sqrt(double(H)), seed + unsigned(p));
        dy = uniform<T>(std::size_t(T_ * B * out), 1, seed + 20);
        dh_n = uniform<T>(std::size_t(B * out), 1, seed + 21);
        dc_n = uniform<T>(std::size_t(B * H), 1, seed + 22);
        std::mt19937 draw(seed);
        for (Index b = 0; b < B; ++b) lengths.push_back(s.ragged ? Index(draw() % unsigned(T_ + 1)) : T_);
        for (Index i = 0; i < T_ * B; ++i) resets.push_back(s.ragged && draw() % 4 == 0);
    }

    const T *get(int p) const { return parameters[p].empty() ? nullptr : parameters[p].data(); }

    Plan<T> *pack(bool backward) const {
        const bool lstm_projected = size.proj > 0;
        return kernels<T>().pack({size.cell, size.inputs, size.hidden, size.proj, get(weight_ih), get(weight_hh),
                                  get(bias_ih), get(bias_hh), lstm_projected ? get(weight_hr) : nullptr, backward});
    }
};

template <class T>
struct Result {
    std::vector<T> y, h_n, c_n, tape;
};

template <class T>
Forward<T> forward_call(const Problem<T> &p, const Plan<T> *plan, Result<T> &r, int threads) {
    const Size &s = p.size;
    const bool lstm = s.cell == Cell::lstm;
    r.y.assign(std::size_t(s.steps * s.batch * p.out), T(NAN));
    r.h_n.assign(std::size_t(s.batch * p.out), T(NAN));
    r.c_n.assign(lstm ? std::size_t(s.batch * s.hidden) : 0, T(NAN));
    r.tape.assign(std::size_t(s.steps * s.batch * fields_of(s.cell) * s.hidden), T(NAN));
    return {plan,
            s.steps,
            s.batch,
            p.get(p.x),
            p.get(p.h0),
            lstm ? p.get(p.c0) : nullptr,
            s.ragged ? p.lengths.data() : nullptr,
            s.ragged ? p.resets.data() : nullptr,
            p.get(p.rest_h),
            lstm ? p.get(p.rest_c) : nullptr,
            s.reverse,
            r.y.data(),
            r.h_n.data(),
            lstm ? r.c_n.data() : nullptr,
            r.tape.empty() ? nullptr : r.tape.data(),
            threads};
}

template <class T>
Result<T> run_forward(const Problem<T> &p, int threads) {
    Result<T> result;
    Plan<T> *plan = p.pack(false);
    kernels<T>().forward(forward_call(p, plan, result, threads));
    kernels<T>().release(plan);
    return result;
}

// Gradients of the parameters in their order, then of h and c at every step.
template <class T>
std::vector<std::vector<T>> run_backward(const Problem<T> &p, int threads) {
    using P = Problem<T>;
    const Size &s = p.size;
    const bool lstm = s.cell == Cell::lstm;
    Result<T> kept;
    Plan<T> *plan = p.pack(true);
    const Forward<T> forward = forward_call(p, plan, kept, threads);
    kernels<T>().forward(forward);
    std::vector<std::vector<T>> grads;
    for (const auto &parameter : p.parameters) grads.emplace_back(parameter.size(), T(NAN));
    if (!lstm) grads[P::c0].clear(), grads[P::rest_c].clear();
    grads.emplace_back(kept.y.size(), T(NAN));
    grads.emplace_back(lstm ? std::size_t(s.steps * s.batch * s.hidden) : 0, T(NAN));
    auto at = [&grads](int i) { return grads[std::size_t(i)].empty() ? nullptr : grads[std::size_t(i)].data(); };
    kernels<T>().backward({forward, p.dy.data(), p.dh_n.data(), lstm ? p.dc_n.data() : nullptr, at(P::x), at(P::h0),
                           at(P::c0), at(P::rest_h), at(P::rest_c), at(P::weight_ih), at(P::weight_hh), at(P::bias_ih),
                           at(P::bias_hh), at(P::weight_hr), at(P::count), at(P::count + 1)});
    kernels<T>().release(plan);
    return grads;
}

// One step of one row, in double.
template <class T>
struct ScalarCell {
    const Problem<T> &p;

    double sum(int weight, int bias, Index row, const std::vector<double> &v) const {
        double total = double(p.parameters[bias][std::size_t(row)]);
        for (std::size_t k = 0; k < v.size(); ++k)
            total += double(p.parameters[weight][std::size_t(row) * v.size() + k]) * v[k];
        return total;
    }

    static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

    void step(const std::vector<double> &x, std::vector<double> &h, std::vector<double> &c) const {
        const Index H = p.size.hidden;
        const std::vector<double> before = h;
        std::vector<double> made(static_cast<std::size_t>(H)), reset = before;
        auto in = [&](Index gate, Index j) { return sum(p.weight_ih, p.bias_ih, gate * H + j, x); };
        auto rec = [&](Index gate, Index j, const std::vector<double> &v) {
            return sum(p.weight_hh, p.bias_hh, gate * H + j, v);
        };
        auto gate = [&](Index g, Index j) { return sigmoid(in(g, j) + rec(g, j, before)); };
        if (p.size.cell == Cell::gru_before)
            for (Index j = 0; j < H; ++j) reset[std::size_t(j)] *= gate(0, j);
        for (Index j = 0; j < H; ++j) {
            double &out = made[std::size_t(j)];
            switch (p.size.cell) {
                case Cell::rnn_tanh: out = std::tanh(in(0, j) + rec(0, j, before)); break;
                case Cell::rnn_relu: out = std::fmax(0, in(0, j) + rec(0, j, before)); break;
                case Cell::lstm: {
                    double &cell = c[std::size_t(j)];
                    cell = gate(1, j) * cell + gate(0, j) * std::tanh(in(2, j) + rec(2, j, before));
                    out = gate(3, j) * std::tanh(cell);
                    break;
                }
                default: {
                    const bool after = p.size.cell == Cell::gru;
                    const double inner = after ? gate(0, j) * rec(2, j, before) : rec(2, j, reset);
                    const double z = gate(1, j), n = std::tanh(in(2, j) + inner);
                    out = (1 - z) * n + z * before[std::size_t(j)];
                }
            }
        }
        h = made;
        if (!p.size.proj) return;
        h.assign(std::size_t(p.out), 0);
        for (Index o = 0; o < p.out; ++o)
            for (Index j = 0; j < H; ++j)
                h[std::size_t(o)] += double(p.parameters[p.weight_hr][std::size_t(o * H + j)]) * made[std::size_t(j)];
    }
};

template <class T>
Result<double> scalar_forward(const Problem<T> &p) {
    const Size &s = p.size;
    const ScalarCell<T> cell{p};
    Result<double> r;
    r.y.assign(std::size_t(s.steps * s.batch * p.out), 0);
    auto part = [](const std::vector<T> &v, Index first, Index count) {
        return std::vector<double>(v.begin() + first, v.begin() + first + count);
    };
    for (Index b = 0; b < s.batch; ++b) {
        const Index length = p.lengths[std::size_t(b)];
        std::vector<double> h = part(p.parameters[p.h0], b * p.out, p.out),
                            c = part(p.parameters[p.c0], b * s.hidden, s.hidden);
        for (Index step = 0; step < length; ++step) {
            const Index t = s.reverse ? length - 1 - step : step, flag = s.reverse ? t + 1 : t;
            if (flag < length && p.resets[std::size_t(flag * s.batch + b)]) {
                h = part(p.parameters[p.rest_h], 0, p.out);
                c = part(p.parameters[p.rest_c], 0, s.hidden);
            }
            cell.step(part(p.parameters[p.x], (t * s.batch + b) * s.inputs, s.inputs), h, c);
            std::copy(h.begin(), h.end(), r.y.begin() + (t * s.batch + b) * p.out);
        }
        r.h_n.insert(r.h_n.end(), h.begin(), h.end());
        if (s.cell == Cell::lstm) r.c_n.insert(r.c_n.end(), c.begin(), c.end());
    }
    return r;
}

}  // namespace hiddenstate::test
