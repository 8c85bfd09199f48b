// The views of 8-bit images: crop, flip, resize, colour jitter, grayscale, normalisation in one pass over each image.
//
// The reference is copgen/views/each.py, with the formulas of crop.py, colour_in_cache.py and units.py. An image is
// resampled along its rows and then its columns; a flip only mirrors the weights of the columns, and all later steps
// run on the view while it is in the cache. Images do not depend on each other, so a view has the same bits in any batch.
//
// Legend: C channels; H x W the view; P = H W pixels of it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../tensor.h"

// The loops over pixels are compiled for AVX2 as well, and the processor chooses. No result depends on it: products and
// sums are not contracted (build.py).
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(COPGEN_SANITIZED)
#define COPGEN_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define COPGEN_VECTORS
#endif

namespace copgen::cpu {
namespace {

enum Step : int64_t { kNone = -1, kBrightness, kContrast, kSaturation, kHue, kGrey };

constexpr float kRed = 0.2989F, kGreen = 0.587F, kBlue = 0.114F;
constexpr float kTiny = 0x1p-100F;

struct Box {
  int64_t top, left, height, width;
  bool flip;
};

// A matrix of int64 with any strides.
class Table {
 public:
  explicit Table(const Tensor& x) : data_(x.const_data_ptr<int64_t>()), row_(x.stride(0)), column_(x.stride(1)) {}

  int64_t operator()(int64_t i, int64_t j) const { return data_[i * row_ + j * column_]; }

