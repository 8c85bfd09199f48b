// Linear layers with silu between them, a few rows at a time: what is between two layers never leaves a core's cache.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "../dispatch.h"
#include "products.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

constexpr int64_t kRows = 48;  // of a block
constexpr int64_t kWorthAThread = 1 << 20;  // multiplications

struct OneLayer {
  OneLayer(const Kernels& with, const Tensor& weight, const Tensor& bias_)
      : outputs(weight.size(0)),
        packed(with, weight.size(1), outputs, Strided{weight.const_data_ptr<float>(), weight.stride(1), weight.stride(0)}),
        bias(bias_.contiguous()) {}

  int64_t outputs;
  Packed packed;
  Tensor bias;
};

void check_layers(const Tensor& x, const std::optional<Tensor>& entry, at::TensorList weights, at::TensorList biases) {
  const auto is_float = [](const Tensor& one) { return one.scalar_type() == at::kFloat; };
  TORCH_CHECK_VALUE(x.dim() == 2 && is_float(x), "x is no float32 matrix.");
  TORCH_CHECK_VALUE(!entry || (entry->numel() == 1 && is_float(*entry)), "entry is no float32 number.");
  TORCH_CHECK_VALUE(!weights.empty() && weights.size() == biases.size(), "There are ", weights.size(), " weights and ",
                    biases.size(), " biases.");
  int64_t inputs = x.size(1);
  for (size_t k = 0; k < weights.size(); ++k) {
    const Tensor &weight = weights[k], &bias = biases[k];
    TORCH_CHECK_VALUE(weight.dim() == 2 && is_float(weight), "weight ", k, " is no float32 matrix.");
    TORCH_CHECK_VALUE(weight.size(1) == inputs, "weight ", k, " is for ", weight.size(1), " numbers, and there are ", inputs,
                      ".");
    inputs = weight.size(0);
    TORCH_CHECK_VALUE(bias.dim() == 1 && bias.size(0) == inputs && is_float(bias), "bias ", k, " is no float32 vector of ",
                      inputs, " numbers.");
  }
}

Tensor silu_layers(const Tensor& x, const std::optional<Tensor>& entry, at::TensorList weights, at::TensorList biases) {
  const PlainNumbers plain;
  check_layers(x, entry, weights, biases);
  const Kernels* with = kernels();
  TORCH_CHECK(with, "This processor has neither AVX-512 nor AVX2.");
  std::deque<OneLayer> layers;
  int64_t widest = x.size(1), multiplications = 0;
  for (size_t k = 0; k < weights.size(); ++k) {
    layers.emplace_back(*with, weights[k], biases[k]);
    widest = std::max(widest, layers.back().outputs);
    multiplications += weights[k].numel();
  }
  const Tensor from = x.contiguous();
  const int64_t rows = x.size(0), inputs = x.size(1), outputs = layers.back().outputs;
  Tensor result = at::empty({rows, outputs}, x.options());
  const float *begin = from.const_data_ptr<float>(), factor = entry ? entry->item<float>() : 0;
  float* out = result.mutable_data_ptr<float>();
  const int64_t grain = std::max(kRows, kWorthAThread / std::max<int64_t>(1, multiplications));
  at::parallel_for(0, rows, grain, [&](int64_t first, int64_t last) {
    const std::unique_ptr<float[]> memory(new float[2 * kRows * widest]);
    float *here = memory.get(), *there = here + kRows * widest;
    for (int64_t row = first; row < last; row += kRows) {
      const int64_t count = std::min(kRows, last - row);
      Strided now{begin + row * inputs, inputs, 1};
      if (entry) {
        with->silu(count * inputs, now.data, factor, here);
        now.data = here;
      }
      for (const OneLayer& layer : layers) {
        const bool ends = &layer == &layers.back();
        float* to = ends ? out + row * outputs : there;
        layer.packed.layer(count, now, {layer.bias.const_data_ptr<float>(), !ends, to, layer.outputs});
        now = {to, layer.outputs, 1};
        std::swap(here, there);
      }
    }
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("silu_layers", &silu_layers); }

}  // namespace copgen::cpu
