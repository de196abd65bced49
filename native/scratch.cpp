#include "scratch.hpp"

#include <cstdlib>
#include <new>

namespace hiddenstate {

namespace {
constexpr std::size_t line = 64;
constexpr std::size_t kept_limit = std::size_t(16) << 20;

std::size_t padded(std::size_t bytes) {
    return (bytes + line - 1) / line * line;
}
}  // namespace

void *allocate_aligned(std::size_t bytes) {
    void *memory = std::aligned_alloc(line, padded(bytes ? bytes : 1));
    if (!memory) throw std::bad_alloc();
    return memory;
}

void release_aligned(void *memory) {
    std::free(memory);
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
