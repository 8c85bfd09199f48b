// Random latents by (key, row): one thread per Philox block of four columns, in double as on the CPU, then rounded.

#include <cmath>

#include "../philox.h"
#include "launch.h"

namespace copgen::cuda {
namespace {

__global__ void draw(
    const int64_t* rows, int64_t count, uint64_t key, int64_t dim, int64_t blocks, double scale, double threshold,
    double tail, float* out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < count * blocks; at += step) {
    const int64_t k = at / blocks, block = at % blocks;
    const Words words = philox(static_cast<uint64_t>(rows[k]), static_cast<uint32_t>(block), key);
    double value[4];
    if (isinf(threshold)) {
      for (int pair = 0; pair < 2; ++pair) {
        const double radius = sqrt(-2.0 * log(uniform(words.word[2 * pair])));
        double sine, cosine;
        sincospi(2.0 * uniform(words.word[2 * pair + 1]), &sine, &cosine);
        value[2 * pair] = radius * cosine;
        value[2 * pair + 1] = radius * sine;
      }
    } else {
      for (int i = 0; i < 4; ++i) {
        const double x = normcdfinv(tail + uniform(words.word[i]) * (1.0 - 2.0 * tail));
        value[i] = fmin(fmax(x, -threshold), threshold);
      }
    }
    for (int i = 0; i < 4 && 4 * block + i < dim; ++i) {
      out[k * dim + 4 * block + i] = static_cast<float>(value[i] * scale);
    }
  }
}

}  // namespace

cudaError_t launch_draw_latents(
    const int64_t* rows, int64_t count, uint64_t key, int64_t dim, double scale, double threshold, double tail,
    float* out, cudaStream_t stream) {
  const int64_t blocks = (dim + 3) / 4;
  const int64_t grid = (count * blocks + kThreads - 1) / kThreads;
  draw<<<static_cast<unsigned int>(grid < 65536 ? grid : 65536), kThreads, 0, stream>>>(
      rows, count, key, dim, blocks, scale, threshold, tail, out);
  return cudaGetLastError();
}

}  // namespace copgen::cuda
