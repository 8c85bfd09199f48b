// The kernels of kernels.h for a Vector, a type that wraps one instruction set. Each instruction set has one source that
// is compiled for it and includes this; so nothing here may come from a header whose functions other sources share.

namespace copgen::cpu {
namespace {

#define COPGEN_INLINE inline __attribute__((always_inline))

constexpr float kLog2E = 1.44269504089f;

// 2^(scale x) to float32 accuracy. The exponent is clamped to at least -126, as denormal numbers are slow, and must be
// below 127. NaN stays NaN, and infinity becomes NaN.
//
// The nearest integer goes into the exponent of the result. The remainder is at most 1/2, for which a polynomial (weighted
// least squares on Chebyshev nodes) is within 2e-9 of the power. Adding 1.5 * 2^23 rounds to an integer, which is then in
// the low bits of the sum.
template <typename V>
COPGEN_INLINE typename V::type power_of_2(typename V::type x, float scale) {
  constexpr float c[] = {1.0f, 0.693147205737f, 0.240226468906f, 0.0555032877697f, 0.00961848895863f, 0.00133999312161f,
                         0.000153458115942f};
  constexpr float kRounds = 12582912.0f;
  x = V::max(V::all(-126.0f / scale), x);
  const typename V::type rounded = V::multiply_add(x, V::all(scale), V::all(kRounds));
  const typename V::type rest = V::multiply_subtract(x, V::all(scale), V::subtract(rounded, V::all(kRounds)));
  typename V::type p = V::all(c[6]);
  for (int k = 5; k >= 0; --k) {
    p = V::multiply_add(p, rest, V::all(c[k]));
  }
  return V::multiply(p, V::exponent(rounded));
}

// x / (1 + e^-x). x is clamped to at least -87, where the result is -1e-36. NaN stays NaN.
template <typename V>
COPGEN_INLINE typename V::type silu(typename V::type x) {
  x = V::max(V::all(-87.0f), x);
  const typename V::type power = power_of_2<V>(V::subtract(V::zero(), x), kLog2E);
  return V::divide(x, V::add(V::all(1.0f), power));
}

// to = or += x for the first `left` numbers.
template <typename V>
COPGEN_INLINE void add_first(float* to, int64_t left, typename V::type x, bool add) {
  V::store_first(to, left, add ? V::add(x, V::load_first(to, left)) : x);
}

// A block of sums in registers; with `kHalf`, its last vector is half of one.
template <typename V, int kRows, int kVectors, bool kHalf>
struct Block {
  using type = typename V::type;
  using Half = typename V::Half;
  static constexpr int kWhole = kVectors - kHalf;
  type sum[kRows][kVectors];
  typename Half::type half[kRows];

  COPGEN_INLINE void multiply(int64_t inner, Strided a, Panel b) {
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kWhole; ++v) {
        sum[i][v] = V::zero();
      }
      half[i] = Half::zero();
    }
    for (int64_t k = 0; k < inner; ++k, b.data += b.row) {
      type column[kVectors];
      for (int v = 0; v < kWhole; ++v) {
        column[v] = V::load(b.data + v * V::kLanes);
      }
      for (int i = 0; i < kRows; ++i) {
        const float x = a.data[i * a.row + k * a.column];
        for (int v = 0; v < kWhole; ++v) {
          sum[i][v] = V::multiply_add(V::all(x), column[v], sum[i][v]);
        }
        if constexpr (kHalf) {
          half[i] = Half::multiply_add(Half::all(x), Half::load(b.data + kWhole * V::kLanes), half[i]);
        }
      }
    }
  }

  COPGEN_INLINE void store(float* c, int64_t c_row, int64_t columns, bool add) const {
    for (int i = 0; i < kRows; ++i, c += c_row) {
      for (int v = 0; v < kWhole; ++v) {
        add_first<V>(c + v * V::kLanes, columns - v * V::kLanes, sum[i][v], add);
      }
      if constexpr (kHalf) {
        add_first<Half>(c + kWhole * V::kLanes, columns - kWhole * V::kLanes, half[i], add);
      }
    }
  }

