// A small pool of threads, and the team that one call borrows from it.
//
// One call at a time owns the pool. A call that finds it taken (another Python thread is inside) runs on its own
// thread alone; results do not depend on the number of threads, so nobody notices but the clock.
// Idle workers spin for a moment and then sleep. After fork() the child starts a pool of its own on first use.
//
// A brief call (a few microseconds) cannot wait for sleepers: it takes the workers that are awake, and wakes the others
// for the next call only when such calls follow each other without a pause.
#pragma once

namespace hiddenstate {

void set_num_threads(int count);  // most threads a call may use, 1 to 128
int get_num_threads();

class Team {
 public:
    explicit Team(int wanted, bool brief = false);  // takes the pool when wanted > 1 and it is free
    ~Team();
    Team(const Team &) = delete;
    Team &operator=(const Team &) = delete;

    // Calls work(context, member) for every member 0..size-1 at once, with subnormal numbers flushed to zero; the
    // caller is member 0 and returns when all are done, with its floating-point mode as before. work must not throw.
    void run(void (*work)(void *context, int member), void *context);

    // Barrier: called by every member inside run, with its own number.
    void wait(int member);

    int size;

 private:
    struct Pool;
    friend struct PoolAccess;
    Pool *pool_;
};

}  // namespace hiddenstate
