// Vector tanh, sigmoid and exp against long double: error bounds, symmetry, saturation, NaN and infinity.
#include <limits>

#include "check.hpp"

namespace hiddenstate::test {

template <class T>
using Limits = std::numeric_limits<T>;

// Error in units in the last place of the exact value; subnormal numbers count as zero.
template <class T>
double ulps(T got, long double exact) {
    const long double size = std::fabs(exact);
    if (size < Limits<T>::min()) return std::fabs(got) <= Limits<T>::min() ? 0 : 1e9;
    const int exponent = std::ilogb(T(size));
    const long double ulp = std::ldexp(1.0L, exponent - (Limits<T>::digits - 1));
    return double(std::fabs(got - exact) / ulp);
}

template <class T>
std::vector<T> apply(Function function, const std::vector<T> &x) {
    std::vector<T> y(x.size());
    kernels<T>().apply(function, Index(x.size()), x.data(), y.data());
    return y;
}

long double exact(Function function, long double x) {
    if (function == Function::tanh) return std::tanh(x);
    return function == Function::exp ? std::exp(x) : 1.0L / (1.0L + std::exp(-x));
}

// Arguments over all magnitudes, denser where the functions bend.
template <class T>
std::vector<T> arguments(double largest) {
    std::vector<T> x;
    for (int exponent = Limits<T>::min_exponent; exponent <= 10; ++exponent)
        for (int i = 0; i < 200; ++i) x.push_back(T(std::ldexp(1.0 + i / 200.0, exponent)));
    for (int i = 0; i < 200000; ++i) x.push_back(T(largest * i / 200000.0));
    const std::size_t half = x.size();
    for (std::size_t i = 0; i < half; ++i) x.push_back(-x[i]);
    std::vector<T> inside;
    for (T value : x)
        if (std::fabs(value) <= largest) inside.push_back(value);
    return inside;
}

template <class T>
void bounded(Function function, const char *name, double largest, double limit) {
    const std::vector<T> x = arguments<T>(largest), y = apply(function, x);
    double worst = 0;
    T where = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double error = ulps(y[i], exact(function, (long double)x[i]));
        if (!(error <= worst)) worst = error, where = x[i];
    }
    std::printf("%-8s %-8s %s: %.2f ulp at %.9g\n", isa().c_str(), name, sizeof(T) == 4 ? "float32" : "float64", worst,
                double(where));
    CHECK(worst <= limit, "%s: %.3f ulp at %.17g", name, worst, double(where));
}

template <class T>
void special_values() {
    const T inf = Limits<T>::infinity(), nan = Limits<T>::quiet_NaN(), big = Limits<T>::max();
    const std::vector<T> x = {inf, -inf, big, -big, nan, T(0), T(-0.0), T(40), T(-40)};
    const std::vector<T> t = apply(Function::tanh, x), s = apply(Function::sigmoid, x);
    for (int i : {0, 2, 7}) CHECK(t[i] == 1 && t[i + 1] == -1 && s[i] == 1, "saturation at %g", double(x[i]));
    CHECK(s[1] == 0 && s[3] == 0, "sigmoid far below zero: %g", double(s[1]));
    CHECK(std::isnan(t[4]) && std::isnan(s[4]), "NaN passes");
    CHECK(t[5] == 0 && !std::signbit(t[5]) && t[6] == 0 && std::signbit(t[6]), "signed zeros");
    CHECK(s[5] == T(0.5), "sigmoid(0)");
    const std::vector<T> many = arguments<T>(30), there = apply(Function::tanh, many);
    std::vector<T> negated = many;
    for (T &value : negated) value = -value;
    const std::vector<T> back = apply(Function::tanh, negated);
    for (std::size_t i = 0; i < many.size(); ++i) CHECK(back[i] == -there[i], "odd at %g", double(many[i]));
}

void all() {
    const double slack = isa() == "baseline" ? 0.5 : 0;  // no fused multiply-add
    bounded<float>(Function::tanh, "tanh", 1000, 2.3 + slack);
    bounded<double>(Function::tanh, "tanh", 1000, 2.3 + slack);
    bounded<float>(Function::sigmoid, "sigmoid", 87, 2.4 + slack);
    bounded<double>(Function::sigmoid, "sigmoid", 700, 2.4 + slack);
    bounded<float>(Function::exp, "exp", 60, 1.1 + slack);
    bounded<double>(Function::exp, "exp", 650, 1.1 + slack);
    special_values<float>();
    special_values<double>();
}

}  // namespace hiddenstate::test

int main() {
    return hiddenstate::test::on_every_isa(hiddenstate::test::all);
}
