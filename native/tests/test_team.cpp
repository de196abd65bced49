// The thread pool: members, barrier, a taken pool, several callers, fork, and the floating-point mode.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfloat>
#include <thread>
#include <vector>

#include "check.hpp"
#include "denormals.hpp"
#include "team.hpp"

namespace hiddenstate::test {

struct Shared {
    Team *team;
    std::atomic<int> counted[3];
    std::atomic<bool> torn;
};

bool flushes() {
    volatile float tiny = FLT_MIN;
    volatile float half = tiny * 0.5f;
    return half == 0.0f;
}

int members_meet(int wanted, bool brief = false) {
    Team team(wanted, brief);
    Shared shared{&team, {}, false};
    team.run(
        [](void *context, int member) {
            auto *s = static_cast<Shared *>(context);
            if (!flushes()) s->torn = true;
            for (auto &phase : s->counted) {
                ++phase;
                s->team->wait(member);
                if (phase != s->team->size) s->torn = true;
            }
        },
        &shared);
    CHECK(!shared.torn, "%d members", team.size);
    CHECK(!flushes(), "the mode is restored");
    return team.size;
}

// A brief call runs alone or with those who are awake; calls without a pause wake them.
void brief_calls() {
    int most = 0;
    for (int call = 0; call < 1000000 && most < 2; ++call) {
        const int size = members_meet(2, true);
        CHECK(size == 1 || size == 2, "size %d", size);
        most = size > most ? size : most;
        if (size == 1) std::this_thread::yield();
    }
    CHECK(most == 2, "nobody woke");
}

void callers_in_parallel() {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([] {
            for (int repeat = 0; repeat < 200; ++repeat) members_meet(3);
        });
    for (std::thread &caller : callers) caller.join();
}

void a_barrier_takes_time() {
    Team alone(1), two(2);
    CHECK(alone.barrier_time() == 0, "nobody to wait for");
    const double first = two.barrier_time();
    CHECK(first > 0 && first < 1e9, "%g ns", first);
    CHECK(two.barrier_time() == first, "measured a moment ago");
}

void taken_pool_means_alone() {
    Team first(2), second(2);
    CHECK(first.size == 2 && second.size == 1, "sizes %d and %d", first.size, second.size);
}

int regions();  // of the runtime below

void fork_is_safe() {
    members_meet(3);
    const pid_t child = fork();
    if (child == 0) {
        const int before = regions();
        members_meet(3);
        _exit(failures || regions() != before ? 1 : 0);  // in a child OpenMP's threads are gone
    }
    int status = 1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "in the child");
    members_meet(3);
}

// A runtime as OpenMP's: `given` threads in a region, whatever it says.
struct Runtime {
    static inline int given = 4, said = 4, regions = 0;
    static inline thread_local int number = 0, level = 0;

    static void parallel(void (*work)(void *), void *context, unsigned, unsigned) {
        ++regions;
        std::vector<std::thread> others;
        for (int i = 1; i < given; ++i)
            others.emplace_back([=] {
                number = i;
                work(context);
            });
        ++level;
        work(context);
        --level;
        for (std::thread &other : others) other.join();
    }
    static int thread() { return number; }
    static int threads() { return given; }
    static int inside() { return level; }
    static int most() { return said; }
};

int regions() {
    return Runtime::regions;
}

void openmp() {
    use_openmp({Runtime::parallel, Runtime::thread, Runtime::threads, Runtime::inside, Runtime::most});
    CHECK(members_meet(3) == 3, "of 4 threads");
    CHECK(members_meet(2) == 2, "of 4 threads");
    Runtime::given = 1;
    CHECK(members_meet(3) == 3, "of 1 thread where 4 were promised");
    Runtime::said = 2;
    CHECK(members_meet(3) == 2, "as many as it uses itself");
    Runtime::level = 1;
    CHECK(members_meet(3) == 1, "inside a region");
    Runtime::level = 0;
    Runtime::said = 1;
    CHECK(members_meet(3) == 1, "a runtime with one thread");
    Runtime::given = Runtime::said = 3;
    CHECK(Runtime::regions == 4, "%d regions", Runtime::regions);
    brief_calls();
#if !defined(__SANITIZE_THREAD__)
    fork_is_safe();
    CHECK(Runtime::regions > 4, "the parent still uses it");
#endif
}

int all() {
    set_num_threads(3);
    for (int wanted : {1, 2, 3}) members_meet(wanted);
    brief_calls();
    a_barrier_takes_time();
    taken_pool_means_alone();
    callers_in_parallel();
#if !defined(__SANITIZE_THREAD__)  // its runtime does not support new threads in a forked child
    fork_is_safe();
#endif
    openmp();
    set_num_threads(0);
    CHECK(get_num_threads() == 1, "at least one thread");
    return failures ? 1 : 0;
}

}  // namespace hiddenstate::test

int main() {
    return hiddenstate::test::all();
}
