#include "products.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace copgen::cpu {
namespace {

constexpr int64_t kNumbersPerThread = 1 << 16;  // to pack
constexpr int64_t kInner = 256;  // rows of B in a panel: 64 KiB, which fits the L2 cache with a block's rows of A
constexpr int64_t kInPlace = 1 << 15;  // numbers spanned by `kInner` rows: as few memory pages as a packed panel has

const Kernels* best() {
  // The same variable as for PyTorch's own kernels.
  const char* capability = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string_view most = capability ? capability : "avx512";
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

bool read_in_place(int64_t inner, int64_t columns, Strided b) {
  return b.column == 1 && columns % 8 == 0 && std::min(inner, kInner) * b.row <= kInPlace;
}

void multiply(const Kernels& with, int64_t rows, int64_t inner, int64_t columns, Strided a, Strided b, float* c,
              int64_t c_row, bool add) {
  const bool in_place = read_in_place(inner, columns, b);
  const Scratch scratch = Scratch::of<float>(in_place ? 0 : std::min(inner, kInner) * with.width);
  float* const panel = scratch.as<float>();
  for (int64_t k = 0; k < inner || k == 0; k += kInner) {
    const int64_t depth = std::min(kInner, inner - k);
    for (int64_t j = 0; j < columns; j += with.width) {
      const int64_t width = std::min(with.width, columns - j);
      const Strided part = b.from(k, j);
      if (!in_place) {
        with.pack(part, depth, width, panel);
      }
      const Panel taken = in_place ? Panel{part.data, b.row} : Panel{panel, packed_row(width, with.lanes)};
      with.multiply(rows, depth, width, a.from(0, k), taken, c + j, c_row, add || k > 0);
    }
  }
}

Packed::Packed(const Kernels& with, int64_t inner, int64_t columns, Strided b)
    : with_(&with), inner_(inner), columns_(columns), scratch_(Scratch::of<float>(panels() * with.width * inner)) {
  const int64_t grain = std::max<int64_t>(1, kNumbersPerThread / std::max<int64_t>(1, with.width * inner));
  torch::stable::parallel_for(0, panels(), grain, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      with.pack(b.from(0, begin(p)), inner, this->columns(p), scratch_.as<float>() + begin(p) * inner);
    }
  });
}

int64_t Packed::columns(int64_t panel) const { return std::min(with_->width, columns_ - begin(panel)); }

void Packed::multiply(int64_t rows, Strided a, float* c, int64_t c_row, bool add) const {
  for (int64_t p = 0; p < panels(); ++p) {
    with_->multiply(rows, inner_, columns(p), a, at(p), c + begin(p), c_row, add);
  }
}

void Packed::exponentials(int64_t rows, Strided a, const Exponentials& finish) const {
  const auto from = [](auto* x, int64_t offset) { return x ? x + offset : nullptr; };
  for (int64_t p = 0; p < panels(); ++p) {
    Exponentials part = finish;
    part.diagonal -= begin(p);
    part.column_weights = from(finish.column_weights, begin(p));
    part.column_sums = from(finish.column_sums, begin(p));
    part.out = from(finish.out, begin(p));
    with_->exponentials(rows, inner_, columns(p), a, at(p), part);
  }
}

void Packed::layer(int64_t rows, Strided a, const Layer& finish) const {
  for (int64_t p = 0; p < panels(); ++p) {
    const Layer part{finish.bias + begin(p), finish.silu, finish.out + begin(p), finish.out_row};
    with_->layer(rows, inner_, columns(p), a, at(p), part);
  }
}

void Packed::reaching(int64_t panel, int64_t rows, Strided a, const Reaching& finish) const {
  with_->reaching(rows, inner_, columns(panel), a, at(panel), finish);
}

}  // namespace copgen::cpu
