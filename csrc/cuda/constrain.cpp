// The constraint and random latents on CUDA; one kernel each.

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

// Calls f with a value of z's dtype and one of the dtype of the computation.
template <typename F>
void with_types(const Tensor& z, F f) {
  switch (z.scalar_type()) {
    case kDouble:
      return f(double{}, double{});
    case kFloat:
      return f(float{}, float{});
    default:
      return f(BFloat16{}, float{});
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> constrain(
    const Tensor& z_, const Tensor& z_pos_, std::optional<double> delta, std::string_view mode) {
  check_move(z_, z_pos_);
  check_delta(delta);
  check_mode(mode, delta);
  const OnDeviceOf here(z_);
  const Tensor z = dense(z_), z_pos = dense(z_pos_);
  const int64_t rows = z.size(0);
  const bool project = mode == "project", reject = mode == "reject";
  const Tensor d = unfilled({rows}, accumulator(z), &z), violates = unfilled({rows}, kBool, &z);
  const Tensor stats = unfilled({kStatistics}, kDouble, &z), order = unfilled({reject ? rows : 0}, kLong, &z);
  const Tensor projected = project ? unfilled(z.sizes(), z.scalar_type(), &z) : unfilled({0}, z.scalar_type(), &z);
  const cudaStream_t stream = stream_of(z);
  PartialSums partial(z, blocks_for_rows(z));
  with_types(z, [&](auto outside, auto work) {
    using T = decltype(outside);
    using W = decltype(work);
    check((launch_constrain<typename Native<T>::type, W>(
        read<T>(z), read<T>(z_pos), static_cast<W>(delta.value_or(INFINITY)), rows, z.size(1),
        d.mutable_data_ptr<W>(), violates.mutable_data_ptr<bool>(), project ? write<T>(projected) : nullptr,
        stats.mutable_data_ptr<double>(), partial.partial(), stream)));
  });
  if (reject) {
    check(
        launch_kept_first(violates.const_data_ptr<bool>(), rows, order.mutable_data_ptr<int64_t>(), stream));
  }
  return {projected, d, violates, order, stats};
}

std::tuple<Tensor, Tensor> constrain_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z_, const Tensor& z_pos_,
    const Tensor& d, std::optional<double> delta) {
  check_move(z_, z_pos_);
  check_backward(g, g_d, z_, d);
  const OnDeviceOf here(z_);
  const Tensor z = dense(z_), z_pos = dense(z_pos_), distances = dense(d);
  const Tensor upstream = g ? numbers(*g, z.scalar_type()) : Tensor();
  const Tensor upstream_d = g_d ? numbers(*g_d, d.scalar_type()) : Tensor();
  const Tensor dz = unfilled(z.sizes(), z.scalar_type(), &z), dz_pos = unfilled(z.sizes(), z.scalar_type(), &z);
  if (z.size(0) == 0) {
    return {dz, dz_pos};
  }
  with_types(z, [&](auto outside, auto work) {
    using T = decltype(outside);
    using W = decltype(work);
    check((launch_constrain_gradient<typename Native<T>::type, W>(
        read<T>(upstream), read<W>(upstream_d), read<T>(z), read<T>(z_pos), read<W>(distances),
        static_cast<W>(delta.value_or(INFINITY)), z.size(0), z.size(1), write<T>(dz), write<T>(dz_pos),
        stream_of(z))));
  });
  return {dz, dz_pos};
}

Tensor draw_latents(
    const Tensor& rows, int64_t key, int64_t dim, double scale, std::optional<double> threshold, double tail) {
  check_draw(rows, dim);
  const OnDeviceOf here(rows);
  const Tensor numbers = dense(rows);
  const Tensor z = unfilled({rows.size(0), dim}, kFloat, &rows);
  if (z.numel() > 0) {
    check(launch_draw_latents(
        numbers.const_data_ptr<int64_t>(), rows.size(0), static_cast<uint64_t>(key), dim, scale,
        threshold.value_or(INFINITY), tail, z.mutable_data_ptr<float>(), stream_of(rows)));
  }
  return z;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CUDA, m) {
  m.impl("constrain", TORCH_BOX(&constrain));
  m.impl("constrain_backward", TORCH_BOX(&constrain_backward));
  m.impl("draw_latents", TORCH_BOX(&draw_latents));
}

}  // namespace copgen::cuda
