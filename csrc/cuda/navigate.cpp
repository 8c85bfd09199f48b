// The navigator on CUDA: one fused kernel if both layers fit in shared memory, otherwise cuBLAS products, which follow
// torch's TF32 setting, and one kernel for everything after them.

#include <ATen/ops/_addmm_activation.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

using at::Tensor;
using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;

struct Arguments {
  Tensor z, w1, b1, w2, b2;
  std::optional<double> delta;

  double bound() const { return delta.value_or(INFINITY); }

  Arguments with_weights(at::ScalarType dtype) const {
    const auto as = [&](const Tensor& x) { return x.to(dtype).contiguous(); };
    return {z, as(w1), as(b1), as(w2), as(b2), delta};
  }

  bool weights_are(at::ScalarType dtype) const {
    return w1.scalar_type() == dtype && b1.scalar_type() == dtype && w2.scalar_type() == dtype &&
        b2.scalar_type() == dtype;
  }
};

template <typename T, typename V>
void fused(const Arguments& a, int tile, Outputs& outputs) {
  auto& [z_pos, d, stats, hidden] = outputs;
  const int64_t rows = a.z.size(0), tiles = (rows + tile - 1) / tile;
  PartialSums partial(a.z, std::min<int64_t>(tiles, processors(a.z)));
  C10_CUDA_CHECK((launch_navigate<typename Native<T>::type, typename Native<V>::type>(
      read<T>(a.z), read<V>(a.w1), read<V>(a.b1), read<V>(a.w2), read<V>(a.b2), static_cast<float>(a.bound()), rows,
      a.z.size(1), a.w1.size(0), tile, write<T>(z_pos), d.mutable_data_ptr<float>(), stats.mutable_data_ptr<double>(),
      hidden.mutable_data_ptr<float>(), hidden.size(0), partial.partial(), c10::cuda::getCurrentCUDAStream())));
}

template <typename T, typename W>
void residual(const Arguments& a, const Tensor& y, Outputs& outputs) {
  auto& [z_pos, d, stats, hidden] = outputs;
  PartialSums partial(a.z, blocks_for_rows(a.z));
  const Tensor bias = a.b2.to(y.scalar_type());
  C10_CUDA_CHECK((launch_residual<typename Native<T>::type, W>(
      read<T>(a.z), read<W>(y), read<W>(bias), static_cast<W>(a.bound()), a.z.size(0), a.z.size(1), write<T>(z_pos),
      d.mutable_data_ptr<W>(), stats.mutable_data_ptr<double>(), partial.partial(),
      c10::cuda::getCurrentCUDAStream())));
}

void wide(const Arguments& given, Outputs& outputs) {
  const auto dtype = given.z.scalar_type();
  const Arguments a = given.with_weights(dtype);
  Tensor& hidden = std::get<3>(outputs);
  const Tensor h = at::_addmm_activation(a.b1, a.z, a.w1.t());
  if (hidden.size(0) > 0) {
    hidden.copy_(h.narrow(0, 0, hidden.size(0)));
  }
  if (dtype == at::kDouble) {
    residual<double, double>(a, at::mm(h, a.w2.t()), outputs);
  } else if (dtype == at::kFloat) {
    residual<float, float>(a, at::mm(h, a.w2.t()), outputs);
  } else {
    residual<at::BFloat16, float>(a, at::mm(h, a.w2.t(), at::kFloat), outputs);
  }
}

Outputs navigate(
    const Tensor& z, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2,
    std::optional<double> delta, int64_t kept) {
  const PlainNumbers plain;
  check_navigator(z, w1, b1, w2, b2);
  check_delta(delta);
  TORCH_CHECK_VALUE(kept >= 0 && kept <= z.size(0), "kept is ", kept, "; expected 0 to ", z.size(0), " rows.");
  const c10::cuda::CUDAGuard guard(z.device());
  const auto options = z.options().dtype(accumulator(z));
  Outputs outputs{
      at::empty(z.sizes(), z.options()), at::empty({z.size(0)}, options),
      at::empty({kStatistics}, options.dtype(at::kDouble)), at::empty({kept, w1.size(0)}, options)};
  Arguments a{z.contiguous(), w1.contiguous(), b1.contiguous(), w2.contiguous(), b2.contiguous(), delta};
  const auto dtype = z.scalar_type();
  const int tile = dtype == at::kDouble ? 0 : fused_tile(z.size(0), z.size(1), w1.size(0), z.get_device());
  if (tile == 0) {
    wide(a, outputs);
    return outputs;
  }
  const bool narrow = a.weights_are(at::kBFloat16);
  if (dtype == at::kFloat && narrow) {
    fused<float, at::BFloat16>(a, tile, outputs);
  } else if (dtype == at::kFloat) {
    fused<float, float>(a.with_weights(at::kFloat), tile, outputs);
  } else {
    fused<at::BFloat16, at::BFloat16>(a, tile, outputs);
  }
  return outputs;
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CUDA, m) { m.impl("navigate", &navigate); }

}  // namespace copgen::cuda
