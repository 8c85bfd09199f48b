#include "products.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string_view>

namespace copgen::cpu {
namespace {

constexpr int64_t kNumbersPerThread = 1 << 16;  // to pack
constexpr int64_t kInner = 256;  // rows of B in a panel: 64 KiB beside a block's rows of A in the second-level cache

// Memory of a thread's own that is kept from call to call.
class Buffer {
 public:
  ~Buffer() { std::free(data_); }

  float* of(int64_t count) {
    if (count > count_) {
      std::free(data_);
      count_ = 0;
      data_ = static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>((count * 4 + 63) / 64 * 64)));
      if (!data_) {
        throw std::bad_alloc();
      }
      count_ = count;
    }
    return data_;
  }

 private:
  float* data_ = nullptr;
  int64_t count_ = 0;
};

thread_local Buffer panel_buffer;

}  // namespace

namespace {

const Kernels* best() {
  // As for PyTorch's own kernels.
  const char* said = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string_view most = said ? said : "avx512";
  if (most == "default") {
    return nullptr;
  }
  const Kernels* wide = most == "avx2" ? nullptr : avx512_kernels();
  return wide ? wide : avx2_kernels();
}

}  // namespace

const Kernels* kernels() {
  static const Kernels* const found = best();
  return found;
}

void multiply(const Kernels& with, int64_t rows, int64_t inner, int64_t columns, Strided a, Strided b, float* c,
              int64_t c_row, bool add) {
  float* panel = panel_buffer.of(std::min(inner, kInner) * with.width);
  for (int64_t k = 0; k < inner || k == 0; k += kInner) {
    const int64_t depth = std::min(kInner, inner - k);
    for (int64_t j = 0; j < columns; j += with.width) {
      const int64_t width = std::min(with.width, columns - j);
      with.pack(b.from(k, j), depth, width, panel);
      with.multiply(rows, depth, width, a.from(0, k), panel, c + j, c_row, add || k > 0);
    }
  }
}

Packed::Packed(const Kernels& with, int64_t inner, int64_t columns, Strided b)
    : with_(&with), inner_(inner), columns_(columns) {
  const int64_t bytes = panels() * with.width * inner * 4;
  data_ = static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(std::max<int64_t>(64, (bytes + 63) / 64 * 64))));
  if (!data_) {
    throw std::bad_alloc();
  }
  const int64_t grain = std::max<int64_t>(1, kNumbersPerThread / std::max<int64_t>(1, with.width * inner));
  at::parallel_for(0, panels(), grain, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      with.pack(b.from(0, begin(p)), inner, this->columns(p), data_ + begin(p) * inner);
    }
  });
}

Packed::~Packed() { std::free(data_); }

int64_t Packed::columns(int64_t panel) const { return std::min(with_->width, columns_ - begin(panel)); }

void Packed::multiply(int64_t rows, Strided a, float* c, int64_t c_row, bool add) const {
  for (int64_t p = 0; p < panels(); ++p) {
    with_->multiply(rows, inner_, columns(p), a, data(p), c + begin(p), c_row, add);
  }
}

void Packed::exponentials(int64_t rows, Strided a, const Exponentials& finish) const {
  const auto at = [](auto* x, int64_t offset) { return x ? x + offset : nullptr; };
  for (int64_t p = 0; p < panels(); ++p) {
    Exponentials part = finish;
    part.diagonal -= begin(p);
    part.column_weights = at(finish.column_weights, begin(p));
    part.column_sums = at(finish.column_sums, begin(p));
    part.out = at(finish.out, begin(p));
    with_->exponentials(rows, inner_, columns(p), a, data(p), part);
  }
}

void Packed::layer(int64_t rows, Strided a, const Layer& finish) const {
  for (int64_t p = 0; p < panels(); ++p) {
    const Layer part{finish.bias + begin(p), finish.silu, finish.out + begin(p), finish.out_row};
    with_->layer(rows, inner_, columns(p), a, data(p), part);
  }
}

}  // namespace copgen::cpu
