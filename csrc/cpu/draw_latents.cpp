// Random latents by (key, row): Philox words, then the same functions that copgen/runtime/philox.py calls, block by
// block, so that the bits equal the reference's for any batch, number of threads and processor.

#include <algorithm>

#include "../checks.h"
#include "../philox.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kBlock = 8192;  // numbers in a block: 64 KiB per buffer

// out = function(x), which may be the same tensor, by torch's operator of this name.
void apply(const char* function, const Tensor& x, const Tensor& out) {
  std::array<StableIValue, 2> stack{torch::stable::detail::from(x), torch::stable::detail::from(out)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(function, "out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // takes the reference that the operator returns
}

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
    uniform_ = unfilled({rows_ * 4 * blocks_}, kDouble);
    if (!draw.threshold) {
      for (Tensor* buffer : {&radius_, &angle_, &cosine_}) {
        *buffer = unfilled({rows_ * 2 * blocks_}, kDouble);
      }
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
    const Tensor radius = narrow(radius_, 0, pairs), angle = narrow(angle_, 0, pairs);
    const Tensor cosine = narrow(cosine_, 0, pairs);
    double *r = radius.mutable_data_ptr<double>(), *a = angle.mutable_data_ptr<double>();
    split(u, r, a, pairs);
    apply("aten::log", radius, radius);
    root(r, pairs);
    apply("aten::cos", angle, cosine);
    apply("aten::sin", angle, angle);
    const double* c = cosine.const_data_ptr<double>();
    for (int64_t k = 0; k < count; ++k) {
      const int64_t from = k * 2 * blocks_;
      box_muller(out + k * draw_.dim, r + from, c + from, a + from, draw_.scale, draw_.dim);
    }
  }

  void truncated(double* u, int64_t count, float* out) {
    const Tensor values = narrow(uniform_, 0, count * 4 * blocks_);
    to_probability(u, draw_.tail, values.numel());
    apply("aten::special_ndtri", values, values);
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
  const Tensor numbers = dense(rows);
  const int64_t n = numbers.size(0);
  const Draw draw{static_cast<uint64_t>(key), numbers.const_data_ptr<int64_t>(), dim, scale, threshold, tail};
  const Tensor z = unfilled({n, dim}, kFloat);
  if (z.numel() == 0) {
    return z;
  }
  float* out = z.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, n, std::max<int64_t>(1, 2048 / dim), [&](int64_t first, int64_t last) {
    Worker worker(draw);
    for (int64_t row = first; row < last; row += worker.rows()) {
      worker(row, std::min(worker.rows(), last - row), out + row * dim);
    }
  });
  return z;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("draw_latents", TORCH_BOX(&draw_latents)); }

}  // namespace copgen::cpu
