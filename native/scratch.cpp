#include "scratch.hpp"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hiddenstate {

namespace {
constexpr std::size_t line = 64;
constexpr std::size_t kept_limit = std::size_t(16) << 20;  // of a thread's scratch
constexpr std::size_t kept_from = std::size_t(64) << 10;   // smaller blocks malloc itself keeps

std::size_t padded(std::size_t bytes) {
    return (bytes + line - 1) / line * line;
}

// Blocks of packed weights come and go with every call of a layer. Memory fresh from the system costs more than the
// packing (each page is cleared at first touch), so released blocks are kept, up to a limit. Whoever finds the lock
// taken does without, and so does the child of a fork that happened under the lock.
class Keeper {
 public:
    void *take(std::size_t bytes) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        for (int i = 0; lock && i < count_; ++i) {
            const Block found = blocks_[i];
            if (found.bytes < bytes || found.bytes > bytes + bytes / 4) continue;
            remove(i);
            return found.memory;
        }
        return nullptr;
    }

    // False: the caller still owns it.
    bool keep(void *memory, std::size_t bytes) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock || bytes > most_bytes) return false;
        while (count_ == most_blocks || kept_ + bytes > most_bytes) {
            std::free(blocks_[0].memory);  // the oldest
            remove(0);
        }
        blocks_[count_++] = {memory, bytes};
        kept_ += bytes;
        return true;
    }

 private:
    struct Block {
        void *memory;
        std::size_t bytes;
    };
    void remove(int i) {
        kept_ -= blocks_[i].bytes;
        for (--count_; i < count_; ++i) blocks_[i] = blocks_[i + 1];
    }

    static constexpr int most_blocks = 32;
    static constexpr std::size_t most_bytes = std::size_t(64) << 20;
    std::mutex mutex_;
    Block blocks_[most_blocks];
    int count_ = 0;
    std::size_t kept_ = 0;
};

Keeper &keeper() {
    static auto *one = new Keeper;  // outlives every plan that is released while the process ends
    return *one;
}
}  // namespace

// The size stands in the line before the block.
void *allocate_aligned(std::size_t bytes) {
    bytes = padded(bytes) + line;
    void *memory = bytes < kept_from ? nullptr : keeper().take(bytes);
    if (!memory) {
        memory = std::aligned_alloc(line, bytes);
        if (!memory) throw std::bad_alloc();
        *static_cast<std::size_t *>(memory) = bytes;
    }
    return static_cast<char *>(memory) + line;
}

void release_aligned(void *memory) {
    if (!memory) return;
    void *block = static_cast<char *>(memory) - line;
    const std::size_t bytes = *static_cast<std::size_t *>(block);
    if (bytes < kept_from || !keeper().keep(block, bytes)) std::free(block);
}

void prefer_large_pages([[maybe_unused]] void *memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
    constexpr std::size_t worth_it = std::size_t(4) << 20, page = 4096;
    if (bytes < worth_it) return;
    char *first = static_cast<char *>(memory) + (page - reinterpret_cast<std::uintptr_t>(memory) % page) % page;
    char *last = static_cast<char *>(memory) + bytes;
    madvise(first, std::size_t(last - first) / page * page, MADV_HUGEPAGE);
#endif
}

struct Scratch::Buffer {
    char *memory = nullptr;
    std::size_t size = 0;
    bool busy = false;
    ~Buffer() { std::free(memory); }
};

Scratch::Buffer &Scratch::mine() {
    thread_local Buffer buffer;
    return buffer;
}

Scratch::Scratch() : buffer_(&mine()), used_(0), spilled_(0), spills_(nullptr), owner_(!buffer_->busy) {
    buffer_->busy = true;
}

void *Scratch::take(std::size_t bytes) {
    bytes = padded(bytes ? bytes : 1);
    if (owner_ && used_ + bytes <= buffer_->size) {
        void *memory = buffer_->memory + used_;
        used_ += bytes;
        return memory;
    }
    char *block = static_cast<char *>(allocate_aligned(bytes + line));
    *reinterpret_cast<void **>(block) = spills_;
    spills_ = block;
    spilled_ += bytes;
    return block + line;
}

Scratch::~Scratch() {
    while (spills_) {
        void *next = *static_cast<void **>(spills_);
        release_aligned(spills_);
        spills_ = next;
    }
    if (!owner_) return;
    const std::size_t wanted = used_ + spilled_;
    if (spilled_ && wanted <= kept_limit) {
        std::free(buffer_->memory);
        buffer_->memory = static_cast<char *>(std::aligned_alloc(line, wanted));
        buffer_->size = buffer_->memory ? wanted : 0;
    }
    buffer_->busy = false;
}

}  // namespace hiddenstate
