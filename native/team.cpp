#include "team.hpp"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "denormals.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hiddenstate {

namespace {

constexpr int most_threads = 128;
constexpr int spins_before_sleep = 10000;  // 100 to 400 microseconds: what Python needs between two calls
constexpr int spins_after_brief = 2000;    // 50 to 100 microseconds
constexpr int polls_before_pause = 30;     // a pause takes as long as a line between near cores
constexpr int spins_before_yield = 40000;  // a millisecond or more
constexpr int spins_for_start = 400;       // where a worker has not begun, perhaps because it waits for this processor
constexpr std::int64_t pause_between_brief = 50000;  // nanoseconds; after a longer one sleepers are left alone

constexpr std::int64_t measure_every = 50000000;  // nanoseconds

std::atomic<int> thread_limit{1};

OpenMP openmp;
std::atomic<bool> openmp_in_use{false};

std::int64_t nanoseconds() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
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

}  // namespace

void set_num_threads(int count) {
    thread_limit = count < 1 ? 1 : count > most_threads ? most_threads : count;
}
int get_num_threads() {
    return thread_limit;
}

struct Team::Pool {
    std::mutex taken;               // held by the call that uses the pool
    int workers = 0;                // threads started; grows, never shrinks
    std::atomic<unsigned> job{0};   // number of the job * 256 + size of its team: what sleepers watch
    std::atomic<int> running{0};    // workers that have not finished the job
    std::atomic<int> unstarted{0};  // and those that have not begun
    void (*work)(void *, int) = nullptr;
    void *context = nullptr;
    int processor = -1;              // of the caller
    std::atomic<int> awake{0};       // workers that look for a job
    std::atomic<bool> brief{false};  // the last call was one
    std::int64_t last_brief = 0;     // when it began
    double barrier_time = 0;         // nanoseconds, and when that was measured
    std::int64_t measured = -measure_every;
    std::uint64_t jobs = 0;  // handed out so far
    struct alignas(128) Arrival {
        std::atomic<std::uint64_t> turn{0};  // job * 2^32 + barriers of the job that the member has reached
    };
    Arrival arrivals[most_threads];  // two lines each, which prefetchers take as one: nobody else writes there

    void grow(int wanted);
    bool ready_for_brief(int wanted);
    void post(int size);
    void work_as(int member);

    // Waits until ready() holds: by spinning, and in the end by giving the processor to others. Not earlier than
    // needed: on a busy machine others keep it for milliseconds.
    template <class Ready>
    void spin_until(Ready ready) const {
        for (int polls = 0; polls < polls_before_pause; ++polls)
            if (ready()) return;
        for (int spins = 0; !ready(); ++spins) {
            if (spins < (unstarted.load(std::memory_order_relaxed) ? spins_for_start : spins_before_yield))
                relax();
            else
                sched_yield();
        }
    }
    void serve(int member, unsigned seen);
};

// Threads live as long as the process; a pool is never deleted.
struct PoolAccess {
    static std::atomic<Team::Pool *> current;

    static Team::Pool *get() {
        Team::Pool *pool = current.load(std::memory_order_acquire);
        if (pool) return pool;
        static const int registered = pthread_atfork(nullptr, nullptr, [] {
            current.store(nullptr);
            openmp_in_use = false;  // its threads are gone, and it does not know
        });
        (void)registered;
        auto *fresh = new Team::Pool;
        if (current.compare_exchange_strong(pool, fresh)) return fresh;
        delete fresh;
        return pool;
    }
};

std::atomic<Team::Pool *> PoolAccess::current{nullptr};

void use_openmp(const OpenMP &runtime) {
    PoolAccess::get();  // sees to forks
    openmp = runtime;
    openmp_in_use = true;
}

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

// Whether enough workers are awake. If not, and brief calls follow each other closely, wakes them for the next one.
bool Team::Pool::ready_for_brief(int wanted) {
    const std::int64_t now = nanoseconds(), before = last_brief;
    last_brief = now;
    brief.store(true, std::memory_order_relaxed);
    if (awake.load(std::memory_order_relaxed) >= wanted - 1) return true;
    if (now - before < pause_between_brief) post(0);
    return false;
}

// Hands what work and context say to members 1 to size - 1.
void Team::Pool::post(int size) {
    const unsigned number = job.load(std::memory_order_relaxed) / 256 + 1;
    ++jobs;
    job.store(number * 256 + unsigned(size), std::memory_order_release);
    job.notify_all();
}

