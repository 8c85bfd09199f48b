// The constraint and random latents on CUDA; one kernel each.

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

using at::Tensor;

// Calls f with a value of z's dtype and one of the dtype of the computation.
template <typename F>
void with_types(const Tensor& z, F f) {
  switch (z.scalar_type()) {
    case at::kDouble:
      return f(double{}, double{});
    case at::kFloat:
      return f(float{}, float{});
    default:
      return f(at::BFloat16{}, float{});
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> constrain(
    const Tensor& z_, const Tensor& z_pos_, std::optional<double> delta, c10::string_view mode) {
  const PlainNumbers plain;
  check_move(z_, z_pos_);
  check_delta(delta);
  check_mode(mode, delta);
  const c10::cuda::CUDAGuard guard(z_.device());
  const Tensor z = z_.contiguous(), z_pos = z_pos_.contiguous();
  const int64_t rows = z.size(0);
  Tensor d = at::empty({rows}, z.options().dtype(accumulator(z)));
  Tensor violates = at::empty({rows}, z.options().dtype(at::kBool));
  Tensor stats = at::empty({kStatistics}, z.options().dtype(at::kDouble));
  const bool project = mode == "project", reject = mode == "reject";
  Tensor projected = project ? at::empty_like(z) : at::empty({0}, z.options());
  Tensor order = at::empty({reject ? rows : 0}, z.options().dtype(at::kLong));
  const auto stream = c10::cuda::getCurrentCUDAStream();
  PartialSums partial(z, blocks_for_rows(z));
  with_types(z, [&](auto outside, auto work) {
    using T = decltype(outside);
    using W = decltype(work);
    C10_CUDA_CHECK((launch_constrain<typename Native<T>::type, W>(
        read<T>(z), read<T>(z_pos), static_cast<W>(delta.value_or(INFINITY)), rows, z.size(1),
        d.mutable_data_ptr<W>(), violates.mutable_data_ptr<bool>(), project ? write<T>(projected) : nullptr,
        stats.mutable_data_ptr<double>(), partial.partial(), stream)));
  });
  if (reject) {
    C10_CUDA_CHECK(
        launch_kept_first(violates.const_data_ptr<bool>(), rows, order.mutable_data_ptr<int64_t>(), stream));
  }
  return {projected, d, violates, order, stats};
}

std::tuple<Tensor, Tensor> constrain_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z_, const Tensor& z_pos_,
    const Tensor& d, std::optional<double> delta) {
  const PlainNumbers plain;
  check_move(z_, z_pos_);
  check_backward(g, g_d, z_, d);
  const c10::cuda::CUDAGuard guard(z_.device());
  const Tensor z = z_.contiguous(), z_pos = z_pos_.contiguous(), distances = d.contiguous();
  const Tensor upstream = g ? g->to(z.scalar_type()).contiguous() : Tensor();
  const Tensor upstream_d = g_d ? g_d->to(d.scalar_type()).contiguous() : Tensor();
  Tensor dz = at::empty_like(z), dz_pos = at::empty_like(z);
  if (z.size(0) == 0) {
    return {dz, dz_pos};
  }
  with_types(z, [&](auto outside, auto work) {
    using T = decltype(outside);
    using W = decltype(work);
    C10_CUDA_CHECK((launch_constrain_gradient<typename Native<T>::type, W>(
        read<T>(upstream), read<W>(upstream_d), read<T>(z), read<T>(z_pos), read<W>(distances),
        static_cast<W>(delta.value_or(INFINITY)), z.size(0), z.size(1), write<T>(dz), write<T>(dz_pos),
        c10::cuda::getCurrentCUDAStream())));
  });
  return {dz, dz_pos};
}

Tensor draw_latents(
    const Tensor& rows, int64_t key, int64_t dim, double scale, std::optional<double> threshold, double tail) {
  check_draw(rows, dim);
  const c10::cuda::CUDAGuard guard(rows.device());
  const Tensor numbers = rows.contiguous();
  Tensor z = at::empty({rows.size(0), dim}, rows.options().dtype(at::kFloat));
  if (z.numel() > 0) {
    C10_CUDA_CHECK(launch_draw_latents(
        numbers.const_data_ptr<int64_t>(), rows.size(0), static_cast<uint64_t>(key), dim, scale,
        threshold.value_or(INFINITY), tail, z.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream()));
  }
  return z;
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CUDA, m) {
  m.impl("constrain", &constrain);
  m.impl("constrain_backward", &constrain_backward);
  m.impl("draw_latents", &draw_latents);
}

}  // namespace copgen::cuda