  COPGEN_INLINE void finish(const Layer& as, int64_t first, int64_t columns) const {
    float* to = as.out + first * as.out_row;
    for (int i = 0; i < kRows; ++i, to += as.out_row) {
      for (int v = 0; v < kVectors; ++v) {
        const int64_t left = columns - v * V::kLanes;
        const type y = V::add(sum[i][v], V::load_first(as.bias + v * V::kLanes, left));
        V::store_first(to + v * V::kLanes, left, as.silu ? silu<V>(y) : y);
      }
    }
  }

  COPGEN_INLINE void finish(const Reaching& as, int64_t first, int64_t) const {
    type known[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      known[v] = V::load(as.known + v * V::kLanes);
    }
    Place* to = as.places + *as.count;
    for (int i = 0; i < kRows; ++i) {
      uint64_t reach = 0;
      for (int v = 0; v < kVectors; ++v) {
        reach |= static_cast<uint64_t>(V::at_least(sum[i][v], known[v])) << (v * V::kLanes);
      }
      for (; reach; reach &= reach - 1) {
        *to++ = {static_cast<int32_t>(first + i), __builtin_ctzll(reach)};
      }
    }
    *as.count = to - as.places;
  }

  // `first` is the index of the block's first row, `columns` the panel's columns without padding.
  COPGEN_INLINE void finish(const Exponentials& as, int64_t first, int64_t columns) {
    type of_columns[kVectors], weights[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      of_columns[v] = V::zero();
      weights[v] = as.column_weights ? V::load_first(as.column_weights + v * V::kLanes, columns - v * V::kLanes) : V::zero();
    }
    const bool weighted = as.row_weights || as.column_weights;
    for (int i = 0; i < kRows; ++i) {
      const int64_t row = first + i, special = row + as.diagonal;
      type of_row = V::zero();
      for (int v = 0; v < kVectors; ++v) {
        const int64_t left = columns - v * V::kLanes;
        type e = power_of_2<V>(sum[i][v], as.scale);
        if (weighted) {
          const type own = as.row_weights ? V::all(as.row_weights[row]) : V::zero();
          e = V::multiply(e, as.column_weights ? V::add(own, weights[v]) : own);
        }
        const int64_t lane = special - v * V::kLanes;
        if (lane >= 0 && lane < V::kLanes) {
          e = V::without(e, lane);
        }
        if (left < V::kLanes) {
          e = V::first(e, left);
        }
        if (as.out) {
          V::store_first(as.out + row * as.out_row + v * V::kLanes, left, e);
        }
        of_row = V::add(of_row, e);
        of_columns[v] = V::add(of_columns[v], e);
      }
      if (as.row_sums) {
        as.row_sums[row] += V::total(of_row);
      }
    }
    if (as.column_sums) {
      for (int v = 0; v < kVectors; ++v) {
        float* to = as.column_sums + v * V::kLanes;
        const int64_t left = columns - v * V::kLanes;
        V::store_first(to, left, V::add(V::load_first(to, left), of_columns[v]));
      }
    }
  }
};

// Calls visit(a block, its first row) for all rows, V::kRows at a time, then for the remaining ones.
template <typename V, int kVectors, bool kHalf, int kRows, typename Visit>
COPGEN_INLINE void rest_of_rows(int64_t first, int64_t left, const Visit& visit) {
  if constexpr (kRows > 0) {
    if (left == kRows) {
      Block<V, kRows, kVectors, kHalf> block;
      visit(block, first);
    } else {
      rest_of_rows<V, kVectors, kHalf, kRows - 1>(first, left, visit);
    }
  }
}

template <typename V, int kVectors, bool kHalf, typename Visit>
COPGEN_INLINE void over_rows(int64_t rows, const Visit& visit) {
  int64_t row = 0;
  for (; row + V::kRows <= rows; row += V::kRows) {
    Block<V, V::kRows, kVectors, kHalf> block;
    visit(block, row);
  }
  rest_of_rows<V, kVectors, kHalf, V::kRows - 1>(row, rows - row, visit);
}

template <typename V, int kVectors, bool kHalf>
void multiply_blocks(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, float* c, int64_t c_row, bool add) {
  over_rows<V, kVectors, kHalf>(rows, [&](auto& block, int64_t row) __attribute__((always_inline)) {
    block.multiply(inner, {a.data + row * a.row, a.row, a.column}, b);
    block.store(c + row * c_row, c_row, columns, add);
  });
}

