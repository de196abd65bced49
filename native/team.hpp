// A small pool of threads, and the team that one call borrows from it.
//
// One call at a time owns the pool. A call that finds it taken (another Python thread is inside) runs on its own
// thread alone; results do not depend on the number of threads, so nobody notices but the clock.
// Idle workers spin for a moment and then sleep. After fork() the child starts a pool of its own on first use.
//
// A brief call (a few microseconds) cannot wait for sleepers: it takes the workers that are awake, and wakes the others
// for the next call only when such calls follow each other without a pause.
//
// Two pools in one process disturb each other: OpenMP's threads spin for milliseconds after every parallel region, on
// the cores that the others need. Where another library computes with OpenMP, teams are made of its threads
// (`use_openmp`).
#pragma once

namespace hiddenstate {

void set_num_threads(int count);  // most threads a call may use, 1 to 128
int get_num_threads();

// Functions of an OpenMP runtime that is already in the process, by the names that GNU's and LLVM's give them.
struct OpenMP {
    void (*parallel)(void (*work)(void *), void *context, unsigned threads, unsigned flags);  // GOMP_parallel
    int (*thread)();                                                                          // omp_get_thread_num
    int (*threads)();                                                                         // omp_get_num_threads
    int (*inside)();                                                                          // omp_in_parallel
    int (*most_threads)();                                                                    // omp_get_max_threads
};

// From now on teams are made of this runtime's threads, as many at most as it would use itself; brief calls and forked
// children keep to the pool.
void use_openmp(const OpenMP &runtime);

class Team {
 public:
    explicit Team(int wanted, bool brief = false);  // takes the pool when wanted > 1 and it is free
    ~Team();
    Team(const Team &) = delete;
    Team &operator=(const Team &) = delete;

    // Calls work(context, member) for every member 0..size-1 at once, with subnormal numbers flushed to zero; the
    // caller is member 0 and returns when all are done, with its floating-point mode as before. work must not throw.
    void run(void (*work)(void *context, int member), void *context);

    // Barrier: called inside run by every member, or by members `first` to `last` - 1, with its own number. Within one
    // run a member keeps to one kind.
    void wait(int member) { wait(member, 0, size); }
    void wait(int member, int first, int last);

    // Half a barrier each: says that `member` has done its part, and waits until `other` has said so as often.
    void arrive(int member);
    void await(int member, int other);

    // Nanoseconds that a barrier takes: 100 between neighbouring cores, several times as many between distant ones, and
    // it changes where virtual processors move about. Measured outside run, anew after a while.
    double barrier_time();

    int size;

 private:
    struct Pool;
    struct Job;
    friend struct PoolAccess;
    Pool *pool_;
    bool openmp_ = false;
};

}  // namespace hiddenstate
