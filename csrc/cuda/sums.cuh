// Sums over a warp, and the statistics of a batch from the sums of its rows: every block writes its own sums, and the
// last block to finish adds all of them in order.
#pragma once

#include <cuda_bf16.h>

#include "../statistics.h"
#include "launch.h"

namespace copgen::cuda {

template <typename W, typename T>
__device__ __forceinline__ W widen(T x) {
  return static_cast<W>(x);
}

template <>
__device__ __forceinline__ float widen<float, __nv_bfloat16>(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

template <typename T, typename W>
__device__ __forceinline__ T narrow(W x) {
  return static_cast<T>(x);
}

template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16, float>(float x) {
  return __float2bfloat16(x);
}

// The sum over the warp, in every lane.
template <typename W>
__device__ __forceinline__ W warp_sum(W x) {
  for (int lane = 16; lane > 0; lane /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, lane);
  }
  return x;
}

__device__ inline Sums warp_sum(const Sums& sums) {
  Sums total = sums;
  for (int lane = 16; lane > 0; lane /= 2) {
    Sums other;
    other.violations = __shfl_down_sync(0xffffffffu, total.violations, lane);
    other.d = __shfl_down_sync(0xffffffffu, total.d, lane);
    other.d_squared = __shfl_down_sync(0xffffffffu, total.d_squared, lane);
    other.d_largest = __shfl_down_sync(0xffffffffu, total.d_largest, lane);
    other.move = __shfl_down_sync(0xffffffffu, total.move, lane);
    other.move_squared = __shfl_down_sync(0xffffffffu, total.move_squared, lane);
    total.add(other);
  }
  return total;
}

__device__ inline void store(double* to, const Sums& sums) {
  to[0] = sums.violations, to[1] = sums.d, to[2] = sums.d_squared;
  to[3] = sums.d_largest, to[4] = sums.move, to[5] = sums.move_squared;
}

// Bypasses the L1 cache, which is not coherent between blocks.
__device__ inline Sums fetch(const double* from) {
  Sums sums;
  sums.violations = __ldcg(from), sums.d = __ldcg(from + 1), sums.d_squared = __ldcg(from + 2);
  sums.d_largest = __ldcg(from + 3), sums.move = __ldcg(from + 4), sums.move_squared = __ldcg(from + 5);
  return sums;
}

// Called by all threads of all blocks at their end. `sums` are a warp's sums, in its lane 0.
__device__ inline void finish(const Sums& sums, int64_t rows, int64_t dim, double* stats, Partial partial) {
  __shared__ double of_warp[kWarps * kStatistics];
  __shared__ bool last;
  if (threadIdx.x % 32 == 0) {
    store(of_warp + threadIdx.x / 32 * kStatistics, sums);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    Sums total;
    for (int warp = 0; warp < kWarps; ++warp) {
      Sums one;
      const double* from = of_warp + warp * kStatistics;
      one.violations = from[0], one.d = from[1], one.d_squared = from[2];
      one.d_largest = from[3], one.move = from[4], one.move_squared = from[5];
      total.add(one);
    }
    store(partial.sums + static_cast<int64_t>(blockIdx.x) * kStatistics, total);
    __threadfence();
    last = atomicAdd(partial.counter, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last || threadIdx.x >= 32) {
    return;
  }
  __threadfence();
  Sums mine;
  for (unsigned int block = threadIdx.x; block < gridDim.x; block += 32) {
    mine.add(fetch(partial.sums + static_cast<int64_t>(block) * kStatistics));
  }
  const Sums batch = warp_sum(mine);
  if (threadIdx.x == 0) {
    batch.write(stats, rows, dim);
    *partial.counter = 0;
  }
}

}  // namespace copgen::cuda
