// Products of a block of rows with a weight shared by all blocks: by the kernels of products.h for float32 if the
// processor supports them, otherwise by BLAS.
#pragma once

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <optional>
#include <type_traits>

#include "../tensor.h"
#include "products.h"

namespace copgen::cpu {

template <typename T>
Tensor numbers(const Tensor& x) {
  return copgen::numbers(x, type_of<T>);
}

// A matrix at an address, for torch's operators; it requires no gradient, whatever the caller's modes are.
template <typename T>
Tensor matrix_at(const T* data, Sizes sizes, Sizes strides) {
  return torch::stable::from_blob(const_cast<T*>(data), sizes, strides, torch::headeronly::DeviceType::CPU, type_of<T>);
}

// out = or += a b, by torch's BLAS.
inline void blas(const Tensor& out, const Tensor& a, const Tensor& b, bool add) {
  STABLE_TORCH_ERROR_CODE_CHECK(
      add ? aoti_torch_cpu_addmm_out(out.get(), out.get(), a.get(), b.get(), 1, 1)
          : aoti_torch_cpu_mm_out(out.get(), a.get(), b.get()));
}

// y = x W^T, or x W if `plain`, for contiguous W and batches of `rows`. W is packed once for all batches, unless it can
// be read in place; a large W only for many rows, as for few, packing takes a tenth of the product's time.
template <typename T>
class Linear {
 public:
  Linear(int64_t rows, const Tensor& weight, bool plain = false)
      : weight_(weight), plain_(plain), inner_(weight.size(plain ? 0 : 1)), columns_(weight.size(plain ? 1 : 0)) {
    if constexpr (std::is_same_v<T, float>) {
      const Strided rows_of_weight{weight.const_data_ptr<float>(), weight.size(1), 1};
      strided_ = plain ? rows_of_weight : rows_of_weight.t();
      in_place_ = kernels() && read_in_place(inner_, columns_, strided_);
      if (!in_place_ && kernels() && (rows >= kManyRows || weight.numel() <= kSmallWeight)) {
        packed_.emplace(*kernels(), inner_, columns_, strided_);
      }
    }
  }

  // x (rows, inner) and y (rows, columns) are contiguous; y is overwritten or accumulated.
  void operator()(int64_t rows, const T* x, T* y, bool add = false) const {
    if constexpr (std::is_same_v<T, float>) {
      if (packed_) {
        packed_->multiply(rows, {x, inner_, 1}, y, columns_, add);
        return;
      }
      if (in_place_) {
        multiply(*kernels(), rows, inner_, columns_, {x, inner_, 1}, strided_, y, columns_, add);
        return;
      }
    }
    const T* const weight = weight_.template const_data_ptr<T>();
    const std::array<int64_t, 2> strides{plain_ ? columns_ : 1, plain_ ? 1 : inner_};
    blas(matrix_at(y, {rows, columns_}, {columns_, 1}), matrix_at(x, {rows, inner_}, {inner_, 1}),
         matrix_at(weight, {inner_, columns_}, strides), add);
  }

 private:
  static constexpr int64_t kManyRows = 128, kSmallWeight = 1 << 17;

  Tensor weight_;
  bool plain_;
  int64_t inner_, columns_;
  Strided strided_{};
  bool in_place_ = false;
  std::optional<Packed> packed_;
};

// dw (rows, columns) = or += left^T right, for `count` rows of left, with a stride of `left_row`, and of contiguous right.
template <typename T>
void outer(int64_t count, int64_t rows, int64_t columns, const T* left, int64_t left_row, const T* right, T* dw, bool add) {
  if constexpr (std::is_same_v<T, float>) {
    if (kernels()) {
      multiply(*kernels(), rows, count, columns, {left, 1, left_row}, {right, columns, 1}, dw, columns, add);
      return;
    }
  }
  blas(matrix_at(dw, {rows, columns}, {columns, 1}), matrix_at(left, {rows, count}, {1, left_row}),
       matrix_at(right, {count, columns}, {columns, 1}), add);
}

}  // namespace copgen::cpu
