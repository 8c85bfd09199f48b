#include "rows.h"

#include <cmath>

#include "../philox.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(COPGEN_SANITIZED)
#define COPGEN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define COPGEN_CLONES
#endif
#define COPGEN_INLINE inline __attribute__((always_inline))

namespace copgen::cpu {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kRun = 8;  // numbers that a lane adds up in T before they go into a double

template <typename T>
COPGEN_INLINE void bias_relu_of(T* __restrict h, const T* __restrict bias, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, h += width) {
    for (int64_t j = 0; j < width; ++j) {
      const T x = h[j] + bias[j];
      h[j] = x < 0 ? 0 : x;  // a NaN stays a NaN
    }
  }
}

// Sums of f(j) and f(j)^2, in double but for runs of a few numbers; f may write the row.
template <typename T, typename F>
COPGEN_INLINE Row sums_over(int64_t dim, F f) {
  Row row{0, 0};
  for (int64_t begin = 0; begin < dim; begin += kLanes * kRun) {
    T move[kLanes] = {}, squared[kLanes] = {};
    const int64_t end = begin + kLanes * kRun < dim ? begin + kLanes * kRun : dim;
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const T m = f(j + lane);
        move[lane] += m;
        squared[lane] += m * m;
      }
    }
    for (int lane = 0; j < end; ++j, ++lane) {
      const T m = f(j);
      move[lane] += m;
      squared[lane] += m * m;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      row.move += move[lane];
      row.move_squared += squared[lane];
    }
  }
  return row;
}

template <typename T>
COPGEN_INLINE Row residual_of(T* z_pos, const T* z, const T* y, const T* bias, int64_t dim) {
  return sums_over<T>(dim, [=](int64_t j) {
    const T m = y[j] + bias[j];
    z_pos[j] = z[j] + m;
    return m;
  });
}

template <typename T>
COPGEN_INLINE Row difference_of(const T* z, const T* z_pos, int64_t dim) {
  return sums_over<T>(dim, [=](int64_t j) { return z_pos[j] - z[j]; });
}

template <typename T>
COPGEN_INLINE void relu_gradient_of(T* __restrict dh, const T* __restrict h, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    dh[j] = h[j] > 0 ? dh[j] : 0;
  }
}

// Of a few rows at a time, so that what is added to a sum is not much smaller than it.
template <typename T>
COPGEN_INLINE void add_columns_of(T* __restrict sums, const T* __restrict x, int64_t row, int64_t rows, int64_t columns) {
  constexpr int64_t kRows = 32;
  for (int64_t left = 0; left < columns; left += kLanes) {
    const int64_t width = left + kLanes < columns ? kLanes : columns - left;
    for (int64_t top = 0; top < rows; top += kRows) {
      const int64_t bottom = top + kRows < rows ? top + kRows : rows;
      T part[kLanes] = {};
      if (width == kLanes) {
        for (int64_t i = top; i < bottom; ++i) {
          for (int lane = 0; lane < kLanes; ++lane) {
            part[lane] += x[i * row + left + lane];
          }
        }
      } else {
        for (int64_t i = top; i < bottom; ++i) {
          for (int64_t lane = 0; lane < width; ++lane) {
            part[lane] += x[i * row + left + lane];
          }
        }
      }
      for (int64_t lane = 0; lane < width; ++lane) {
        sums[left + lane] += part[lane];
      }
    }
  }
}

}  // namespace

COPGEN_CLONES void add_columns(float* sums, const float* x, int64_t row, int64_t rows, int64_t columns) {
  add_columns_of(sums, x, row, rows, columns);
}

COPGEN_CLONES void add_columns(double* sums, const double* x, int64_t row, int64_t rows, int64_t columns) {
  add_columns_of(sums, x, row, rows, columns);
}

COPGEN_CLONES void bias_relu(float* h, const float* bias, int64_t rows, int64_t width) {
  bias_relu_of(h, bias, rows, width);
}

COPGEN_CLONES void bias_relu(double* h, const double* bias, int64_t rows, int64_t width) {
  bias_relu_of(h, bias, rows, width);
}

COPGEN_CLONES Row residual(float* z_pos, const float* z, const float* y, const float* bias, int64_t dim) {
  return residual_of(z_pos, z, y, bias, dim);
}

COPGEN_CLONES Row residual(double* z_pos, const double* z, const double* y, const double* bias, int64_t dim) {
  return residual_of(z_pos, z, y, bias, dim);
}

COPGEN_CLONES Row difference(const float* z, const float* z_pos, int64_t dim) { return difference_of(z, z_pos, dim); }

COPGEN_CLONES Row difference(const double* z, const double* z_pos, int64_t dim) {
  return difference_of(z, z_pos, dim);
}

COPGEN_CLONES void relu_gradient(float* dh, const float* h, int64_t count) { relu_gradient_of(dh, h, count); }

COPGEN_CLONES void relu_gradient(double* dh, const double* h, int64_t count) { relu_gradient_of(dh, h, count); }

COPGEN_CLONES void uniform_row(double* u, uint64_t row, uint64_t key, int64_t blocks) {
  for (int64_t block = 0; block < blocks; ++block) {
    const Words words = philox(row, static_cast<uint32_t>(block), key);
    for (int i = 0; i < 4; ++i) {
      u[4 * block + i] = uniform(words.word[i]);
    }
  }
}

COPGEN_CLONES void words_row(int64_t* out, uint64_t row, uint64_t key, int64_t blocks) {
  for (int64_t block = 0; block < blocks; ++block) {
    const Words words = philox(row, static_cast<uint32_t>(block), key);
    for (int i = 0; i < 4; ++i) {
      out[4 * block + i] = words.word[i];
    }
  }
}

COPGEN_CLONES void split(const double* u, double* r, double* a, int64_t pairs) {
  constexpr double kTurn = 2.0 * 3.141592653589793;
  for (int64_t j = 0; j < pairs; ++j) {
    r[j] = u[2 * j];
    a[j] = kTurn * u[2 * j + 1];
  }
}

COPGEN_CLONES void root(double* r, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    r[j] = std::sqrt(-2.0 * r[j]);
  }
}

COPGEN_CLONES void to_probability(double* u, double tail, int64_t count) {
  const double inside = 1.0 - 2.0 * tail;
  for (int64_t j = 0; j < count; ++j) {
    u[j] = tail + u[j] * inside;
  }
}

COPGEN_CLONES void clamp_row(float* out, const double* value, double threshold, double scale, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    const double within = value[j] < -threshold ? -threshold : value[j] > threshold ? threshold : value[j];
    out[j] = static_cast<float>(within * scale);
  }
}

COPGEN_CLONES void box_muller(
    float* out, const double* radius, const double* cosine, const double* sine, double scale, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    const double value = radius[j / 2] * (j % 2 == 0 ? cosine[j / 2] : sine[j / 2]);
    out[j] = static_cast<float>(value * scale);
  }
}

}  // namespace copgen::cpu
