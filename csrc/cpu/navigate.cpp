// z' = z + W2 relu(W1 z + b1) + b2 in blocks of rows: two products with one pass over the block after each.

#include <array>
#include <cmath>
#include <optional>
#include <tuple>

#include "../checks.h"
#include "convert.h"
#include "linear.h"
#include "row_blocks.h"
#include "rows.h"
#include "scratch.h"

namespace copgen::cpu {
namespace {

// The products with both weights, prepared for `rows` rows.
template <typename work_t>
struct Layers {
  Linear<work_t> first, second;

  Layers(int64_t rows, const Tensor& w1, const Tensor& w2) : first(rows, w1), second(rows, w2) {}
};

// The weights in the dtype of the computation, contiguous.
template <typename work_t>
struct Navigator {
  using type = work_t;

  // Weights up to this size are packed by every thread: twice as fast as fetching what another thread has just written.
  static constexpr int64_t kOwn = 1 << 15;

  Tensor w1, b1, w2, b2;
  int64_t rows;
  std::optional<Layers<work_t>> shared;

  Navigator(int64_t rows_, const Tensor& w1_, const Tensor& b1_, const Tensor& w2_, const Tensor& b2_)
      : w1(numbers<work_t>(w1_)), b1(numbers<work_t>(b1_)), w2(numbers<work_t>(w2_)), b2(numbers<work_t>(b2_)), rows(rows_) {
    if (w1.numel() > kOwn) {
      shared.emplace(rows, w1, w2);
    }
  }
};

// One thread's buffers: a block of h, and of z and z' if those are 16-bit.
template <typename work_t>
class Worker {
 public:
  Worker(const Tensor& z, const Navigator<work_t>& navigator, const Blocks& blocks, std::optional<double> delta,
         const Tensor& z_pos, const Tensor& d, const Tensor& hidden)
      : z_(z), navigator_(navigator), blocks_(blocks), z_pos_(z_pos), d_(d.mutable_data_ptr<work_t>()),
        hidden_(hidden.mutable_data_ptr<work_t>()), kept_(hidden.size(0)), delta_(static_cast<work_t>(delta.value_or(INFINITY))),
        width_(navigator.b1.size(0)), dim_(z_pos.size(1)),
        direct_(z.is_contiguous() && z.scalar_type() == type_of<work_t>),
        own_(Scratch::of<work_t>(kept_ < z.size(0) ? blocks.size * width_ : 0)),
        wide_(Scratch::of<work_t>(direct_ ? 0 : 2 * blocks.size * dim_)) {
    if (!navigator.shared) {
      own_layers_.emplace(navigator.rows, navigator.w1, navigator.w2);
    }
  }

  void operator()(int64_t block, Sums& sums) {
    const int64_t begin = blocks_.begin(block), rows = blocks_.length(block);
    const int64_t kept = std::clamp<int64_t>(kept_ - begin, 0, rows);  // of the block's rows of h
    work_t* h = kept == rows ? hidden_ + begin * width_ : own_.template as<work_t>();
    if (direct_) {
      run(begin, rows, z_.const_data_ptr<work_t>() + begin * dim_, h, z_pos_.mutable_data_ptr<work_t>() + begin * dim_, sums);
    } else {
      work_t *z = wide_.template as<work_t>(), *z_pos = z + blocks_.size * dim_;
      read_rows(z_, begin, rows, z);
      run(begin, rows, z, h, z_pos, sums);
      write_rows(z_pos_, begin, rows, z_pos);
    }
    if (0 < kept && kept < rows) {
      std::copy_n(h, kept * width_, hidden_ + begin * width_);
    }
  }

 private:
  void run(int64_t begin, int64_t rows, const work_t* z, work_t* h, work_t* z_pos, Sums& sums) const {
    const work_t* b2 = navigator_.b2.template const_data_ptr<work_t>();
    const Layers<work_t>& layers = own_layers_ ? *own_layers_ : *navigator_.shared;
    layers.first(rows, z, h);
    bias_relu(h, navigator_.b1.template const_data_ptr<work_t>(), rows, width_);
    layers.second(rows, h, z_pos);
    std::array<Row, Blocks::kLargest> moved;
    for (int64_t row = 0; row < rows; ++row) {
      moved[row] = residual(z_pos + row * dim_, z + row * dim_, z_pos + row * dim_, b2, dim_);
    }
    work_t* d = d_ + begin;
    distances(d, moved.data(), rows, dim_);
    for (int64_t row = 0; row < rows; ++row) {
      sums.add_row(d[row], d[row] > delta_, moved[row].move, moved[row].move_squared);
    }
  }

  const Tensor& z_;
  const Navigator<work_t>& navigator_;
  const Blocks& blocks_;
  std::optional<Layers<work_t>> own_layers_;
  const Tensor& z_pos_;
  work_t *d_, *hidden_;
  int64_t kept_;
  work_t delta_;
  int64_t width_, dim_;
  bool direct_;
  Scratch own_, wide_;
};

std::tuple<Tensor, Tensor, Tensor, Tensor> navigate(
    const Tensor& z, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2,
    std::optional<double> delta, int64_t kept) {
  check_navigator(z, w1, b1, w2, b2);
  check_delta(delta);
  check_kept(kept, z);
  const ScalarType dtype = accumulator(z);
  const Tensor z_pos = unfilled(z.sizes(), z.scalar_type()), d = unfilled({z.size(0)}, dtype);
  const Tensor hidden = unfilled({kept, w1.size(0)}, dtype), stats = unfilled({kStatistics}, kDouble);
  const Blocks blocks(z.size(0));
  const auto run = [&](auto navigator) {
    using work_t = typename decltype(navigator)::type;
    return sums_over_blocks(blocks, [&] { return Worker<work_t>(z, navigator, blocks, delta, z_pos, d, hidden); });
  };
  const Sums sums = dtype == kDouble ? run(Navigator<double>(z.size(0), w1, b1, w2, b2))
                                      : run(Navigator<float>(z.size(0), w1, b1, w2, b2));
  sums.write(stats.mutable_data_ptr<double>(), z.size(0), z.size(1));
  return {z_pos, d, stats, hidden};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("navigate", TORCH_BOX(&navigate)); }

}  // namespace copgen::cpu