 private:
  const int64_t* data_;
  int64_t row_, column_;
};

// The weights of a resize along one side: output o is the sum of weights[o * taps + t] * input[first[o] + t].
struct Resize {
  int64_t taps;
  std::vector<int64_t> first;
  std::vector<float> weights;
};

// As resize_matrix in crop.py.
Resize resize(int64_t inputs, int64_t outputs, bool antialias, double factor) {
  const double shrink = static_cast<double>(inputs) / static_cast<double>(outputs);
  const double half_width = antialias ? std::max(shrink, 1.0) : 1.0;
  Resize result;
  result.taps = std::min<int64_t>(inputs, static_cast<int64_t>(std::ceil(2 * half_width)));
  result.first.resize(outputs);
  result.weights.resize(outputs * result.taps);
  for (int64_t o = 0; o < outputs; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * shrink - 0.5;
    const auto lowest = static_cast<int64_t>(std::floor(centre - half_width)) + 1;
    const int64_t first = std::clamp<int64_t>(lowest, 0, inputs - result.taps);
    std::vector<double> weights(result.taps);
    double sum = 0;
    for (int64_t t = 0; t < result.taps; ++t) {
      weights[t] = std::max(0.0, 1.0 - std::abs(static_cast<double>(first + t) - centre) / half_width);
      sum += weights[t];
    }
    result.first[o] = first;
    for (int64_t t = 0; t < result.taps; ++t) {
      result.weights[o * result.taps + t] = static_cast<float>(weights[t] / sum * factor);
    }
  }
  return result;
}

void mirror(Resize& columns) {
  const auto outputs = static_cast<int64_t>(columns.first.size());
  for (int64_t o = 0; o < outputs / 2; ++o) {
    std::swap(columns.first[o], columns.first[outputs - 1 - o]);
    for (int64_t t = 0; t < columns.taps; ++t) {
      std::swap(columns.weights[o * columns.taps + t], columns.weights[(outputs - 1 - o) * columns.taps + t]);
    }
  }
}

COPGEN_VECTORS void resample_rows(const Resize& rows, const float* lines, int64_t width, float* out) {
  const auto height = static_cast<int64_t>(rows.first.size());
  for (int64_t o = 0; o < height; ++o) {
    float* line = out + o * width;
    std::fill(line, line + width, 0.0F);
    for (int64_t t = 0; t < rows.taps; ++t) {
      const float weight = rows.weights[o * rows.taps + t];
      if (weight == 0.0F) {
        continue;
      }
      const float* from = lines + (rows.first[o] + t) * width;
      for (int64_t x = 0; x < width; ++x) {
        line[x] += weight * from[x];
      }
    }
  }
}

void resample_columns(const Resize& columns, const uint8_t* pixels, float* line) {
  const auto width = static_cast<int64_t>(columns.first.size());
  for (int64_t o = 0; o < width; ++o) {
    const float* weights = columns.weights.data() + o * columns.taps;
    const uint8_t* from = pixels + columns.first[o];
    float sum = 0;
    for (int64_t t = 0; t < columns.taps; ++t) {
      sum += weights[t] * static_cast<float>(from[t]);
    }
    line[o] = sum;
  }
}

inline float clamped(float value) { return std::min(std::max(value, 0.0F), 1.0F); }

COPGEN_VECTORS void scale_and_clamp(float* x, int64_t count, float factor, float shift) {
  for (int64_t p = 0; p < count; ++p) {
    x[p] = clamped(factor * x[p] + shift);
  }
}

double mean_of(const float* x, int64_t count) {
  double sums[8] = {};
  int64_t p = 0;
  for (; p + 8 <= count; p += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      sums[lane] += x[p + lane];
    }
  }
  for (; p < count; ++p) {
    sums[0] += x[p];
  }
  double sum = 0;
  for (const double part : sums) {
    sum += part;
  }
  return sum / static_cast<double>(count);
}

void contrast(float* x, int64_t channels, int64_t pixels, float factor) {
  double mean = mean_of(x, pixels);
  if (channels == 3) {
    mean = kRed * mean + kGreen * mean_of(x + pixels, pixels) + kBlue * mean_of(x + 2 * pixels, pixels);
  }
  scale_and_clamp(x, channels * pixels, factor, static_cast<float>(mean * (1.0 - factor)));
}

// The share `kept` of the colour; the rest becomes grey.
COPGEN_VECTORS void grey_out(float* red, float* green, float* blue, int64_t pixels, float kept) {
  const float lost = 1.0F - kept;
  for (int64_t p = 0; p < pixels; ++p) {
    const float grey = lost * (kRed * red[p] + kGreen * green[p] + kBlue * blue[p]);
    red[p] = clamped(grey + kept * red[p]);
    green[p] = clamped(grey + kept * green[p]);
    blue[p] = clamped(grey + kept * blue[p]);
  }
}

// A ramp of the distance between a pixel's hue and that of a channel, in turns: 0 up to a sixth, 1 from a third on.
inline float drop(float distance) {
  const float nearest = std::abs(distance - std::floor(distance + 0.5F));
  return clamped(6.0F * nearest - 1.0F);
}

COPGEN_VECTORS void turn_hue(float* red, float* green, float* blue, int64_t pixels, float turns) {
  for (int64_t p = 0; p < pixels; ++p) {
    const float r = red[p], g = green[p], b = blue[p];
    const float top = std::max(std::max(r, g), b), low = std::min(std::min(r, g), b);
    const float chroma = top - low;
    const float sextants = std::copysign((g + b - r - low) / (chroma + kTiny) + 1.0F, g - b);
    const float hue = turns + sextants / 6.0F;
    red[p] = top - chroma * drop(hue);
    green[p] = top - chroma * drop(hue - 1.0F / 3.0F);
    blue[p] = top - chroma * drop(hue + 1.0F / 3.0F);
  }
}

COPGEN_VECTORS void normalise(float* x, int64_t count, float scale, float shift) {
  for (int64_t p = 0; p < count; ++p) {
    x[p] = scale * x[p] + shift;
  }
}

void recolour(float* x, int64_t channels, int64_t pixels, const int64_t* steps, int64_t count, const double* factors) {
  float *green = x + pixels, *blue = x + 2 * pixels;
  for (int64_t k = 0; k < count; ++k) {
    switch (steps[k]) {
      case kBrightness:
        scale_and_clamp(x, channels * pixels, static_cast<float>(factors[kBrightness]), 0.0F);
        break;
      case kContrast:
        contrast(x, channels, pixels, static_cast<float>(factors[kContrast]));
        break;
      case kSaturation:
        grey_out(x, green, blue, pixels, static_cast<float>(factors[kSaturation]));
        break;
      case kHue:
        turn_hue(x, green, blue, pixels, static_cast<float>(factors[kHue]));
        break;
      case kGrey:
        grey_out(x, green, blue, pixels, 0.0F);
        break;
      default:
        break;
    }
  }
}

void crop(const Tensor& image, const Box& box, int64_t height, int64_t width, bool antialias, float* view) {
  const Resize rows = resize(box.height, height, antialias, 1.0 / 255.0);
  Resize columns = resize(box.width, width, antialias, 1.0);
  if (box.flip) {
    mirror(columns);
  }
  std::vector<float> lines(box.height * width);
  const int64_t stride = image.size(2);
  for (int64_t c = 0; c < image.size(0); ++c) {
    const uint8_t* plane = image.const_data_ptr<uint8_t>() + c * image.size(1) * stride;
    for (int64_t y = 0; y < box.height; ++y) {
      resample_columns(columns, plane + (box.top + y) * stride + box.left, lines.data() + y * width);
    }
    resample_rows(rows, lines.data(), width, view + c * height * width);
  }
}

void check(const Tensors& images, const Tensor& boxes, const Tensor& steps, const Tensor& factors) {
  const auto count = static_cast<int64_t>(images.size());
  COPGEN_CHECK(count > 0, "no images");
  COPGEN_CHECK(boxes.scalar_type() == kLong && boxes.dim() == 2 && boxes.size(0) == count && boxes.size(1) == 5,
              "boxes: expected int64 (N, 5)");
  COPGEN_CHECK(steps.scalar_type() == kLong && steps.dim() == 2 && steps.size(0) == count,
              "steps: expected int64 (N, steps)");
  COPGEN_CHECK(factors.scalar_type() == kDouble && factors.dim() == 2 && factors.size(0) == count &&
                  factors.size(1) == 4,
              "factors: expected float64 (N, 4)");
  const int64_t channels = images[0].dim() == 3 ? images[0].size(0) : 0;
  COPGEN_CHECK(channels == 1 || channels == 3, "images: expected (C, H, W) with 1 or 3 channels");
  const Table box(boxes), step(steps);
  for (int64_t n = 0; n < count; ++n) {
    const Tensor& image = images[n];
    COPGEN_CHECK(image.is_cpu() && image.scalar_type() == kByte && image.dim() == 3 &&
                    image.size(0) == channels,
                "images: expected uint8 (C, H, W) with ", channels, " channels each");
    COPGEN_CHECK(box(n, 0) >= 0 && box(n, 1) >= 0 && box(n, 2) >= 1 && box(n, 3) >= 1 &&
                    box(n, 2) <= image.size(1) - box(n, 0) && box(n, 3) <= image.size(2) - box(n, 1),
                "a box reaches out of its image");
    for (int64_t k = 0; k < steps.size(1); ++k) {
      COPGEN_CHECK(step(n, k) >= kNone && step(n, k) <= (channels == 3 ? kGrey : kContrast), "unknown step");
    }
  }
}

Tensor augment_images(const Tensors& images, const Tensor& boxes, const Tensor& steps, const Tensor& factors,
                      int64_t height, int64_t width, bool antialias, const std::vector<double>& scale,
                      const std::vector<double>& shift) {
  check(images, boxes, steps, factors);
  COPGEN_CHECK(height > 0 && width > 0, "empty views");
  const auto count = static_cast<int64_t>(images.size());
  const int64_t channels = images[0].size(0), pixels = height * width;
  COPGEN_CHECK(scale.size() == shift.size() && (scale.empty() || static_cast<int64_t>(scale.size()) == channels),
              "scale and shift: expected one number for each channel, or none");
  const Tensor views = unfilled({count, channels, height, width}, kFloat);
  const Tensor order = dense(steps), strength = dense(factors);
  const Table box(boxes);
  float* out = views.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      float* view = out + n * channels * pixels;
      const Box here{box(n, 0), box(n, 1), box(n, 2), box(n, 3), box(n, 4) != 0};
      crop(dense(images[n]), here, height, width, antialias, view);
      const int64_t* own = order.const_data_ptr<int64_t>() + n * order.size(1);
      recolour(view, channels, pixels, own, order.size(1), strength.const_data_ptr<double>() + n * 4);
      for (int64_t c = 0; c < static_cast<int64_t>(scale.size()); ++c) {
        normalise(view + c * pixels, pixels, static_cast<float>(scale[c]), static_cast<float>(shift[c]));
      }
    }
  });
  return views;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("augment_images", TORCH_BOX(&augment_images)); }

}  // namespace copgen::cpu
