// The machine's fused multiply-add peak: independent register chains, nothing else.
// `peak THREADS SECONDS` prints GF/s.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Vec __attribute__((vector_size(kLanes * 4)));

// Twelve chains hide the latency of two units; the volatile scale keeps the compiler from folding the loop.
double run(double seconds) {
  constexpr int kChains = 12;
  volatile float scale = 0.999f;
  Vec m = Vec{} + scale, a = Vec{} + 1e-3f, r[kChains];
  for (auto& v : r) v = a;
  long loops = 0;
  auto start = std::chrono::steady_clock::now();
  double spent = 0;
  do {
    for (int k = 0; k < 100000; ++k)
      for (auto& v : r) v = v * m + a;
    loops += 100000;
    spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  } while (spent < seconds);
  volatile float sink = 0;
  for (auto& v : r) sink = sink + v[0];
  return 2.0 * kLanes * kChains * loops / spent / 1e9;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int threads = std::atoi(argv[1]);
  const double seconds = std::atof(argv[2]);
  std::vector<std::thread> pool;
  std::vector<double> rate(threads);
  for (int t = 0; t < threads; ++t) pool.emplace_back([&rate, seconds, t] { rate[t] = run(seconds); });
  for (auto& t : pool) t.join();
  double sum = 0;
  for (double r : rate) sum += r;
  std::printf("%.1f\n", sum);
}
