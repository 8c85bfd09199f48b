#include "rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../philox.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(COPGEN_SANITIZED)
#define COPGEN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define COPGEN_CLONES
#endif
#define COPGEN_INLINE inline __attribute__((always_inline))

#pragma GCC diagnostic ignored "-Wpsabi"  // concerns calls across the ABI; the functions here that take vectors are inlined

namespace copgen::cpu {
namespace {

constexpr int kLanes = 16;
constexpr double kDecrease = 0.99;  // and kLost: as DECREASE and LOST in anderson.py
constexpr double kLost = 64;
constexpr int64_t kRun = 8;  // numbers that a lane adds in T before adding them to a double

template <typename T>
COPGEN_INLINE void bias_relu_of(T* __restrict h, const T* __restrict bias, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, h += width) {
    for (int64_t j = 0; j < width; ++j) {
      const T x = h[j] + bias[j];
      h[j] = x < 0 ? 0 : x;  // NaN stays NaN
    }
  }
}

// One number per lane. The compiler keeps this in registers, split as the processor needs; an array it would store and
// load at every addition.
template <typename T, int kCount = kLanes>
using Lanes [[gnu::vector_size(kCount * sizeof(T))]] = T;

// One or several adjacent numbers at any address.
template <typename V, typename T>
COPGEN_INLINE V load(const T* from) {
  V x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

template <typename V, typename T>
COPGEN_INLINE void store(T* to, const V& x) {
  std::memcpy(to, &x, sizeof x);
}

// The first `kHalf` lanes plus the others.
template <int kHalf>
COPGEN_INLINE void fold(double* lanes) {
  using Half = Lanes<double, kHalf>;
  store(lanes, Half(load<Half>(lanes) + load<Half>(lanes + kHalf)));
}

// The sum over the lanes, by halving.
template <typename T>
COPGEN_INLINE double total(const Lanes<T>& lanes) {
  double sum[kLanes];
  store(sum, __builtin_convertvector(lanes, Lanes<double>));
  fold<8>(sum);
  fold<4>(sum);
  fold<2>(sum);
  return sum[0] + sum[1];
}

// Sums of f(j) and f(j)^2, in double except for short runs. f takes one or several numbers, and may write to the row.
template <typename T, typename F>
COPGEN_INLINE Row sums_over(int64_t dim, F f) {
  Row row{0, 0};
  for (int64_t begin = 0; begin < dim; begin += kLanes * kRun) {
    Lanes<T> move{}, squared{};
    const int64_t end = begin + kLanes * kRun < dim ? begin + kLanes * kRun : dim;
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes) {
      const auto m = f.template operator()<Lanes<T>>(j);
      move += m;
      squared += m * m;
    }
    T rest[kLanes] = {};
    for (int lane = 0; j < end; ++j, ++lane) {
      rest[lane] = f.template operator()<T>(j);
    }
    const auto m = load<Lanes<T>>(rest);
    move += m;
    squared += m * m;
    row.move += total<T>(move);
    row.move_squared += total<T>(squared);
  }
  return row;
}

template <typename T>
COPGEN_INLINE Row residual_of(T* z_pos, const T* z, const T* y, const T* bias, int64_t dim) {
  return sums_over<T>(dim, [=]<typename V>(int64_t j) {
    const V m = load<V>(y + j) + load<V>(bias + j);
    store(z_pos + j, V(load<V>(z + j) + m));
    return m;
  });
}

template <typename T>
COPGEN_INLINE Row difference_of(const T* z, const T* z_pos, int64_t dim) {
  return sums_over<T>(dim, [=]<typename V>(int64_t j) { return V(load<V>(z_pos + j) - load<V>(z + j)); });
}

template <typename T>
COPGEN_INLINE void distances_of(T* __restrict d, const Row* __restrict rows, int64_t count, int64_t dim) {
  for (int64_t k = 0; k < count; ++k) {
    d[k] = static_cast<T>(std::sqrt(rows[k].move_squared / static_cast<double>(dim)));
  }
}

template <typename T>
COPGEN_INLINE void relu_gradient_of(T* __restrict dh, const T* __restrict h, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    dh[j] = h[j] > 0 ? dh[j] : 0;
  }
}

