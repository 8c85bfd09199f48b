// The fused navigator for widths up to 128: both layers stay in shared memory while a block works through tiles of rows,
// and a row's hidden units, displacement and distance never leave the chip. float32 products run on the CUDA cores, with
// the accuracy of the CPU and independent of the TF32 setting; 16-bit latents and weights are widened when loaded.
//
// A tile has kRows rows per warp. A thread holds, for its warp's rows, the columns lane, lane + 32, ...: with transposed
// weights the 32 lanes read 32 neighbouring words, and all of them the same word of the row.

#include <cmath>

#include "sums.cuh"

namespace copgen::cuda {
namespace {

constexpr int kColumns = static_cast<int>(kFusedWidth) / 32;
constexpr int kStride = static_cast<int>(kFusedWidth) + 1;  // odd, so that weights are transposed without bank conflicts

// Columns are zero-padded, so that a row is read as float4.
__host__ __device__ constexpr int padded(int columns) { return (columns + 3) / 4 * 4; }

// Words of shared memory: both layers transposed, both biases, and the tile's rows before and between the layers.
constexpr int64_t words(int dim, int width, int tile) {
  return static_cast<int64_t>(kStride + tile) * (padded(dim) + padded(width)) + 2 * kFusedWidth;
}

// acc = rows x weights for this thread's rows and columns; `x` has `inner` columns, a multiple of four.
template <int kRows>
__device__ __forceinline__ void product(
    const float* x, const float* weights, int inner, float (&acc)[kRows][kColumns]) {
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int column = 0; column < kColumns; ++column) {
      acc[row][column] = 0.0f;
    }
  }
  weights += threadIdx.x % 32;
  for (int k = 0; k < inner; k += 4, weights += 4 * kStride) {
    float4 value[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      value[row] = *reinterpret_cast<const float4*>(x + row * inner + k);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        const float w = weights[i * kStride + 32 * column];
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
          const float* const four = &value[row].x;
          acc[row][column] = fmaf(four[i], w, acc[row][column]);
        }
      }
    }
  }
}

// out[k][j] = w[j][k], zero-padded.
template <typename V>
__device__ void load_transposed(float* out, const V* w, int outputs, int inputs) {
  const int columns = padded(inputs);
  for (int i = threadIdx.x; i < static_cast<int>(kFusedWidth) * columns; i += kThreads) {
    const int j = i / columns, k = i % columns;
    out[k * kStride + j] = j < outputs && k < inputs ? widen<float>(w[j * inputs + k]) : 0.0f;
  }
}

template <typename T, typename V, int kRows>
__global__ void __launch_bounds__(kThreads) navigate_tiles(
    const T* __restrict__ z, const V* __restrict__ w1, const V* __restrict__ b1, const V* __restrict__ w2,
    const V* __restrict__ b2, float delta, int64_t rows, int dim, int width, T* __restrict__ z_pos,
    float* __restrict__ d, double* stats, float* __restrict__ hidden, int64_t kept, Partial partial) {
  extern __shared__ __align__(16) float shared[];  // rows are read as float4
  float* const first = shared;
  float* const second = first + kStride * padded(dim);
  float* const bias1 = second + kStride * padded(width);
  float* const bias2 = bias1 + kFusedWidth;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* const own_z = bias2 + kFusedWidth + warp * kRows * (padded(dim) + padded(width));
  float* const own_h = own_z + kRows * padded(dim);

  load_transposed(first, w1, width, dim);
  load_transposed(second, w2, dim, width);
  for (int j = threadIdx.x; j < static_cast<int>(kFusedWidth); j += kThreads) {
    bias1[j] = j < width ? widen<float>(b1[j]) : 0.0f;
    bias2[j] = j < dim ? widen<float>(b2[j]) : 0.0f;
  }
  __syncthreads();

  Sums sums;
  constexpr int kTile = kRows * kWarps;
  for (int64_t tile = blockIdx.x; tile * kTile < rows; tile += gridDim.x) {
    const int64_t begin = tile * kTile + warp * kRows;
    for (int row = 0; row < kRows; ++row) {
      for (int j = lane; j < padded(dim); j += 32) {
        const bool there = begin + row < rows && j < dim;
        own_z[row * padded(dim) + j] = there ? widen<float>(z[(begin + row) * dim + j]) : 0.0f;
      }
    }
    __syncwarp();

    float acc[kRows][kColumns];
    product<kRows>(own_z, first, padded(dim), acc);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        const int j = lane + 32 * column;
        if (j < padded(width)) {
          const float x = acc[row][column] + bias1[j];  // 0 in the padding
          const float h = x < 0.0f ? 0.0f : x;
          own_h[row * padded(width) + j] = h;
          if (j < width && begin + row < kept) {
            hidden[(begin + row) * width + j] = h;
          }
        }
      }
    }
    __syncwarp();

    product<kRows>(own_h, second, padded(width), acc);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      double move = 0, squared = 0;
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        const int j = lane + 32 * column;
        if (j < dim && begin + row < rows) {
          const float m = acc[row][column] + bias2[j];
          z_pos[(begin + row) * dim + j] = narrow<T>(own_z[row * padded(dim) + j] + m);
          move += m;
          squared += static_cast<double>(m) * m;
        }
      }
      move = warp_sum(move);
      squared = warp_sum(squared);
      if (lane == 0 && begin + row < rows) {
        const float distance = static_cast<float>(sqrt(squared / dim));
        d[begin + row] = distance;
        sums.add_row(distance, distance > delta, move, squared);
      }
    }
    // No barrier: of the next tile, a thread overwrites own_z where it alone reads it now, and own_h after a barrier.
  }
  finish(sums, rows, dim, stats, partial);
}

