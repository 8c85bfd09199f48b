// What the shim can be told and asked from outside of the kernels.
#pragma once

#include <cstdint>

namespace copgen_shim {

// The seed of the order of threads and blocks, and the device: its multiprocessors, and a block's shared memory.
void configure(uint64_t seed, int processors, int shared_bytes);

}  // namespace copgen_shim
