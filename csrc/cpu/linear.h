// Products of a block of rows with a weight that is the same for all blocks: by the kernels of products.h for float32,
// where the processor has some, and by BLAS otherwise.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <optional>
#include <type_traits>

#include "products.h"

namespace copgen::cpu {

// In the dtype that is computed with, without gaps; the very tensor where it is so already.
template <typename T>
at::Tensor numbers(const at::Tensor& x) {
  return x.to(c10::CppTypeToScalarType<T>::value).contiguous();
}

template <typename T>
at::Tensor matrix_at(const T* data, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<T*>(data), {rows, columns}, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
}

// y = x W^T, or x W where `plain`, for W without gaps and batches of `rows`. A large weight is packed for many rows alone:
// for few it would take as long as a tenth of the product.
template <typename T>
class Linear {
 public:
  Linear(int64_t rows, const at::Tensor& weight, bool plain = false)
      : weight_(plain ? weight : weight.t()), inner_(weight_.size(0)), columns_(weight_.size(1)) {
    if constexpr (std::is_same_v<T, float>) {
      if (kernels() && (rows >= kManyRows || weight.numel() <= kSmallWeight)) {
        const float* data = weight.const_data_ptr<float>();
        packed_.emplace(*kernels(), inner_, columns_, Strided{data, weight_.stride(0), weight_.stride(1)});
      }
    }
  }

  // x (rows, inner) and y (rows, columns) without gaps; y is overwritten, or added to.
  void operator()(int64_t rows, const T* x, T* y, bool add = false) const {
    if constexpr (std::is_same_v<T, float>) {
      if (packed_) {
        packed_->multiply(rows, {x, inner_, 1}, y, columns_, add);
        return;
      }
    }
    at::Tensor out = matrix_at(y, rows, columns_);
    if (add) {
      out.addmm_(matrix_at(x, rows, inner_), weight_);
    } else {
      at::mm_out(out, matrix_at(x, rows, inner_), weight_);
    }
  }

 private:
  static constexpr int64_t kManyRows = 128, kSmallWeight = 1 << 17;

  at::Tensor weight_;
  int64_t inner_, columns_;
  std::optional<Packed> packed_;
};

// dw (rows, columns) = left^T right, or += it, for `count` rows of left, `left_row` apart, and of right without gaps.
template <typename T>
void outer(int64_t count, int64_t rows, int64_t columns, const T* left, int64_t left_row, const T* right, T* dw, bool add) {
  if constexpr (std::is_same_v<T, float>) {
    if (kernels()) {
      multiply(*kernels(), rows, count, columns, {left, 1, left_row}, {right, columns, 1}, dw, columns, add);
      return;
    }
  }
  const at::Tensor turned = at::from_blob(
      const_cast<T*>(left), {rows, count}, {1, left_row}, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
  at::Tensor out = matrix_at(dw, rows, columns);
  if (add) {
    out.addmm_(turned, matrix_at(right, count, columns));
  } else {
    at::mm_out(out, turned, matrix_at(right, count, columns));
  }
}

}  // namespace copgen::cpu
