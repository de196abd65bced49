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

// What stands in the line before a block.
struct Head {
    std::size_t bytes;  // with this line
    const void *key;
};

// Packed weights, tapes, outputs and gradients come and go with every call of a layer. Memory fresh from the system
// costs more than the packing (each page is cleared at first touch), so released blocks are kept, up to a limit; and a
// block that comes back to the weights it held needs no writing. A large block without a key (a tape) that fits nothing
// kept makes room for itself: what is kept never comes on top of what a training step needs. Whoever finds the lock
// taken does without, and so does the child of a fork that happened under the lock.
class Keeper {
 public:
    Head *take(std::size_t bytes, const void *key) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        int fits = -1;
        for (int i = 0; lock && i < count_; ++i) {
            const Head &block = *blocks_[i];
            if (block.bytes == bytes && block.key == key) return remove(i);
            if (fits < 0 && block.bytes >= bytes && block.bytes <= bytes + bytes / 4) fits = i;
        }
        if (fits >= 0) return remove(fits);
        for (int i = count_ - 1; lock && !key && bytes >= large && i >= 0; --i)
            if (!blocks_[i]->key && blocks_[i]->bytes >= large) std::free(remove(i));
        return nullptr;
    }

    void clear() {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (count_ > 0) std::free(remove(count_ - 1));
    }

    // False: the caller still owns it.
    bool keep(Head *block) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock || block->bytes > most_bytes) return false;
        while (count_ == most_blocks || kept_ + block->bytes > most_bytes) std::free(remove(0));  // the oldest
        blocks_[count_++] = block;
        kept_ += block->bytes;
        return true;
    }

 private:
    Head *remove(int i) {
        Head *block = blocks_[i];
        kept_ -= block->bytes;
        for (--count_; i < count_; ++i) blocks_[i] = blocks_[i + 1];
        return block;
    }

    static constexpr int most_blocks = 256;
    static constexpr std::size_t most_bytes = std::size_t(256) << 20, large = std::size_t(1) << 20;
    std::mutex mutex_;
    Head *blocks_[most_blocks];
    int count_ = 0;
    std::size_t kept_ = 0;
};

Keeper &keeper() {
    static auto *one = new Keeper;  // outlives every plan that is released while the process ends
    return *one;
}
}  // namespace

void *allocate_aligned(std::size_t bytes, const void *key) {
    bytes = padded(bytes) + line;
    Head *block = bytes < kept_from ? nullptr : keeper().take(bytes, key);
    if (!block) {
        block = static_cast<Head *>(std::aligned_alloc(line, bytes));
        if (!block) throw std::bad_alloc();
        block->bytes = bytes;
    }
    block->key = key;
    return reinterpret_cast<char *>(block) + line;
}

void release_aligned(void *memory) {
    if (!memory) return;
    auto *block = reinterpret_cast<Head *>(static_cast<char *>(memory) - line);
    if (block->bytes < kept_from || !keeper().keep(block)) std::free(block);
}

void free_kept() {
    keeper().clear();
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
    char *block = static_cast<char *>(std::aligned_alloc(line, bytes + line));
    if (!block) throw std::bad_alloc();
    *reinterpret_cast<void **>(block) = spills_;
    spills_ = block;
    spilled_ += bytes;
    return block + line;
}

Scratch::~Scratch() {
    while (spills_) {
        void *next = *static_cast<void **>(spills_);
        std::free(spills_);
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
