// What the operators need from torch: its stable ABI (torch 2.11 and newer) and nothing else, so that one library runs
// with every version of torch and of Python.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Raises an error with a message of the given parts, which are evaluated only then.
#define COPGEN_CHECK(condition, ...)   \
  do {                                 \
    if (!(condition)) [[unlikely]] {   \
      ::copgen::refuse(__VA_ARGS__);   \
    }                                  \
  } while (false)

// In torch 2.11 it is called TORCH_ERROR_CODE_CHECK.
#ifndef STABLE_TORCH_ERROR_CODE_CHECK
#define STABLE_TORCH_ERROR_CODE_CHECK TORCH_ERROR_CODE_CHECK
#endif

namespace copgen {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using BFloat16 = torch::headeronly::BFloat16;
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;
using Tensors = std::vector<Tensor>;

constexpr ScalarType kBool = ScalarType::Bool, kByte = ScalarType::Byte, kLong = ScalarType::Long;
constexpr ScalarType kFloat = ScalarType::Float, kDouble = ScalarType::Double, kBFloat16 = ScalarType::BFloat16;

template <typename T>
constexpr ScalarType type_of = std::is_same_v<T, double> ? kDouble : kFloat;

// torch 2.11 cannot compare them itself.
inline bool same(Sizes a, Sizes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

inline void write(std::ostream& out, Sizes sizes) {
  const char* between = "[";
  for (const int64_t size : sizes) {
    out << between << size;
    between = ", ";
  }
  out << (sizes.empty() ? "[]" : "]");
}

template <typename Part>
void write(std::ostream& out, const Part& part) {
  out << part;
}

template <typename... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream message;
  (write(message, parts), ...);
  throw std::invalid_argument(message.str());
}

// An uninitialised, contiguous tensor, on the CPU or on the device of `beside`; without the cost of torch's dispatcher.
inline Tensor unfilled(Sizes sizes, ScalarType type, const Tensor* beside = nullptr) {
  constexpr size_t kMostDimensions = 4;
  COPGEN_CHECK(sizes.size() <= kMostDimensions, "more than ", kMostDimensions, " dimensions");
  std::array<int64_t, kMostDimensions> strides{};
  int64_t step = 1;
  for (size_t k = sizes.size(); k-- > 0;) {
    strides[k] = step;
    step *= std::max<int64_t>(1, sizes[k]);
  }
  int32_t device_type = aoti_torch_device_type_cpu(), index = 0;
  if (beside) {
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(beside->get(), &device_type));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(beside->get(), &index));
  }
  const auto dtype = torch::stable::detail::to<int32_t>(torch::stable::detail::from(type));
  AtenTensorHandle made = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(), dtype, device_type, index, &made));
  return Tensor(made);
}

// Contiguous and of this dtype; the tensor itself if it already is. Checked here, as calling torch's operators costs more
// even if they have nothing to do.
inline Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : torch::stable::contiguous(x); }

inline Tensor as(const Tensor& x, ScalarType type) {
  return x.scalar_type() == type ? x : torch::stable::to(x, type);
}

inline Tensor numbers(const Tensor& x, ScalarType type) { return dense(as(x, type)); }

inline Tensor narrow(Tensor x, int64_t begin, int64_t rows) { return torch::stable::narrow(x, 0, begin, rows); }

}  // namespace copgen
