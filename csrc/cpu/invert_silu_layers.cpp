// The inverse of y = x + g(x), where g is linear layers with silu between them, and its gradient: fixed points, with the
// layers evaluated for several items together.

#include <deque>

#include "../checks.h"
#include "products.h"
#include "side_by_side.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kChunk = 8 * kSideBySide;  // items whose slopes a thread holds at a time

struct Layer {
  Layer(const Kernels& with, const Tensor& weight, const Tensor& bias_)
      : inputs(weight.size(1)), outputs(weight.size(0)), bias(dense(bias_)),
        forth(with, inputs, outputs, Strided{weight.const_data_ptr<float>(), weight.stride(1), weight.stride(0)}) {}

  int64_t inputs, outputs;
  Tensor bias;
  Packed forth;
};

class Layers {
 public:
  Layers(const Kernels& with, const std::optional<Tensor>& entry, const Tensors& weights, const Tensors& biases)
      : with(with), entry(entry ? std::optional<float>(*entry->const_data_ptr<float>()) : std::nullopt) {
    for (size_t k = 0; k < weights.size(); ++k) {
      each.emplace_back(with, weights[k], biases[k]);
      widest = std::max({widest, each.back().inputs, each.back().outputs});
    }
  }

  // out = g(x), both (rows, dim) contiguous, with two buffers of rows x widest.
  void operator()(int64_t rows, int64_t dim, const float* x, float* out, float* here, float* there) const {
    Strided now{x, dim, 1};
    if (entry) {
      with.silu(rows * dim, x, *entry, here);
      now.data = here;
    }
    for (const Layer& layer : each) {
      const bool ends = &layer == &each.back();
      float* to = ends ? out : there;
      layer.forth.layer(rows, now, {layer.bias.const_data_ptr<float>(), !ends, to, layer.outputs});
      now = {to, layer.outputs, 1};
      std::swap(here, there);
    }
  }

  const Kernels& with;
  const std::optional<float> entry;
  std::deque<Layer> each;
  int64_t widest = 1;
};

// The transposed Jacobian of g at the points of a chunk: J^T w = s_0 W_1^T (s_1 W_2^T (... W_n^T w)), where s_k is the
// slope of silu at its input after layer k.
class Slopes {
 public:
  Slopes(const Layers& g, const Tensors& weights) : g_(g), here_(kSideBySide * g.widest), there_(here_.size()) {
    for (size_t k = 0; k < weights.size(); ++k) {
      const Tensor& w = weights[k];
      back_.emplace_back(g.with, w.size(0), w.size(1), Strided{w.const_data_ptr<float>(), w.stride(0), w.stride(1)});
      slopes_.emplace_back(k == 0 && !g.entry ? 0 : kChunk * w.size(1));
    }
  }

  // x (rows, dim), at most kChunk rows; `first` is the index of the first one.
  void at(int64_t first, int64_t rows, const float* x) {
    first_ = first;
    const int64_t dim = g_.each.front().inputs;
    for (int64_t begin = 0; begin < rows; begin += kSideBySide) {
      const int64_t count = std::min(kSideBySide, rows - begin);
      const float* now = x + begin * dim;
      float *from = here_.data(), *to = there_.data();
      if (g_.entry) {
        for (int64_t j = 0; j < count * dim; ++j) {
          from[j] = *g_.entry * now[j];
        }
        bend(0, begin, count * dim, *g_.entry, from);
        now = from;
      }
      for (size_t k = 0; k + 1 < g_.each.size(); ++k) {
        const Layer& layer = g_.each[k];
        layer.forth.layer(count, {now, layer.inputs, 1}, {layer.bias.const_data_ptr<float>(), false, to, layer.outputs});
        bend(k + 1, begin, count * layer.outputs, 1.0f, to);
        now = to;
        std::swap(from, to);
      }
    }
  }

  void pull_back(int64_t count, const int64_t* rows, const float* w, float* out) {
    Strided now{w, g_.each.back().outputs, 1};
    float *here = here_.data(), *there = there_.data();
    for (size_t k = back_.size(); k-- > 0;) {
      const int64_t inputs = g_.each[k].inputs;
      float* to = k == 0 ? out : here;
      back_[k].multiply(count, now, to, inputs);
      if (!slopes_[k].empty()) {
        for (int64_t i = 0; i < count; ++i) {
          const float* slope = slopes_[k].data() + (rows[i] - first_) * inputs;
          for (int64_t j = 0; j < inputs; ++j) {
            to[i * inputs + j] *= slope[j];
          }
        }
      }
      now = {to, inputs, 1};
      std::swap(here, there);
    }
  }

