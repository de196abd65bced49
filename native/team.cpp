#include "team.hpp"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "denormals.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hiddenstate {

namespace {

constexpr int most_threads = 128;
constexpr int spins_before_sleep = 8000;  // 100 to 400 microseconds: what Python needs between two calls
constexpr int spins_before_yield = 400;   // then every so many spins: another thread, perhaps of this
constexpr int spins_between_yields = 16;  // very team, may have been put on the same processor

std::atomic<int> thread_limit{1};

void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void spin(int spins) {
    if (spins < spins_before_yield || spins % spins_between_yields)
        relax();
    else
        sched_yield();
}

// The processor this thread runs on; -1 where the system does not say.
int this_processor() {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

// Moves the calling thread to another processor than `taken`, if it may use one, and leaves its choice as it was: on a
// busy machine the system puts a woken thread beside the one that woke it, and takes long to see that both work.
void leave_processor([[maybe_unused]] int taken) {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    cpu_set_t others = allowed;
    CPU_CLR(taken, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    sched_setaffinity(0, sizeof allowed, &allowed);
#endif
}

template <class Ready>
void spin_until(Ready ready) {
    for (int spins = 0; !ready(); spins = spins < spins_before_sleep ? spins + 1 : spins_before_yield) spin(spins);
}

}  // namespace

void set_num_threads(int count) {
    thread_limit = count < 1 ? 1 : count > most_threads ? most_threads : count;
}
int get_num_threads() {
    return thread_limit;
}

struct Team::Pool {
    std::mutex taken;              // held by the call that uses the pool
    int workers = 0;               // threads started; grows, never shrinks
    std::atomic<unsigned> job{0};  // number of the job * 256 + size of its team: what sleepers watch
    std::atomic<int> running{0};   // workers that have not finished the job
    void (*work)(void *, int) = nullptr;
    void *context = nullptr;
    int processor = -1;               // of the caller
    std::atomic<int> arrived{0};      // at the barrier
    std::atomic<unsigned> passed{0};  // barriers passed

    void grow(int wanted);
    void serve(int member, unsigned seen);
};

// Threads live as long as the process; a pool is never deleted.
struct PoolAccess {
    static std::atomic<Team::Pool *> current;

    static Team::Pool *get() {
        Team::Pool *pool = current.load(std::memory_order_acquire);
        if (pool) return pool;
        static const int registered = pthread_atfork(nullptr, nullptr, [] { current.store(nullptr); });
        (void)registered;
        auto *fresh = new Team::Pool;
        if (current.compare_exchange_strong(pool, fresh)) return fresh;
        delete fresh;
        return pool;
    }
};

std::atomic<Team::Pool *> PoolAccess::current{nullptr};

void Team::Pool::grow(int wanted) {
    while (workers < wanted) {
        try {
            std::thread(&Pool::serve, this, workers + 1, job.load()).detach();
        } catch (const std::system_error &) {
            return;  // the team is as large as the system allows
        }
        ++workers;
    }
}

void Team::Pool::serve(int member, unsigned seen) {
    for (;;) {
        for (int spins = 0; spins < spins_before_sleep && job.load(std::memory_order_acquire) == seen; ++spins)
            spin(spins);
        job.wait(seen, std::memory_order_acquire);
        seen = job.load(std::memory_order_acquire);
        if (member >= int(seen % 256)) continue;  // not in this team: work and context may already be another job's
        if (processor >= 0 && this_processor() == processor) leave_processor(processor);
        {
            FlushDenormals flush;
            work(context, member);
        }
        running.fetch_sub(1, std::memory_order_release);
    }
}

Team::Team(int wanted) : size(1), pool_(nullptr) {
    if (wanted > get_num_threads()) wanted = get_num_threads();
    if (wanted <= 1) return;
    Pool *pool = PoolAccess::get();
    if (!pool->taken.try_lock()) return;
    pool_ = pool;
    pool->grow(wanted - 1);
    size = wanted <= pool->workers + 1 ? wanted : pool->workers + 1;
}

Team::~Team() {
    if (pool_) pool_->taken.unlock();
}

void Team::run(void (*work)(void *, int), void *context) {
    FlushDenormals flush;
    if (size == 1) return work(context, 0);
    pool_->work = work;
    pool_->context = context;
    pool_->processor = this_processor();
    pool_->running.store(size - 1, std::memory_order_relaxed);
    const unsigned number = pool_->job.load(std::memory_order_relaxed) / 256 + 1;
    pool_->job.store(number * 256 + unsigned(size), std::memory_order_release);
    pool_->job.notify_all();
    work(context, 0);
    Pool &pool = *pool_;
    spin_until([&pool] { return pool.running.load(std::memory_order_acquire) == 0; });
}

void Team::wait() {
    if (size == 1) return;
    Pool &pool = *pool_;
    const unsigned turn = pool.passed.load(std::memory_order_relaxed);
    if (pool.arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
        pool.arrived.store(0, std::memory_order_relaxed);
        pool.passed.store(turn + 1, std::memory_order_release);
        return;
    }
    spin_until([&pool, turn] { return pool.passed.load(std::memory_order_acquire) != turn; });
}

// The mode word: on x86 flush-to-zero and denormals-are-zero of MXCSR, on ARM flush-to-zero of FPCR.
FlushDenormals::FlushDenormals() {
#if defined(__x86_64__)
    saved_ = _mm_getcsr();
    if ((saved_ & 0x8040) != 0x8040) _mm_setcsr(unsigned(saved_) | 0x8040);
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | (std::uint64_t(1) << 24)));
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__)
    if ((saved_ & 0x8040) != 0x8040) _mm_setcsr((_mm_getcsr() & ~0x8040u) | unsigned(saved_ & 0x8040));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(saved_));
#endif
}

}  // namespace hiddenstate