template <typename V, int kVectors>
void multiply_panel(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, float* c, int64_t c_row, bool add) {
  if (columns <= (kVectors - 1) * V::kLanes) {
    if constexpr (kVectors > 1) {
      return multiply_panel<V, kVectors - 1>(rows, inner, columns, a, b, c, c_row, add);
    }
  }
  if constexpr (V::kHalves) {
    if (columns <= (kVectors - 1) * V::kLanes + V::kLanes / 2) {
      return multiply_blocks<V, kVectors, true>(rows, inner, columns, a, b, c, c_row, add);
    }
  }
  multiply_blocks<V, kVectors, false>(rows, inner, columns, a, b, c, c_row, add);
}

template <typename V, int kVectors, typename Finish>
void finished_panel(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Finish& as) {
  if (columns <= (kVectors - 1) * V::kLanes) {
    if constexpr (kVectors > 1) {
      return finished_panel<V, kVectors - 1>(rows, inner, columns, a, b, as);
    }
  }
  over_rows<V, kVectors, false>(rows, [&](auto& block, int64_t row) __attribute__((always_inline)) {
    block.multiply(inner, {a.data + row * a.row, a.row, a.column}, b);
    block.finish(as, row, columns);
  });
}

template <typename V>
void silu_of(int64_t count, const float* x, float factor, float* out) {
  for (int64_t k = 0; k < count; k += V::kLanes) {
    const typename V::type scaled = V::multiply(V::all(factor), V::load_first(x + k, count - k));
    V::store_first(out + k, count - k, silu<V>(scaled));
  }
}

template <typename V>
float dot(int64_t count, const float* a, const float* b) {
  constexpr int kSums = 4;  // a sum waits for its last addition
  typename V::type sum[kSums];
  for (auto& one : sum) {
    one = V::zero();
  }
  int64_t k = 0;
  for (; k + kSums * V::kLanes <= count; k += kSums * V::kLanes) {
    for (int s = 0; s < kSums; ++s) {
      sum[s] = V::multiply_add(V::load(a + k + s * V::kLanes), V::load(b + k + s * V::kLanes), sum[s]);
    }
  }
  for (; k < count; k += V::kLanes) {
    sum[0] = V::multiply_add(V::load_first(a + k, count - k), V::load_first(b + k, count - k), sum[0]);
  }
  return V::total(V::add(V::add(sum[0], sum[1]), V::add(sum[2], sum[3])));
}

template <typename V>
void pack(Strided b, int64_t inner, int64_t columns, float* panel) {
  const int64_t stride = packed_row(columns, V::kLanes);
  const int64_t whole_columns = columns / 8 * 8, whole_inner = inner / 8 * 8;
  if (b.column == 1) {
    for (int64_t k = 0; k < inner; ++k) {
      for (int64_t j = 0; j < stride; j += V::kLanes) {
        V::store_first(panel + k * stride + j, V::kLanes, V::load_first(b.data + k * b.row + j, columns - j));
      }
    }
    return;
  }
  const bool turned = b.row == 1;
  if (turned) {
    // The panel is written line by line; the cache lines read for one column still serve the next ones.
    for (int64_t k = 0; k < whole_inner; k += 8) {
      for (int64_t j = 0; j < whole_columns; j += 8) {
        transpose_8(b.data + j * b.column + k, b.column, panel + k * stride + j, stride);
      }
    }
  }
  for (int64_t k = 0; k < inner; ++k) {
    const int64_t begin = turned && k < whole_inner ? whole_columns : 0;
    for (int64_t j = begin; j < stride; ++j) {
      panel[k * stride + j] = j < columns ? b.data[k * b.row + j * b.column] : 0;
    }
  }
}

template <typename V>
constexpr Kernels kernels_of(const char* name) {
  return {name, V::kRows, V::kVectors * V::kLanes, V::kLanes, &pack<V>, &multiply_panel<V, V::kVectors>,
          &finished_panel<V, V::kVectors, Exponentials>, &finished_panel<V, V::kVectors, Layer>,
          &finished_panel<V, V::kVectors, Reaching>, &dot<V>, &silu_of<V>};
}

#undef COPGEN_INLINE

}  // namespace
}  // namespace copgen::cpu
