// Vector tanh, sigmoid and exp. tests/test_math.cpp sweeps them against long double.
//
//                 accepted range                  largest error, units in the last place (float32 and float64)
//   exp_bounded   clamped to [-60, 88.3]          1.1
//                 (float64: [-650, 709])
//   tanh          everything; odd; exactly +-1    2.3   (also near 0, where tanh(x) = x)
//                 beyond about 9 (float64: 19)
//   sigmoid       everything; 0 where it would    2.4
//                 be subnormal, 1 from 17 (37) on
//
// NaN gives NaN, infinities saturate. Subnormal arguments and results count as zero (denormals.hpp).
// The x86 baseline has no fused multiply-add and may exceed these by half a unit.
//
// Method: with 2^n the power of two nearest exp(y) and r = y - n*log(2), |r| <= log(2)/2,
//   p = expm1(r) = r + r^2 q(r), q a least-squares polynomial on Chebyshev nodes;
//   exp(y) = 2^n + 2^n p;   tanh(x) = e / (e + 2) with e = expm1(2|x|) = (2^n - 1) + 2^n p.
#pragma once

#include "simd-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
    static constexpr float log2_e = 1.44269504088896341f;
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float exp_low = -60.0f, exp_high = 88.3f;
    static constexpr float tanh_one = 9.5f;
    // 1.5 * 2^23 rounds what is added to it to an integer n in the low bits; with 127 they are the exponent of 2^n.
    static constexpr float rounder = 12582912.0f + 127.0f;
    static constexpr int fraction_bits = 23;
    static constexpr std::int32_t sign_bit = std::int32_t(0x80000000u);
    static constexpr int terms = 5;
    static constexpr float q[terms] = {0.4999999674630900378f, 0.1666654194072865869f, 0.04166759679941818787f,
                                       0.008366680129610639639f, 0.001385815406526853813f};
};

template <>
struct MathConstants<double> {
    static constexpr double log2_e = 1.44269504088896340736;
    static constexpr double ln2_high = 0.693147180369123816490, ln2_low = 1.90821492927058770002e-10;
    static constexpr double exp_low = -650.0, exp_high = 709.0;
    static constexpr double tanh_one = 20.0;
    static constexpr double rounder = 6755399441055744.0 + 1023.0;  // from 1.5 * 2^52
    static constexpr int fraction_bits = 52;
    static constexpr std::int64_t sign_bit = std::int64_t(0x8000000000000000u);
    static constexpr int terms = 11;
    static constexpr double q[terms] = {0.5000000000000000014,     0.1666666666666667677,   0.04166666666666643874,
                                        0.00833333333332151857,    0.001388888888899020037, 0.0001984126988634892763,
                                        0.00002480158712476808394, 2.755724402716414604e-6, 2.75574396325213773e-7,
                                        2.510908976775867733e-8,   2.086471963383446635e-9};
};

template <class T>
struct PowerAndRest {
    Vec<T> power;  // 2^n
    Vec<T> rest;   // expm1(y - n*log(2))
};

// exp(y) = power + power*rest, for y inside the accepted range of exp_bounded.
template <class T>
inline PowerAndRest<T> split_exp(Vec<T> y) {
    using C = MathConstants<T>;
    const Vec<T> rounded = fma(y, broadcast(C::log2_e), broadcast(C::rounder));
    const Vec<T> n = rounded - broadcast(C::rounder);
    Vec<T> r = fma(n, broadcast(-C::ln2_high), y);
    r = fma(n, broadcast(-C::ln2_low), r);
    Vec<T> q = broadcast(C::q[C::terms - 1]);
#pragma GCC unroll 16
    for (int i = C::terms - 2; i >= 0; --i) q = fma(q, r, broadcast(C::q[i]));
    return {Vec<T>(Bits<T>(rounded) << C::fraction_bits), fma(r * r, q, r)};
}

template <class T>
inline Vec<T> exp_bounded(Vec<T> y) {
    using C = MathConstants<T>;
    const PowerAndRest<T> e = split_exp<T>(at_least(C::exp_low, at_most(C::exp_high, y)));
    return fma(e.power, e.rest, e.power);
}

template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
    return T(1) / (T(1) + exp_bounded<T>(-x));
}

template <class T>
inline Vec<T> tanh(Vec<T> x) {
    using C = MathConstants<T>;
    const Bits<T> sign = Bits<T>(x) & C::sign_bit;
    const Vec<T> size = at_most(C::tanh_one, Vec<T>(Bits<T>(x) ^ sign));
    const PowerAndRest<T> e = split_exp<T>(size + size);
    const Vec<T> expm1 = fma(e.power, e.rest, e.power - T(1));
    return Vec<T>(Bits<T>(expm1 / (expm1 + T(2))) | sign);
}

}  // namespace hiddenstate::HS_ISA
