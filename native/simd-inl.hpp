// Vectors of the instruction set this file is compiled for, and the few operations that GCC's vector extensions lack.
//
// Files named *-inl.hpp are compiled once per instruction set, inside `namespace hiddenstate::HS_ISA`. They use no
// inline function of the standard library in the loops (see kernels.hpp for the reason).
#pragma once

#include "kernels.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace hiddenstate::HS_ISA {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
constexpr int accumulators = 24;  // of 32 registers
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
constexpr int accumulators = 12;  // of 16 registers
#elif defined(__aarch64__)
constexpr int vector_bytes = 16;
constexpr int accumulators = 24;
#else
constexpr int vector_bytes = 16;
constexpr int accumulators = 12;
#endif

template <class T>
struct Simd;

template <>
struct Simd<float> {
    typedef float Vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef std::int32_t Bits __attribute__((vector_size(vector_bytes), may_alias));
    typedef float Unaligned __attribute__((vector_size(vector_bytes), aligned(4), may_alias));
};

template <>
struct Simd<double> {
    typedef double Vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(vector_bytes), may_alias));
    typedef double Unaligned __attribute__((vector_size(vector_bytes), aligned(8), may_alias));
};

template <class T>
using Vec = typename Simd<T>::Vector;
template <class T>
using Bits = typename Simd<T>::Bits;

template <class T>
constexpr Index lanes = vector_bytes / Index(sizeof(T));

inline Index smaller(Index a, Index b) {
    return a < b ? a : b;
}
inline Index larger(Index a, Index b) {
    return a > b ? a : b;
}
inline Index ceil_div(Index a, Index b) {
    return (a + b - 1) / b;
}
inline Index round_up(Index a, Index b) {
    return ceil_div(a, b) * b;
}

template <class T>
inline Vec<T> broadcast(T value) {
    return value - Vec<T>{};  // subtracting +0 keeps every value, -0 included
}

template <class T>
inline Vec<T> load(const T *p) {
    return *reinterpret_cast<const typename Simd<T>::Unaligned *>(p);
}

template <class T>
inline void store(T *p, Vec<T> v) {
    *reinterpret_cast<typename Simd<T>::Unaligned *>(p) = v;
}

// a*b + c with one rounding where the processor has it, always the same way within one instruction set.
#if defined(__AVX512F__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return _mm512_fmadd_ps(a, b, c);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return _mm512_fmadd_pd(a, b, c);
}
#elif defined(__AVX2__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return _mm256_fmadd_ps(a, b, c);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return _mm256_fmadd_pd(a, b, c);
}
#elif defined(__aarch64__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return vfmaq_f32(c, a, b);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return vfmaq_f64(c, a, b);
}
#else
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return a * b + c;
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return a * b + c;
}
#endif

// The smaller (larger) of a bound and v; NaN in v passes. One instruction where the processor's returns its second
// operand for NaN.
#if defined(__AVX512F__)
inline Vec<float> at_most(float bound, Vec<float> v) {
    return _mm512_maskz_min_ps(-1, broadcast(bound), v);
}
inline Vec<double> at_most(double bound, Vec<double> v) {
    return _mm512_maskz_min_pd(-1, broadcast(bound), v);
}
inline Vec<float> at_least(float bound, Vec<float> v) {
    return _mm512_maskz_max_ps(-1, broadcast(bound), v);
}
inline Vec<double> at_least(double bound, Vec<double> v) {
    return _mm512_maskz_max_pd(-1, broadcast(bound), v);
}
#else
template <class T>
inline Vec<T> at_most(T bound, Vec<T> v) {
    return v > bound ? broadcast(bound) : v;
}
template <class T>
inline Vec<T> at_least(T bound, Vec<T> v) {
    return v < bound ? broadcast(bound) : v;
}
#endif

// Whether any bit differs. Where that takes more than an instruction or two: true.
#if defined(__AVX512F__)
template <class T>
inline bool differs(Vec<T> a, Vec<T> b) {
    return _mm512_cmpneq_epi64_mask(__m512i(a), __m512i(b)) != 0;
}
#elif defined(__AVX2__)
template <class T>
inline bool differs(Vec<T> a, Vec<T> b) {
    return _mm256_movemask_epi8(_mm256_cmpeq_epi64(__m256i(a), __m256i(b))) != -1;
}
#else
template <class T>
inline bool differs(Vec<T>, Vec<T>) {
    return true;
}
#endif

// Asks for a line of memory before it is needed. Always inline: a function that does nothing else has no effect in
// GCC's eyes, and calls of it are dropped.
template <class T>
[[gnu::always_inline]] inline void prefetch(const T *p) {
    __builtin_prefetch(p);
}

// Writes only what is not there yet: an unchanged line stays in the caches of all processors.
template <class T>
inline void renew(T *p, Vec<T> v) {
    if (differs<T>(load(p), v)) store(p, v);
}

// Loads and stores of the first `count` lanes (1 to lanes<T>); a load fills the rest with zeros. Whole vectors, which
// most are, go without a mask: masked stores to memory that is far away are slower.
#if defined(__AVX512F__)
inline Vec<float> load_masked(const float *p, Index count) {
    return _mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
}
inline Vec<double> load_masked(const double *p, Index count) {
    return _mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), p);
}
inline void store_masked(float *p, Vec<float> v, Index count) {
    _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), v);
}
inline void store_masked(double *p, Vec<double> v, Index count) {
    _mm512_mask_storeu_pd(p, __mmask8((1u << count) - 1), v);
}
#else
template <class T>
inline Vec<T> load_masked(const T *p, Index count) {
    Vec<T> v = {};
    for (Index i = 0; i < count; ++i) v[i] = p[i];
    return v;
}
template <class T>
inline void store_masked(T *p, Vec<T> v, Index count) {
    for (Index i = 0; i < count; ++i) p[i] = v[i];
}
#endif
template <class T>
inline Vec<T> load_part(const T *p, Index count) {
    return count == lanes<T> ? load(p) : load_masked(p, count);
}
template <class T>
inline void store_part(T *p, Vec<T> v, Index count) {
    if (count == lanes<T>) return store(p, v);
    store_masked(p, v, count);
}

}  // namespace hiddenstate::HS_ISA
