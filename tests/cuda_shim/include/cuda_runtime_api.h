// CUDA for the host compiler, as much of it as csrc/cuda needs: the runtime's functions, the built-in variables and the
// functions of a device, and a launch. runtime.cpp executes a kernel; translation.py turns what is not C++ into calls of
// `Launch`, `shared_array` and `shared_memory`.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidConfiguration, cudaErrorLaunchFailure };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  unsigned int x, y = 1, z = 1;
};

namespace copgen_shim {

constexpr unsigned int kAllLanes = 0xffffffffu;

// The thread that runs.
dim3 thread_index();
dim3 block_index();
dim3 block_size();
dim3 grid_size();

// `site` names the place in the source: all threads must arrive at the same one.
void sync_block(const char* site);
void sync_warp(const char* site, unsigned int mask = kAllLanes);
void fence();
void atomic(void* address);
// Every lane gives a word; the words of all 32 are there until the lane's next exchange.
const uint64_t* exchange(const char* site, unsigned int mask, uint64_t word);
void* shared_memory(const char* site, size_t bytes, size_t alignment);
void* dynamic_shared_memory();

// A grid of one dimension.
class Launch {
 public:
  Launch(const char* name, unsigned int blocks, unsigned int threads, size_t bytes, cudaStream_t stream)
      : name_(name), blocks_(blocks), threads_(threads), bytes_(bytes) {}

  template <typename... Parameters, typename... Arguments>
  void operator()(void (*kernel)(Parameters...), const Arguments&... arguments) {
    const std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
    run(reinterpret_cast<const void*>(kernel), [&] { std::apply(kernel, values); });
  }

 private:
  void run(const void* kernel, const std::function<void()>& body);

  const char* name_;
  unsigned int blocks_, threads_;
  size_t bytes_;
};

cudaError_t allow_shared_memory(const void* kernel, int bytes);

template <typename T>
T& shared_array(const char* site) {
  return *static_cast<T*>(shared_memory(site, sizeof(T), alignof(T)));
}

// The lane's own value where `source` is not a lane.
template <typename T>
T shuffle(const char* site, unsigned int mask, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  const uint64_t* const words = exchange(site, mask, word);
  if (source >= 0 && source < 32) {
    std::memcpy(&value, &words[source], sizeof(T));
  }
  return value;
}

inline int lane() { return static_cast<int>(thread_index().x % 32); }

inline unsigned int ballot(const char* site, unsigned int mask, bool holds) {
  const uint64_t* const words = exchange(site, mask, holds ? 1 : 0);
  unsigned int lanes = 0;
  for (int lane = 0; lane < 32; ++lane) {
    lanes |= static_cast<unsigned int>(words[lane]) << lane;
  }
  return lanes;
}

}  // namespace copgen_shim

#define threadIdx (::copgen_shim::thread_index())
#define blockIdx (::copgen_shim::block_index())
#define blockDim (::copgen_shim::block_size())
#define gridDim (::copgen_shim::grid_size())

#define COPGEN_SHIM_TEXT_OF(x) #x
#define COPGEN_SHIM_TEXT(x) COPGEN_SHIM_TEXT_OF(x)
#define COPGEN_SHIM_SITE __FILE__ ":" COPGEN_SHIM_TEXT(__LINE__)

#define __syncthreads() ::copgen_shim::sync_block(COPGEN_SHIM_SITE)
#define __syncwarp(...) ::copgen_shim::sync_warp(COPGEN_SHIM_SITE __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(mask, x, source) ::copgen_shim::shuffle(COPGEN_SHIM_SITE, mask, x, (source) % 32)
#define __shfl_xor_sync(mask, x, lanes) \
  ::copgen_shim::shuffle(COPGEN_SHIM_SITE, mask, x, ::copgen_shim::lane() ^ (lanes))
#define __shfl_down_sync(mask, x, lanes) \
  ::copgen_shim::shuffle(COPGEN_SHIM_SITE, mask, x, ::copgen_shim::lane() + (lanes))
#define __shfl_up_sync(mask, x, lanes) \
  ::copgen_shim::shuffle(COPGEN_SHIM_SITE, mask, x, ::copgen_shim::lane() - (lanes))
#define __ballot_sync(mask, holds) ::copgen_shim::ballot(COPGEN_SHIM_SITE, mask, holds)

inline void __threadfence() { copgen_shim::fence(); }
inline int __popc(unsigned int x) { return __builtin_popcount(x); }

template <typename T>
T __ldcg(const T* from) {
  return *from;
}

template <typename T>
T atomicAdd(T* to, T value) {
  const T before = __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
  copgen_shim::atomic(to);
  return before;
}

using std::isinf;

inline void sincospi(double x, double* sine, double* cosine) {
  const double rest = std::remainder(x, 2.0);
  *sine = std::sin(M_PI * rest), *cosine = std::cos(M_PI * rest);
}

// Newton's iteration for log(Phi(x)) = log(p), a concave function: it rises to the root from any point below it, and
// Phi(x) <= exp(-x^2 / 2) / 2 for x <= 0.
inline double normcdfinv(double p) {
  if (p > 0.5) {
    return -normcdfinv(1.0 - p);
  }
  double x = -std::sqrt(-2.0 * std::log(2.0 * p));
  for (int step = 0; step < 12; ++step) {
    const double below = 0.5 * std::erfc(-x * M_SQRT1_2);
    x -= (std::log(below) - std::log(p)) * below / (std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI));
  }
  return x;
}

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  return copgen_shim::allow_shared_memory(reinterpret_cast<const void*>(kernel), bytes);
}
