// The navigator on CUDA: one fused kernel if both layers fit in shared memory, otherwise cuBLAS products, which follow
// torch's TF32 setting, and one kernel for everything after them.

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;

struct Arguments {
  Tensor z, w1, b1, w2, b2;
  std::optional<double> delta;

  double bound() const { return delta.value_or(INFINITY); }

  Arguments with_weights(ScalarType dtype) const {
    const auto wide = [&](const Tensor& x) { return numbers(x, dtype); };
    return {z, wide(w1), wide(b1), wide(w2), wide(b2), delta};
  }

  bool weights_are(ScalarType dtype) const {
    return w1.scalar_type() == dtype && b1.scalar_type() == dtype && w2.scalar_type() == dtype &&
        b2.scalar_type() == dtype;
  }
};

template <typename T, typename V>
void fused(const Arguments& a, int tile, Outputs& outputs) {
  auto& [z_pos, d, stats, hidden] = outputs;
  const int64_t rows = a.z.size(0), tiles = (rows + tile - 1) / tile;
  PartialSums partial(a.z, std::min<int64_t>(tiles, processors(a.z)));
  check((launch_navigate<typename Native<T>::type, typename Native<V>::type>(
      read<T>(a.z), read<V>(a.w1), read<V>(a.b1), read<V>(a.w2), read<V>(a.b2), static_cast<float>(a.bound()), rows,
      a.z.size(1), a.w1.size(0), tile, write<T>(z_pos), d.mutable_data_ptr<float>(), stats.mutable_data_ptr<double>(),
      hidden.mutable_data_ptr<float>(), hidden.size(0), partial.partial(), stream_of(a.z))));
}

template <typename T, typename W>
void residual(const Arguments& a, const Tensor& y, Outputs& outputs) {
  auto& [z_pos, d, stats, hidden] = outputs;
  PartialSums partial(a.z, blocks_for_rows(a.z));
  const Tensor bias = as(a.b2, y.scalar_type()), lost = torch::stable::new_zeros(y, {1});
  // cuBLASLt's ReLU may make 0 of a NaN, as the larger of the two.
  check((launch_find_nan<typename Native<T>::type, W>(
      read<T>(a.w1), a.w1.numel(), read<T>(a.b1), a.b1.numel(), write<W>(lost), stream_of(a.z))));
  check((launch_residual<typename Native<T>::type, W>(
      read<T>(a.z), read<W>(y), read<W>(bias), read<W>(lost), static_cast<W>(a.bound()), a.z.size(0), a.z.size(1),
      write<T>(z_pos),
      d.mutable_data_ptr<W>(), stats.mutable_data_ptr<double>(), partial.partial(),
      stream_of(a.z))));
}

void wide(const Arguments& given, Outputs& outputs) {
  const auto dtype = given.z.scalar_type();
  const Arguments a = given.with_weights(dtype);
  Tensor& hidden = std::get<3>(outputs);
  const Tensor h = hidden_units(a.z, a.w1, a.b1);
  if (hidden.size(0) > 0) {
    torch::stable::copy_(hidden, narrow(h, 0, hidden.size(0)));
  }
  const Tensor w2_t = transposed(a.w2);
  if (dtype == kDouble) {
    residual<double, double>(a, product(h, w2_t), outputs);
  } else if (dtype == kFloat) {
    residual<float, float>(a, product(h, w2_t), outputs);
  } else {
    residual<BFloat16, float>(a, wide_product(h, w2_t), outputs);
  }
}

Outputs navigate(
    const Tensor& z, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2,
    std::optional<double> delta, int64_t kept) {
  check_navigator(z, w1, b1, w2, b2);
  check_delta(delta);
  check_kept(kept, z);
  const OnDeviceOf here(z);
  const ScalarType dtype = z.scalar_type(), wider = accumulator(z);
  Outputs outputs{
      unfilled(z.sizes(), dtype, &z), unfilled({z.size(0)}, wider, &z), unfilled({kStatistics}, kDouble, &z),
      unfilled({kept, w1.size(0)}, wider, &z)};
  Arguments a{dense(z), dense(w1), dense(b1), dense(w2), dense(b2), delta};
  const int tile = dtype == kDouble ? 0 : fused_tile(z.size(0), z.size(1), w1.size(0), z.get_device_index());
  if (tile == 0) {
    wide(a, outputs);
    return outputs;
  }
  const bool narrow = a.weights_are(kBFloat16);
  if (dtype == kFloat && narrow) {
    fused<float, BFloat16>(a, tile, outputs);
  } else if (dtype == kFloat) {
    fused<float, float>(a.with_weights(kFloat), tile, outputs);
  } else {
    fused<BFloat16, BFloat16>(a, tile, outputs);
  }
  return outputs;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CUDA, m) { m.impl("navigate", TORCH_BOX(&navigate)); }

}  // namespace copgen::cuda