 private:
  // Replaces x by silu(x), and stores the slope, sigma + silu (1 - sigma), times the factor for layer k.
  void bend(size_t k, int64_t begin, int64_t count, float factor, float* x) {
    float* slope = slopes_[k].data() + begin * g_.each[k].inputs;
    std::copy_n(x, count, slope);
    g_.with.silu(count, x, 1.0f, x);
    for (int64_t j = 0; j < count; ++j) {
      const float sigma = slope[j] == 0 ? 0.5f : x[j] / slope[j];
      slope[j] = factor * (sigma + x[j] * (1 - sigma));
    }
  }

  const Layers& g_;
  int64_t first_ = 0;
  std::deque<Packed> back_;
  std::vector<std::vector<float>> slopes_;
  std::vector<float> here_, there_;
};

const Kernels& checked(
    const Tensor& y, const std::optional<Tensor>& entry, const Tensors& weights, const Tensors& biases,
    const Tensor& bound, int64_t window, int64_t max_rounds) {
  check_layers(y, entry, weights, biases);
  COPGEN_CHECK(
      bound.dim() == 1 && bound.size(0) == y.size(0) && bound.scalar_type() == kFloat,
      "bound is not a float32 vector with one number for each row of y.");
  COPGEN_CHECK(window >= 0, "window is ", window, "; expected >= 0.");
  COPGEN_CHECK(max_rounds >= 1, "max_rounds is ", max_rounds, "; expected >= 1.");
  COPGEN_CHECK(kernels(), "This processor has neither AVX-512 nor AVX2.");
  return *kernels();
}

Tensor invert_silu_layers(
    const Tensor& y, const std::optional<Tensor>& entry, const Tensors& weights, const Tensors& biases,
    const Tensor& bound, int64_t window, int64_t max_rounds) {
  const Layers g(checked(y, entry, weights, biases, bound, window, max_rounds), entry, weights, biases);
  const Tensor from = dense(y), limit = dense(bound);
  Tensor x = unfilled(from.sizes(), kFloat);
  const int64_t dim = y.size(1);
  const FixedPoints task{dim, window, max_rounds, from.const_data_ptr<float>(), limit.const_data_ptr<float>(),
                         x.mutable_data_ptr<float>()};
  torch::stable::parallel_for(0, y.size(0), kSideBySide, [&](int64_t first, int64_t last) {
    std::vector<float> here(kSideBySide * g.widest), there(here.size());
    SideBySide(task).run(first, last, [&](int64_t count, const int64_t*, const float* x, float* out) {
      g(count, dim, x, out, here.data(), there.data());
    });
  });
  return x;
}

Tensor invert_silu_layers_backward(
    const Tensor& c, const Tensor& x, const std::optional<Tensor>& entry, const Tensors& weights, const Tensors& biases,
    const Tensor& bound, int64_t window, int64_t max_rounds) {
  const Layers g(checked(x, entry, weights, biases, bound, window, max_rounds), entry, weights, biases);
  COPGEN_CHECK(same(c.sizes(), x.sizes()) && c.scalar_type() == kFloat, "c is not a float32 matrix of the shape of x.");
  const Tensor from = dense(c), points = dense(x), limit = dense(bound);
  Tensor w = unfilled(from.sizes(), kFloat);
  const int64_t dim = x.size(1);
  const FixedPoints task{dim, window, max_rounds, from.const_data_ptr<float>(), limit.const_data_ptr<float>(),
                         w.mutable_data_ptr<float>()};
  torch::stable::parallel_for(0, x.size(0), kSideBySide, [&](int64_t first, int64_t last) {
    Slopes slopes(g, weights);
    SideBySide together(task);
    for (int64_t begin = first; begin < last; begin += kChunk) {
      const int64_t end = std::min(last, begin + kChunk);
      slopes.at(begin, end - begin, points.const_data_ptr<float>() + begin * dim);
      together.run(begin, end, [&](int64_t count, const int64_t* rows, const float* w, float* out) {
        slopes.pull_back(count, rows, w, out);
      });
    }
  });
  return w;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) {
  m.impl("invert_silu_layers", TORCH_BOX(&invert_silu_layers));
  m.impl("invert_silu_layers_backward", TORCH_BOX(&invert_silu_layers_backward));
}

}  // namespace copgen::cpu
