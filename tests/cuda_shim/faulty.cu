// Kernels for test_runtime.py: what a kernel may do, and what it must not.

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstring>

namespace {

__global__ void none_but_some_arrive(int64_t*) {
  if (threadIdx.x < 100) {
    __syncthreads();
  }
}

__global__ void at_two_barriers(int64_t*) {
  if (threadIdx.x < 128) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void half_a_warp(int64_t*) {
  if (threadIdx.x % 32 < 16) {
    __syncwarp();
  }
}

__global__ void a_mask_of_half_a_warp(int64_t* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffu, threadIdx.x, 1); }

__global__ void unwritten(int64_t* out) {
  __shared__ int64_t words[4];
  out[threadIdx.x] = words[threadIdx.x % 4];
  __syncthreads();
  words[threadIdx.x % 4] = 5;
}

__global__ void more_than_there_is(int64_t* out) {
  __shared__ int64_t words[7000];
  out[threadIdx.x] = words[threadIdx.x];
}

__global__ void order(int64_t* out) {
  out[1 + atomicAdd(out, int64_t{1})] = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__global__ void exchanges(int64_t* out) {
  const int64_t word = threadIdx.x * threadIdx.x;
  int64_t* const mine = out + 5 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  mine[0] = __shfl_sync(0xffffffffu, word, 3);
  mine[1] = __shfl_xor_sync(0xffffffffu, word, 5);
  mine[2] = __shfl_down_sync(0xffffffffu, word, 30);
  mine[3] = __shfl_up_sync(0xffffffffu, word, 2);
  mine[4] = __ballot_sync(0xffffffffu, word % 3 == 0);
}

__global__ void reversed(int64_t* out) {
  extern __shared__ int64_t words[];
  words[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = words[blockDim.x - 1 - threadIdx.x];
}

struct Named {
  const char* name;
  void (*kernel)(int64_t*);
};
#define COPGEN_NAMED(kernel) {#kernel, &kernel}
const Named kKernels[] = {
    COPGEN_NAMED(none_but_some_arrive), COPGEN_NAMED(at_two_barriers), COPGEN_NAMED(half_a_warp),
    COPGEN_NAMED(a_mask_of_half_a_warp), COPGEN_NAMED(unwritten), COPGEN_NAMED(more_than_there_is),
    COPGEN_NAMED(order), COPGEN_NAMED(exchanges), COPGEN_NAMED(reversed),
};

}  // namespace

// Launches one of them; returns what went wrong.
extern "C" const char* copgen_shim_try(
    const char* name, unsigned int blocks, unsigned int threads, int bytes, bool allowed, int64_t* out) {
  for (const auto& [called, kernel] : kKernels) {
    if (std::strcmp(called, name) == 0) {
      if (allowed) {
        const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (error != cudaSuccess) {
          return cudaGetErrorString(error);
        }
      }
      kernel<<<blocks, threads, bytes, nullptr>>>(out);
      return cudaGetErrorString(cudaGetLastError());
    }
  }
  return "no such kernel";
}

extern "C" void copgen_shim_functions(double x, float* rounded, double* numbers) {
  *rounded = __bfloat162float(__float2bfloat16(static_cast<float>(x)));
  sincospi(x, &numbers[0], &numbers[1]);
  numbers[2] = x > 0 && x < 1 ? normcdfinv(x) : 0;
}
