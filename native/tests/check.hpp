// The little that the native tests share: a check that reports and counts, random numbers, and a loop over the
// instruction sets of this processor.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "team.hpp"

namespace hiddenstate::test {

inline int failures = 0;

#define CHECK(condition, ...)                                           \
    do {                                                                \
        if (!(condition)) {                                             \
            ++hiddenstate::test::failures;                              \
            std::printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            std::printf(__VA_ARGS__);                                   \
            std::printf(" (%s)\n", hiddenstate::isa().c_str());         \
        }                                                               \
    } while (false)

template <class T>
std::vector<T> uniform(std::size_t count, double scale, unsigned seed) {
    std::mt19937_64 generator(seed);
    std::uniform_real_distribution<double> draw(-scale, scale);
    std::vector<T> values(count);
    for (T &value : values) value = T(draw(generator));
    return values;
}

template <class T>
bool same_bits(const std::vector<T> &a, const std::vector<T> &b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
double largest_difference(const std::vector<T> &a, const std::vector<double> &b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::fabs(double(a[i]) - b[i]);
        if (!(difference <= largest)) largest = difference;  // NaN counts
    }
    return largest;
}

// Runs the test with every instruction set; the exit status of the program.
template <class Test>
int on_every_isa(Test test) {
    set_num_threads(3);
    for (const std::string &name : isas()) {
        choose_isa(name);
        test();
    }
    if (failures) std::printf("%d checks failed\n", failures);
    return failures ? 1 : 0;
}

}  // namespace hiddenstate::test
