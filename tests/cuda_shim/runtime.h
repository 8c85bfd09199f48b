// What executes kernels, and the device that they see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>

namespace copgen_shim {

// The seed of the order of threads and blocks, and the device: its multiprocessors, and a block's shared memory.
void configure(uint64_t seed, int processors, int shared_bytes);

// Calls `kernel` for every thread of a grid of one dimension; `bytes` of dynamic shared memory. -> what went wrong.
std::string run_grid(
    const std::function<void()>& kernel, unsigned int blocks, unsigned int threads, size_t bytes,
    std::mt19937_64& random);

}  // namespace copgen_shim
