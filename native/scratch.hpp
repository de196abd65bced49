// Working memory of one call, kept by the thread for the next call.
#pragma once

#include <cstddef>

namespace hiddenstate {

class Scratch {
 public:
    Scratch();   // borrows the calling thread's buffer
    ~Scratch();  // gives it back; it grows to what this call needed, up to a limit
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    // 64-byte aligned, not initialised, valid until this object ends. Throws std::bad_alloc.
    void *take(std::size_t bytes);

 private:
    struct Buffer;
    static Buffer &mine();
    Buffer *buffer_;
    std::size_t used_, spilled_;
    void *spills_;  // list of extra blocks
    bool owner_;
};

// 64-byte aligned memory outside any call; large blocks are kept for the next one, and come back with what they held to
// who asks with the same key (not null) and size, unless that block is in use or gone. Throws std::bad_alloc.
void *allocate_aligned(std::size_t bytes, const void *key);
void release_aligned(void *memory);
void free_kept();  // gives what is kept back to the system

// For a large output that is about to be written for the first time: asks the system for large pages, which it clears
// several times faster than small ones. Does nothing to small outputs, and where there are no large pages.
void prefer_large_pages(void *memory, std::size_t bytes);

}  // namespace hiddenstate