// In groups of a few rows, so that addends are not much smaller than the sum.
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

template <typename T>
COPGEN_INLINE double dot(const T* a, const T* b, int64_t dim) {
  T sum[kLanes] = {};
  int64_t j = 0;
  for (; j + kLanes <= dim; j += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sum[lane] += a[j + lane] * b[j + lane];
    }
  }
  for (int lane = 0; j < dim; ++j, ++lane) {
    sum[lane] += a[j] * b[j];
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) {
      sum[lane] += sum[lane + half];
    }
  }
  return sum[0];
}

// a -= c b
template <typename T>
COPGEN_INLINE void take_off(T* __restrict a, const T* __restrict b, double factor, int64_t dim) {
  const T c = static_cast<T>(factor);
  for (int64_t j = 0; j < dim; ++j) {
    a[j] -= c * b[j];
  }
}

template <typename T>
COPGEN_INLINE bool anderson_of(T* next, const T* x, const T* proposal, T bound, const Memory<T>& memory) {
  const int64_t dim = memory.dim, window = memory.window;
  T *base = memory.vectors, *residual = base + dim, *directions = residual + dim;
  T *norm = memory.scalars, *weight = norm + 1;
  for (int64_t j = 0; j < dim; ++j) {
    next[j] = proposal[j] - x[j];
  }
  const bool moves = std::any_of(next, next + dim, [=](T step) { return std::abs(step) > bound; });
  const double now = std::sqrt(dot(next, next, dim)), before = *norm;
  if (!moves || std::isnan(now)) {
    std::copy_n(proposal, dim, base);
    return false;
  }
  const bool plain = std::all_of(weight, weight + window, [](T w) { return w == 0; });
  if (plain && now > before + std::sqrt(static_cast<double>(dim)) * bound) {
    std::fill_n(base, dim, std::numeric_limits<T>::quiet_NaN());
    return false;
  }
  if (!plain && now > kDecrease * before) {
    std::fill_n(weight, window, T{0});
    std::copy_n(base, dim, next);
    return true;
  }
  if (window > 0) {
    T *q = directions + 2 * memory.slot * dim, *s = q + dim;
    weight[memory.slot] = 0;
    for (int64_t j = 0; j < dim; ++j) {
      q[j] = next[j] - residual[j];
      s[j] = proposal[j] - base[j];
    }
    const double whole = dot(q, q, dim);
    for (int64_t k = 0; k < window; ++k) {
      if (weight[k] != 0) {
        const T* other = directions + 2 * k * dim;
        const double c = weight[k] * dot(other, q, dim);
        take_off(q, other, c, dim);
        take_off(s, other + dim, c, dim);
      }
    }
    const double left = dot(q, q, dim), lost = kLost * std::numeric_limits<T>::epsilon();
    if (std::isfinite(before) && left > lost * lost * whole + std::numeric_limits<T>::min()) {
      weight[memory.slot] = static_cast<T>(1 / left);
    }
  }
  std::copy_n(proposal, dim, base);
  std::copy_n(next, dim, residual);
  *norm = static_cast<T>(now);
  std::copy_n(proposal, dim, next);
  for (int64_t k = 0; k < window; ++k) {
    if (weight[k] != 0) {
      const T* q = directions + 2 * k * dim;
      take_off(next, q + dim, weight[k] * dot(q, residual, dim), dim);
    }
  }
  return true;
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

COPGEN_CLONES void distances(float* d, const Row* rows, int64_t count, int64_t dim) { distances_of(d, rows, count, dim); }

COPGEN_CLONES void distances(double* d, const Row* rows, int64_t count, int64_t dim) { distances_of(d, rows, count, dim); }

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

COPGEN_CLONES bool anderson(
    float* next, const float* x, const float* proposal, float bound, const Memory<float>& memory) {
  return anderson_of(next, x, proposal, bound, memory);
}

COPGEN_CLONES bool anderson(
    double* next, const double* x, const double* proposal, double bound, const Memory<double>& memory) {
  return anderson_of(next, x, proposal, bound, memory);
}

}  // namespace copgen::cpu
