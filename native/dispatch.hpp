// Instruction sets: which were compiled, which this processor runs, which one is used.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace hiddenstate {

std::vector<std::string> isas();  // that this processor runs, best first
const std::string &isa();         // in use

// Picks by name; an empty name picks the best. False: unknown, or this processor cannot run it.
bool choose_isa(const std::string &name);

template <class T>
const Kernels<T> &kernels();  // of the instruction set in use

}  // namespace hiddenstate