void Team::Pool::serve(int member, unsigned seen) {
    awake.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
        const int limit = brief.load(std::memory_order_relaxed) ? spins_after_brief : spins_before_sleep;
        for (int spins = 0; spins < limit && job.load(std::memory_order_acquire) == seen; ++spins) relax();
        awake.fetch_sub(1, std::memory_order_relaxed);
        job.wait(seen, std::memory_order_acquire);
        awake.fetch_add(1, std::memory_order_relaxed);
        seen = job.load(std::memory_order_acquire);
        if (member >= int(seen % 256)) continue;  // not in this team: work and context may already be another job's
        work_as(member);
        running.fetch_sub(1, std::memory_order_release);
    }
}

// A member's part of the job; not the caller's.
void Team::Pool::work_as(int member) {
    if (processor >= 0 && this_processor() == processor) leave_processor(processor);
    unstarted.fetch_sub(1, std::memory_order_relaxed);
    FlushDenormals flush;
    work(context, member);
}

// What every thread of an OpenMP region is given.
struct Team::Job {
    Pool &pool;
    int size;

    static void work(void *self) {
        const Job &job = *static_cast<Job *>(self);
        const int member = openmp.thread();
        if (member >= job.size) return;
        if (member > 0) return job.pool.work_as(member);
        std::vector<std::thread> missing;  // where the runtime gave fewer threads than it said it would
        for (int other = openmp.threads(); other < job.size; ++other)
            missing.emplace_back(&Pool::work_as, &job.pool, other);
        job.pool.work(job.pool.context, 0);
        for (std::thread &thread : missing) thread.join();
    }
};

Team::Team(int wanted, bool brief) : size(1), pool_(nullptr) {
    if (wanted > get_num_threads()) wanted = get_num_threads();
    if (wanted <= 1) return;
    Pool *pool = PoolAccess::get();
    const bool others = openmp_in_use && !brief;
    if (others && openmp.inside()) return;
    if (others && wanted > openmp.most_threads()) wanted = openmp.most_threads();
    if (wanted <= 1 || !pool->taken.try_lock()) return;
    pool_ = pool;
    openmp_ = others;
    if (others) {
        size = wanted;
        return;
    }
    pool->grow(wanted - 1);
    if (wanted > pool->workers + 1) wanted = pool->workers + 1;
    if (!brief)
        pool->brief.store(false, std::memory_order_relaxed);
    else if (!pool->ready_for_brief(wanted))
        return;
    size = wanted;
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
    if (openmp_) {
        ++pool_->jobs;
        pool_->unstarted.store(size - 1, std::memory_order_relaxed);
        Job job{*pool_, size};
        // As many threads as it uses by itself: it ends those that a smaller region leaves out.
        return openmp.parallel(Job::work, &job, 0, 0);
    }
    pool_->running.store(size - 1, std::memory_order_relaxed);
    pool_->unstarted.store(size - 1, std::memory_order_relaxed);
    pool_->post(size);
    work(context, 0);
    Pool &pool = *pool_;
    pool.spin_until([&pool] { return pool.running.load(std::memory_order_acquire) == 0; });
}

void Team::arrive(int member) {
    std::atomic<std::uint64_t> &turn = pool_->arrivals[member].turn;
    const std::uint64_t before = turn.load(std::memory_order_relaxed), first = pool_->jobs << 32;
    turn.store((before > first ? before : first) + 1, std::memory_order_release);
}

void Team::await(int member, int other) {
    Pool &pool = *pool_;
    const std::uint64_t turn = pool.arrivals[member].turn.load(std::memory_order_relaxed);
    pool.spin_until([&pool, other, turn] { return pool.arrivals[other].turn.load(std::memory_order_acquire) >= turn; });
}

void Team::wait(int member, int first_member, int last_member) {
    if (last_member - first_member <= 1) return;
    arrive(member);
    for (int other = first_member; other < last_member; ++other) await(member, other);
}

double Team::barrier_time() {
    if (size == 1) return 0;
    const std::int64_t now = nanoseconds();
    if (now - pool_->measured < measure_every) return pool_->barrier_time;
    pool_->measured = now;
    pool_->barrier_time = 1e9;
    run(
        [](void *self, int member) {
            constexpr int rounds = 4, barriers = 4;
            Team &team = *static_cast<Team *>(self);
            for (int round = 0; round < rounds; ++round) {
                const std::int64_t start = nanoseconds();
                for (int i = 0; i < barriers; ++i) team.wait(member);
                const double each = double(nanoseconds() - start) / barriers;
                double &least = team.pool_->barrier_time;
                if (member == 0 && each < least) least = each;
            }
        },
        this);
    return pool_->barrier_time;
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
