// Subnormal numbers count as zero while an object of this class lives: arithmetic on them is tens of times slower, and
// decaying states are full of them. The thread's own mode returns when the object ends.
#pragma once

#include <cstdint>

namespace hiddenstate {

class FlushDenormals {
 public:
    FlushDenormals();
    ~FlushDenormals();
    FlushDenormals(const FlushDenormals &) = delete;
    FlushDenormals &operator=(const FlushDenormals &) = delete;

 private:
    std::uint64_t saved_;
};

}  // namespace hiddenstate
