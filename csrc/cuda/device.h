// What every CUDA operator needs: pointers in CUDA's own types, a buffer for partial sums, and the size of a launch.
#pragma once

#include <cuda_bf16.h>

#include <algorithm>

#include "../statistics.h"
#include "launch.h"
#include "torch_cuda.h"

namespace copgen::cuda {

// Maps torch's scalar type to CUDA's.
template <typename T>
struct Native {
  using type = T;
};
template <>
struct Native<BFloat16> {
  using type = __nv_bfloat16;
};

template <typename T>
const typename Native<T>::type* read(const Tensor& x) {
  return x.defined() ? reinterpret_cast<const typename Native<T>::type*>(x.const_data_ptr<T>()) : nullptr;
}

template <typename T>
typename Native<T>::type* write(const Tensor& x) {
  return reinterpret_cast<typename Native<T>::type*>(x.mutable_data_ptr<T>());
}

// The buffer for the sums of up to `most` blocks; freed once the kernel is queued, which is safe as torch's caching
// allocator reuses memory in stream order.
class PartialSums {
 public:
  PartialSums(const Tensor& like, int64_t most)
      : blocks_(static_cast<int>(std::max<int64_t>(1, most))),
        memory_(torch::stable::new_zeros(like, {1 + blocks_ * kStatistics}, kDouble)) {}

  Partial partial() {
    double* memory = memory_.mutable_data_ptr<double>();
    return {reinterpret_cast<unsigned int*>(memory), memory + 1, blocks_};
  }

 private:
  int blocks_;
  Tensor memory_;
};

inline int processors(const Tensor& x) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, x.get_device_index()));
  return count;
}

// One warp per row, and no more blocks than fill the multiprocessors.
inline int64_t blocks_for_rows(const Tensor& z) {
  return std::min<int64_t>((z.size(0) + kWarps - 1) / kWarps, 8L * processors(z));
}

}  // namespace copgen::cuda
