// The constraint d(z, z') <= delta, one warp per row.

#include <cmath>

#include "sums.cuh"

namespace copgen::cuda {
namespace {

// *lost = NaN if a number is NaN. All threads that write write the same.
template <typename T, typename W>
__global__ void __launch_bounds__(kThreads) find_nan(
    const T* weights, int64_t count, const T* biases, int64_t width, W* lost) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count + width; i += step) {
    const W x = widen<W>(i < count ? weights[i] : biases[i - count]);
    if (x != x) {
      *lost = static_cast<W>(NAN);
    }
  }
}

// z' = z + (y + bias + *lost); the row's distance and sums follow from what is added. The hidden units may have lost a
// NaN, so that one in z is added to the distance, too.
template <typename T, typename W>
__global__ void __launch_bounds__(kThreads) residual_rows(
    const T* z, const W* y, const W* bias, const W* lost, W delta, int64_t rows, int64_t dim, T* z_pos, W* d,
    double* stats, Partial partial) {
  const int lane = threadIdx.x % 32;
  const W none = *lost;
  Sums sums;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < rows;
       row += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t at = row * dim;
    double move = 0, squared = 0;
    for (int64_t j = lane; j < dim; j += 32) {
      const W x = widen<W>(z[at + j]), m = y[at + j] + bias[j] + none;
      z_pos[at + j] = narrow<T>(x + m);
      move += m;
      squared += static_cast<double>(m) * m + (x == x ? 0.0 : static_cast<double>(x));
    }
    move = warp_sum(move);
    squared = warp_sum(squared);
    const W distance = static_cast<W>(sqrt(squared / static_cast<double>(dim)));
    if (lane == 0) {
      d[row] = distance;
      sums.add_row(distance, distance > delta, move, squared);
    }
  }
  finish(sums, rows, dim, stats, partial);
}

template <typename T, typename W>
__global__ void __launch_bounds__(kThreads) constrain_rows(
    const T* z, const T* z_pos, W delta, int64_t rows, int64_t dim, W* d, bool* violates, T* projected, double* stats,
    Partial partial) {
  const int lane = threadIdx.x % 32;
  Sums sums;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < rows;
       row += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t at = row * dim;
    double move = 0, squared = 0;
    for (int64_t j = lane; j < dim; j += 32) {
      const W m = widen<W>(z_pos[at + j]) - widen<W>(z[at + j]);
      move += m;
      squared += static_cast<double>(m) * m;
    }
    move = warp_sum(move);
    squared = warp_sum(squared);
    const W distance = static_cast<W>(sqrt(squared / static_cast<double>(dim)));
    const bool beyond = distance > delta;
    if (lane == 0) {
      d[row] = distance;
      violates[row] = beyond;
      sums.add_row(distance, beyond, move, squared);
    }
    if (projected != nullptr) {
      const W share = beyond ? delta / distance : W(1);
      for (int64_t j = lane; j < dim; j += 32) {
        const W from = widen<W>(z[at + j]), to = widen<W>(z_pos[at + j]);
        projected[at + j] = beyond ? narrow<T>(from + share * (to - from)) : z_pos[at + j];
      }
    }
  }
  finish(sums, rows, dim, stats, partial);
}

template <typename T, typename W>
__global__ void __launch_bounds__(kThreads) constrain_gradient_rows(
    const T* g, const W* g_d, const T* z, const T* z_pos, const W* d, W delta, int64_t rows, int64_t dim, T* dz,
    T* dz_pos) {
  const int lane = threadIdx.x % 32;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < rows;
       row += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t at = row * dim;
    const W distance = d[row];
    const bool shrunk = distance > delta;
    const W share = shrunk ? delta / distance : W(1);
    W along = 0;
    if (shrunk && g != nullptr) {
      for (int64_t j = lane; j < dim; j += 32) {
        along += (widen<W>(z_pos[at + j]) - widen<W>(z[at + j])) * widen<W>(g[at + j]);
      }
      along = warp_sum(along) / (distance * distance * static_cast<W>(dim));
    }
    const W direction = g_d != nullptr && distance > 0 ? g_d[row] / (distance * static_cast<W>(dim)) : W(0);
    for (int64_t j = lane; j < dim; j += 32) {
      const W m = widen<W>(z_pos[at + j]) - widen<W>(z[at + j]);
      const W upstream = g != nullptr ? widen<W>(g[at + j]) : W(0);
      const W to_m = share * (upstream - along * m) + direction * m;
      dz_pos[at + j] = narrow<T>(to_m);
      dz[at + j] = narrow<T>(upstream - to_m);
    }
  }
}

