#include "dispatch.hpp"

namespace hiddenstate {

#define HS_DECLARE(name)                    \
    namespace name {                        \
    extern const Kernels<float> table_f32;  \
    extern const Kernels<double> table_f64; \
    }
#if defined(__x86_64__)
HS_DECLARE(avx512)
HS_DECLARE(avx2)
HS_DECLARE(baseline)
#elif defined(__aarch64__)
HS_DECLARE(neon)
#else
HS_DECLARE(baseline)
#endif

namespace {

struct Choice {
    std::string name;
    bool (*runs)();
    const Kernels<float> *f32;
    const Kernels<double> *f64;
};

bool always() {
    return true;
}

const std::vector<Choice> &choices() {
    static const std::vector<Choice> all = {
#if defined(__x86_64__)
        {"avx512",
         [] {
             return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
         },
         &avx512::table_f32, &avx512::table_f64},
        {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, &avx2::table_f32,
         &avx2::table_f64},
        {"baseline", always, &baseline::table_f32, &baseline::table_f64},
#elif defined(__aarch64__)
        {"neon", always, &neon::table_f32, &neon::table_f64},
#else
        {"baseline", always, &baseline::table_f32, &baseline::table_f64},
#endif
    };
    return all;
}

const Choice *chosen = nullptr;

const Choice &current() {
    if (!chosen) choose_isa("");
    return *chosen;
}

}  // namespace

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (const Choice &choice : choices())
        if (choice.runs()) names.push_back(choice.name);
    return names;
}

const std::string &isa() {
    return current().name;
}

bool choose_isa(const std::string &name) {
    for (const Choice &choice : choices())
        if (choice.runs() && (name.empty() || name == choice.name)) {
            chosen = &choice;
            return true;
        }
    return false;
}

template <>
const Kernels<float> &kernels<float>() {
    return *current().f32;
}

template <>
const Kernels<double> &kernels<double>() {
    return *current().f64;
}

}  // namespace hiddenstate
