// Linear against a scalar loop: every tile shape, tails of rows and columns, and bits that do not depend on them.
#include "check.hpp"

namespace hiddenstate::test {

template <class T>
std::vector<T> linear(Index rows, Index inputs, Index outputs, const std::vector<T> &x, const std::vector<T> &w,
                      const std::vector<T> &b, int threads) {
    std::vector<T> y(std::size_t(rows * outputs), T(NAN));
    Plan<T> *plan = kernels<T>().pack_linear(w.data(), b.data(), outputs, inputs);
    kernels<T>().linear(*plan, rows, x.data(), y.data(), threads);
    kernels<T>().release(plan);
    return y;
}

template <class T>
void one_size(Index rows, Index inputs, Index outputs) {
    const auto x = uniform<T>(std::size_t(rows * inputs), 1, 1), w = uniform<T>(std::size_t(outputs * inputs), 1, 2);
    const auto b = uniform<T>(std::size_t(outputs), 1, 3);
    const std::vector<T> y = linear(rows, inputs, outputs, x, w, b, 3);
    std::vector<double> wanted(y.size());
    for (Index n = 0; n < rows; ++n)
        for (Index o = 0; o < outputs; ++o) {
            double sum = b[std::size_t(o)];
            for (Index k = 0; k < inputs; ++k)
                sum += double(x[std::size_t(n * inputs + k)]) * double(w[std::size_t(o * inputs + k)]);
            wanted[std::size_t(n * outputs + o)] = sum;
        }
    const double limit = double(inputs + 2) * (sizeof(T) == 4 ? 6e-8 : 1.2e-16) * 4;
    const double difference = largest_difference(y, wanted);
    CHECK(difference <= limit, "%ld x %ld x %ld: off by %g", long(rows), long(inputs), long(outputs), difference);
    for (Index n = 0; n < rows; ++n) {
        const std::vector<T> row(x.begin() + n * inputs, x.begin() + (n + 1) * inputs);
        const std::vector<T> alone = linear(1, inputs, outputs, row, w, b, 1);
        const std::vector<T> together(y.begin() + n * outputs, y.begin() + (n + 1) * outputs);
        CHECK(same_bits(alone, together), "row %ld of %ld", long(n), long(rows));
    }
}

template <class T>
void all_of() {
    for (Index rows = 1; rows <= 17; ++rows)
        for (Index outputs : {1, 3, 8, 16, 17, 33, 49, 64, 65, 130}) one_size<T>(rows, 5, outputs);
    one_size<T>(64, 300, 200);  // large enough for threads
    one_size<T>(3, 0, 4);
}

void all() {
    all_of<float>();
    all_of<double>();
}

}  // namespace hiddenstate::test

int main() {
    return hiddenstate::test::on_every_isa(hiddenstate::test::all);
}
