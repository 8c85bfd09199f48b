// In the place of csrc/cuda/torch_cuda.h: the same for tensors of the CPU.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cstring>

#include "../tensor.h"

namespace copgen::cuda {

inline void check(cudaError_t status) {
  COPGEN_CHECK(status == cudaSuccess, "CUDA error: ", cudaGetErrorString(status));
}

// While there is none, the current stream may be another device's: see stream_of.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor&) { ++count(); }
  ~OnDeviceOf() { --count(); }
  OnDeviceOf(const OnDeviceOf&) = delete;
  OnDeviceOf& operator=(const OnDeviceOf&) = delete;

  static int& count() {
    static thread_local int guards = 0;
    return guards;
  }
};

inline cudaStream_t stream_of(const Tensor&) {
  COPGEN_CHECK(OnDeviceOf::count() > 0, "The stream is asked for without a guard for the tensors' device.");
  return nullptr;
}

// Hides the one of tensor.h: what a kernel does not write is NaN, or true.
inline Tensor unfilled(Sizes sizes, ScalarType type, const Tensor* beside) {
  const Tensor made = copgen::unfilled(sizes, type, beside);
  std::memset(made.mutable_data_ptr(), type == kBool ? 1 : 0xff, made.numel() * made.element_size());
  return made;
}

inline Tensor transposed(const Tensor& x) { return torch::stable::transpose(x, 0, 1); }

inline Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor out = unfilled({a.size(0), b.size(1)}, a.scalar_type(), &a);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(out.get(), a.get(), b.get()));
  return out;
}

inline Tensor wide_product(const Tensor& a, const Tensor& b) { return product(as(a, kFloat), as(b, kFloat)); }

inline Tensor sum_with_product(const Tensor& c, const Tensor& a, const Tensor& b) {
  const Tensor out = unfilled(c.sizes(), c.scalar_type(), &c);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_addmm_out(out.get(), c.get(), a.get(), b.get(), 1, 1));
  return out;
}

inline Tensor sum_with_columns(const Tensor& c, const Tensor& a) {
  return torch::stable::subtract(c, torch::stable::sum(a, Sizes({0})), -1);
}

template <typename T>
void without_nan(const Tensor& x) {
  T* const values = x.mutable_data_ptr<T>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double value = static_cast<double>(static_cast<float>(values[i]));
    values[i] = value == value ? values[i] : static_cast<T>(0.0f);
  }
}

// NaN becomes 0, as it may by cuBLASLt's ReLU.
inline Tensor hidden_units(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  AtenTensorHandle made = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_cpu__addmm_activation(bias.get(), x.get(), transposed(weight).get(), 1, 1, 0, &made));
  const Tensor h(made);
  const auto type = h.scalar_type();
  type == kDouble ? without_nan<double>(h) : type == kFloat ? without_nan<float>(h) : without_nan<BFloat16>(h);
  return h;
}

}  // namespace copgen::cuda
