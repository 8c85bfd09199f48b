// Random latents by (key, row): Philox words, then the same functions that copgen/runtime/philox.py calls, block by
// block, so that the bits equal the reference's for any batch, number of threads and processor.

#include <ATen/core/Tensor.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/special_ndtri.h>
#include <torch/library.h>

#include <algorithm>

#include "../checks.h"
#include "../plain_numbers.h"
#include "../philox.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

constexpr int64_t kBlock = 8192;  // numbers in a block: 64 KiB per buffer

struct Draw {
  uint64_t key;
  const int64_t* rows;
  int64_t dim;
  double scale;
  std::optional<double> threshold;
  double tail;
};

// One thread's buffers, for the rows of one block.
class Worker {
 public:
  explicit Worker(const Draw& draw)
      : draw_(draw), blocks_((draw.dim + 3) / 4), rows_(std::max<int64_t>(1, kBlock / std::max<int64_t>(1, 4 * blocks_))) {
    const auto options = at::TensorOptions().dtype(at::kDouble);
    uniform_ = at::empty({rows_ * 4 * blocks_}, options);
    if (!draw.threshold) {
      radius_ = at::empty({rows_ * 2 * blocks_}, options);
      angle_ = at::empty({rows_ * 2 * blocks_}, options);
      cosine_ = at::empty({rows_ * 2 * blocks_}, options);
    }
  }

  int64_t rows() const { return rows_; }

  // Rows first to first + count.
  void operator()(int64_t first, int64_t count, float* out) {
    double* u = uniform_.mutable_data_ptr<double>();
    for (int64_t k = 0; k < count; ++k) {
      uniform_row(u + k * 4 * blocks_, static_cast<uint64_t>(draw_.rows[first + k]), draw_.key, blocks_);
    }
    if (draw_.threshold) {
      truncated(u, count, out);
    } else {
      normal(u, count, out);
    }
  }

 private:
  void normal(const double* u, int64_t count, float* out) {
    const int64_t pairs = count * 2 * blocks_;
    Tensor radius = radius_.narrow(0, 0, pairs), angle = angle_.narrow(0, 0, pairs);
    Tensor cosine = cosine_.narrow(0, 0, pairs);
    double *r = radius.mutable_data_ptr<double>(), *a = angle.mutable_data_ptr<double>();
    split(u, r, a, pairs);
    at::log_out(radius, radius);
    root(r, pairs);
    at::cos_out(cosine, angle);
    at::sin_out(angle, angle);
    const double* c = cosine.const_data_ptr<double>();
    for (int64_t k = 0; k < count; ++k) {
      const int64_t from = k * 2 * blocks_;
      box_muller(out + k * draw_.dim, r + from, c + from, a + from, draw_.scale, draw_.dim);
    }
  }

  void truncated(double* u, int64_t count, float* out) {
    Tensor values = uniform_.narrow(0, 0, count * 4 * blocks_);
    to_probability(u, draw_.tail, values.numel());
    at::special_ndtri_out(values, values);
    for (int64_t k = 0; k < count; ++k) {
      clamp_row(out + k * draw_.dim, u + k * 4 * blocks_, *draw_.threshold, draw_.scale, draw_.dim);
    }
  }

  const Draw& draw_;
  int64_t blocks_, rows_;
  Tensor uniform_, radius_, angle_, cosine_;
};

Tensor draw_latents(
    const Tensor& rows, int64_t key, int64_t dim, double scale, std::optional<double> threshold, double tail) {
  check_draw(rows, dim);
  const Tensor numbers = rows.contiguous();
  const int64_t n = numbers.size(0);
  const Draw draw{static_cast<uint64_t>(key), numbers.const_data_ptr<int64_t>(), dim, scale, threshold, tail};
  Tensor z = at::empty({n, dim}, rows.options().dtype(at::kFloat));
  if (z.numel() == 0) {
    return z;
  }
  float* out = z.mutable_data_ptr<float>();
  at::parallel_for(0, n, std::max<int64_t>(1, 2048 / dim), [&](int64_t first, int64_t last) {
    const PlainNumbers plain;
    Worker worker(draw);
    for (int64_t row = first; row < last; row += worker.rows()) {
      worker(row, std::min(worker.rows(), last - row), out + row * dim);
    }
  });
  return z;
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("draw_latents", &draw_latents); }

}  // namespace copgen::cpu
