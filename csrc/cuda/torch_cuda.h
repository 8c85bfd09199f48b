// What the CUDA operators need from torch beside tensors: the device of a tensor and its current stream, errors of the
// CUDA runtime, and cuBLAS products, which follow torch's TF32 setting. All of it is called below autograd and autocast.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cuda.h>
#include <torch/csrc/stable/accelerator.h>

#include "../tensor.h"

namespace copgen::cuda {

inline void check(cudaError_t status) { STD_CUDA_CHECK(status); }

// Makes the device of a tensor the current one for a scope.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& x) : guard_(x.get_device_index()) {}

 private:
  torch::stable::accelerator::DeviceGuard guard_;
};

// The current stream of a tensor's device.
inline cudaStream_t stream_of(const Tensor& x) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

inline Tensor transposed(const Tensor& x) { return torch::stable::transpose(x, 0, 1); }

// a b
inline Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor out = unfilled({a.size(0), b.size(1)}, a.scalar_type(), &a);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cuda_mm_out(out.get(), a.get(), b.get()));
  return out;
}

// a b of bfloat16 matrices in float32
inline Tensor wide_product(const Tensor& a, const Tensor& b) {
  using torch::stable::detail::from;
  const Tensor out = unfilled({a.size(0), b.size(1)}, kFloat, &a);
  std::array<StableIValue, 4> stack{from(a), from(b), from(kFloat), from(out)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "dtype_out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // takes the reference that the operator returns
  return out;
}

// c + a b
inline Tensor sum_with_product(const Tensor& c, const Tensor& a, const Tensor& b) {
  const Tensor out = unfilled(c.sizes(), c.scalar_type(), &c);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cuda_addmm_out(out.get(), c.get(), a.get(), b.get(), 1, 1));
  return out;
}

// c + the sums of a's columns
inline Tensor sum_with_columns(const Tensor& c, const Tensor& a) {
  return torch::stable::subtract(c, torch::stable::sum(a, Sizes({0})), -1);
}

// relu(x W^T + bias)
inline Tensor hidden_units(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  AtenTensorHandle made = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_cuda__addmm_activation(bias.get(), x.get(), transposed(weight).get(), 1, 1, 0, &made));
  return Tensor(made);
}

}  // namespace copgen::cuda
