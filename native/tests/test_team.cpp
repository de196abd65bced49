// The thread pool: members, barrier, a taken pool, several callers, fork, and the floating-point mode.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfloat>
#include <thread>

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
    for (int call = 0; call < 100000 && most < 3; ++call) {
        const int size = members_meet(3, true);
        CHECK(size == 1 || size == 3, "size %d", size);
        most = size > most ? size : most;
        if (call % 100 == 50) members_meet(2);
    }
    CHECK(most == 3, "nobody woke");
}

void callers_in_parallel() {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([] {
            for (int repeat = 0; repeat < 200; ++repeat) members_meet(3);
        });
    for (std::thread &caller : callers) caller.join();
}

void taken_pool_means_alone() {
    Team first(2), second(2);
    CHECK(first.size == 2 && second.size == 1, "sizes %d and %d", first.size, second.size);
}

void fork_is_safe() {
    members_meet(3);
    const pid_t child = fork();
    if (child == 0) {
        members_meet(3);
        _exit(failures ? 1 : 0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "in the child");
    members_meet(3);
}

int all() {
    set_num_threads(3);
    for (int wanted : {1, 2, 3}) members_meet(wanted);
    brief_calls();
    taken_pool_means_alone();
    callers_in_parallel();
#if !defined(__SANITIZE_THREAD__)  // its runtime does not support new threads in a forked child
    fork_is_safe();
#endif
    set_num_threads(0);
    CHECK(get_num_threads() == 1, "at least one thread");
    return failures ? 1 : 0;
}

}  // namespace hiddenstate::test

int main() {
    return hiddenstate::test::all();
}