template <typename T, typename V, int kRows>
cudaError_t launch(
    const T* z, const V* w1, const V* b1, const V* w2, const V* b2, float delta, int64_t rows, int64_t dim,
    int64_t width, T* z_pos, float* d, double* stats, float* hidden, int64_t kept, Partial partial,
    cudaStream_t stream) {
  const int columns = static_cast<int>(dim), units = static_cast<int>(width);
  const int bytes = static_cast<int>(words(columns, units, kRows * kWarps) * sizeof(float));
  const cudaError_t allowed =
      cudaFuncSetAttribute(navigate_tiles<T, V, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (allowed != cudaSuccess) {
    return allowed;
  }
  navigate_tiles<T, V, kRows><<<partial.blocks, kThreads, bytes, stream>>>(
      z, w1, b1, w2, b2, delta, rows, columns, units, z_pos, d, stats, hidden, kept, partial);
  return cudaGetLastError();
}

}  // namespace

int fused_tile(int64_t rows, int64_t dim, int64_t width, int device) {
  int available = 0, processors = 0;
  if (dim > kFusedWidth || width > kFusedWidth ||
      cudaDeviceGetAttribute(&available, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    return 0;
  }
  // The largest tile that fits and still gives every multiprocessor one; small batches get the smallest.
  for (const int tile : {64, 32, 16}) {
    const bool fits = words(static_cast<int>(dim), static_cast<int>(width), tile) * static_cast<int64_t>(sizeof(float)) <=
                      available - 1024;
    if (fits && (tile == 16 || rows >= static_cast<int64_t>(tile) * processors)) {
      return tile;
    }
  }
  return 0;
}

template <typename T, typename V>
cudaError_t launch_navigate(
    const T* z, const V* w1, const V* b1, const V* w2, const V* b2, float delta, int64_t rows, int64_t dim,
    int64_t width, int tile, T* z_pos, float* d, double* stats, float* hidden, int64_t kept, Partial partial,
    cudaStream_t stream) {
  const auto with = [&](auto launch_one) {
    return launch_one(z, w1, b1, w2, b2, delta, rows, dim, width, z_pos, d, stats, hidden, kept, partial, stream);
  };
  return tile == 64 ? with(&launch<T, V, 8>) : tile == 32 ? with(&launch<T, V, 4>) : with(&launch<T, V, 2>);
}

#define COPGEN_INSTANTIATE(T, V)                                                                              \
  template cudaError_t launch_navigate<T, V>(                                                                 \
      const T*, const V*, const V*, const V*, const V*, float, int64_t, int64_t, int64_t, int, T*, float*,    \
      double*, float*, int64_t, Partial, cudaStream_t);

COPGEN_INSTANTIATE(float, float)
COPGEN_INSTANTIATE(float, __nv_bfloat16)
COPGEN_INSTANTIATE(__nv_bfloat16, __nv_bfloat16)

}  // namespace copgen::cuda