// A prefix sum over the rows by one block, 1,024 at a time; the first pass counts the kept rows.
__global__ void __launch_bounds__(1024) kept_first(const bool* violates, int64_t rows, int64_t* order) {
  __shared__ int64_t of_warp[32];
  __shared__ int64_t kept_in_all;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t mine = 0;
  for (int64_t row = threadIdx.x; row < rows; row += 1024) {
    mine += violates[row] ? 0 : 1;
  }
  mine = warp_sum(mine);
  if (lane == 0) {
    of_warp[warp] = mine;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    kept_in_all = 0;
    for (int i = 0; i < 32; ++i) {
      kept_in_all += of_warp[i];
    }
  }
  __syncthreads();
  int64_t kept_before = 0;
  for (int64_t first = 0; first < rows; first += 1024) {
    const int64_t row = first + threadIdx.x;
    const bool kept = row < rows && !violates[row];
    const unsigned int ballot = __ballot_sync(0xffffffffu, kept);
    if (lane == 0) {
      of_warp[warp] = __popc(ballot);
    }
    __syncthreads();
    int64_t before = kept_before + __popc(ballot & ((1u << lane) - 1u)), here = 0;
    for (int i = 0; i < 32; ++i) {
      before += i < warp ? of_warp[i] : 0;
      here += of_warp[i];
    }
    if (row < rows) {
      order[kept ? before : kept_in_all + (row - before)] = row;
    }
    kept_before += here;
    __syncthreads();
  }
}

unsigned int grid_for(int64_t rows) {
  const int64_t blocks = (rows + kWarps - 1) / kWarps;
  return static_cast<unsigned int>(blocks < 65536 ? blocks : 65536);
}

}  // namespace

template <typename T, typename W>
cudaError_t launch_find_nan(
    const T* weights, int64_t count, const T* biases, int64_t width, W* lost, cudaStream_t stream) {
  const int64_t blocks = (count + width + kThreads - 1) / kThreads;
  find_nan<T, W><<<static_cast<unsigned int>(blocks < 1024 ? blocks : 1024), kThreads, 0, stream>>>(
      weights, count, biases, width, lost);
  return cudaGetLastError();
}

template <typename T, typename W>
cudaError_t launch_residual(
    const T* z, const W* y, const W* bias, const W* lost, W delta, int64_t rows, int64_t dim, T* z_pos, W* d,
    double* stats, Partial partial, cudaStream_t stream) {
  residual_rows<T, W><<<partial.blocks, kThreads, 0, stream>>>(
      z, y, bias, lost, delta, rows, dim, z_pos, d, stats, partial);
  return cudaGetLastError();
}

template <typename T, typename W>
cudaError_t launch_constrain(
    const T* z, const T* z_pos, W delta, int64_t rows, int64_t dim, W* d, bool* violates, T* projected, double* stats,
    Partial partial, cudaStream_t stream) {
  constrain_rows<T, W><<<partial.blocks, kThreads, 0, stream>>>(
      z, z_pos, delta, rows, dim, d, violates, projected, stats, partial);
  return cudaGetLastError();
}

template <typename T, typename W>
cudaError_t launch_constrain_gradient(
    const T* g, const W* g_d, const T* z, const T* z_pos, const W* d, W delta, int64_t rows, int64_t dim, T* dz,
    T* dz_pos, cudaStream_t stream) {
  constrain_gradient_rows<T, W><<<grid_for(rows), kThreads, 0, stream>>>(
      g, g_d, z, z_pos, d, delta, rows, dim, dz, dz_pos);
  return cudaGetLastError();
}

cudaError_t launch_kept_first(const bool* violates, int64_t rows, int64_t* order, cudaStream_t stream) {
  kept_first<<<1, 1024, 0, stream>>>(violates, rows, order);
  return cudaGetLastError();
}

#define COPGEN_INSTANTIATE(T, W)                                                                                      \
  template cudaError_t launch_find_nan<T, W>(const T*, int64_t, const T*, int64_t, W*, cudaStream_t);                 \
  template cudaError_t launch_residual<T, W>(                                                                         \
      const T*, const W*, const W*, const W*, W, int64_t, int64_t, T*, W*, double*, Partial, cudaStream_t);           \
  template cudaError_t launch_constrain<T, W>(                                                                        \
      const T*, const T*, W, int64_t, int64_t, W*, bool*, T*, double*, Partial, cudaStream_t);                        \
  template cudaError_t launch_constrain_gradient<T, W>(                                                               \
      const T*, const W*, const T*, const T*, const W*, W, int64_t, int64_t, T*, T*, cudaStream_t);

COPGEN_INSTANTIATE(float, float)
COPGEN_INSTANTIATE(double, double)
COPGEN_INSTANTIATE(__nv_bfloat16, float)

}  // namespace copgen::cuda
