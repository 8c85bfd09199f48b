// The inverse of y = x + g(x), where g is linear layers with silu between them: the fixed point of x <- y - g(x), of each
// item on its own, by Anderson acceleration (anderson.py in copgen/generators/residual_flow/). A thread iterates a few
// items side by side, which pass through the layers together; where one has ended the next begins. So what they need
// stays in a core's cache, and products never become small before the last items.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "../checks.h"
#include "../dispatch.h"
#include "products.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

constexpr int64_t kSideBySide = 48;

class Layers {
 public:
  Layers(const Kernels& with, const std::optional<Tensor>& entry, at::TensorList weights, at::TensorList biases)
      : with_(with), enters_(entry.has_value()), entry_(entry ? entry->item<float>() : 0) {
    for (size_t k = 0; k < weights.size(); ++k) {
      layers_.emplace_back(with, weights[k], biases[k]);
      widest_ = std::max({widest_, weights[k].size(0), weights[k].size(1)});
    }
  }

  int64_t widest() const { return widest_; }

  // out = g(x), both (rows, dim) without gaps, with two memories of rows x widest.
  void operator()(int64_t rows, int64_t dim, const float* x, float* out, float* here, float* there) const {
    Strided now{x, dim, 1};
    if (enters_) {
      with_.silu(rows * dim, x, entry_, here);
      now.data = here;
    }
    for (const Layer& layer : layers_) {
      const bool ends = &layer == &layers_.back();
      float* to = ends ? out : there;
      layer.packed.layer(rows, now, {layer.bias.const_data_ptr<float>(), !ends, to, layer.outputs});
      now = {to, layer.outputs, 1};
      std::swap(here, there);
    }
  }

 private:
  struct Layer {
    Layer(const Kernels& with, const Tensor& weight, const Tensor& bias_)
        : outputs(weight.size(0)),
          packed(with, weight.size(1), outputs,
                 Strided{weight.const_data_ptr<float>(), weight.stride(1), weight.stride(0)}),
          bias(bias_.contiguous()) {}

    int64_t outputs;
    Packed packed;
    Tensor bias;
  };

  const Kernels& with_;
  bool enters_;
  float entry_;
  std::deque<Layer> layers_;
  int64_t widest_ = 1;
};

// What all threads share.
struct Task {
  const Layers& g;
  int64_t dim, window, max_rounds;
  const float *y, *bound;
  float* x;  // the results
};

class SideBySide {
 public:
  explicit SideBySide(const Task& task)
      : task_(task), vectors_(kSideBySide * (2 + 2 * task.window) * task.dim), scalars_(kSideBySide * (1 + task.window)),
        x_(kSideBySide * task.dim), proposal_(x_.size()), here_(kSideBySide * task.g.widest()), there_(here_.size()) {
    for (int64_t k = 0; k < kSideBySide; ++k) {
      items_[k].memory = k;
    }
  }

  void run(int64_t begin, int64_t end) {
    for (int64_t count = 0, next = begin; count > 0 || next < end;) {
      for (; count < kSideBySide && next < end; ++count, ++next) {
        start(count, next);
      }
      task_.g(count, task_.dim, x_.data(), proposal_.data(), here_.data(), there_.data());
      int64_t kept = 0;
      for (int64_t k = 0; k < count; ++k) {
        if (step(k, kept)) {
          std::swap(items_[kept++], items_[k]);
        }
      }
      count = kept;
    }
  }

 private:
  struct Item {
    int64_t row, rounds, memory;
  };

  void start(int64_t k, int64_t row) {
    items_[k].row = row, items_[k].rounds = 0;
    float* scalars = scalars_.data() + items_[k].memory * (1 + task_.window);
    std::fill_n(scalars, 1 + task_.window, 0.0f);
    *scalars = std::numeric_limits<float>::infinity();
    std::copy_n(task_.y + row * task_.dim, task_.dim, x_.data() + k * task_.dim);
  }

  // Whether the item goes on; its x is then at `to`, which is no later than k.
  bool step(int64_t k, int64_t to) {
    const int64_t dim = task_.dim, window = task_.window;
    Item& item = items_[k];
    const float* y = task_.y + item.row * dim;
    float *proposal = proposal_.data() + k * dim, *vectors = vectors_.data() + item.memory * (2 + 2 * window) * dim;
    for (int64_t j = 0; j < dim; ++j) {
      proposal[j] = y[j] - proposal[j];
    }
    const Memory<float> memory{
        vectors, scalars_.data() + item.memory * (1 + window), dim, window, item.rounds++ % std::max<int64_t>(1, window)};
    const bool goes_on = anderson(x_.data() + to * dim, x_.data() + k * dim, proposal, task_.bound[item.row], memory);
    if (!goes_on) {
      std::copy_n(vectors, dim, task_.x + item.row * dim);  // the base
    } else if (item.rounds >= task_.max_rounds) {
      std::fill_n(task_.x + item.row * dim, dim, std::numeric_limits<float>::quiet_NaN());
      return false;
    }
    return goes_on;
  }

  const Task& task_;
  Item items_[kSideBySide];
  std::vector<float> vectors_, scalars_, x_, proposal_, here_, there_;
};

Tensor invert_silu_layers(
    const Tensor& y, const std::optional<Tensor>& entry, at::TensorList weights, at::TensorList biases,
    const Tensor& bound, int64_t window, int64_t max_rounds) {
  const PlainNumbers plain;
  check_layers(y, entry, weights, biases);
  TORCH_CHECK_VALUE(
      bound.dim() == 1 && bound.size(0) == y.size(0) && bound.scalar_type() == at::kFloat,
      "bound is no float32 number for each row of y.");
  TORCH_CHECK_VALUE(window >= 0 && max_rounds >= 1, "window is ", window, " and max_rounds ", max_rounds, ".");
  const Kernels* with = kernels();
  TORCH_CHECK(with, "This processor has neither AVX-512 nor AVX2.");
  const Layers g(*with, entry, weights, biases);
  const Tensor from = y.contiguous(), limit = bound.contiguous();
  Tensor x = at::empty_like(from);
  const Task task{g, y.size(1), window, max_rounds, from.const_data_ptr<float>(), limit.const_data_ptr<float>(),
                  x.mutable_data_ptr<float>()};
  at::parallel_for(0, y.size(0), kSideBySide, [&](int64_t first, int64_t last) { SideBySide(task).run(first, last); });
  return x;
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("invert_silu_layers", &invert_silu_layers); }

}  // namespace copgen::cpu
