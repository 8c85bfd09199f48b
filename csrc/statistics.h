// The displacement statistics of a batch of latents, as sums that can be combined in any grouping; for CPU and CUDA.
//
// Legend: d_k root-mean-square displacement of row k; m = z' - z; K rows of `dim` coordinates.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define COPGEN_EVERYWHERE __host__ __device__
#else
#define COPGEN_EVERYWHERE
#endif

namespace copgen {

// What `stats` holds, in this order.
constexpr int kStatistics = 6;

struct Sums {
  double violations = 0;
  double d = 0;
  double d_squared = 0;
  double d_largest = 0;
  double move = 0;
  double move_squared = 0;

  // One row: its distance, and the sums of m and of m^2 over its coordinates.
  COPGEN_EVERYWHERE void add_row(double distance, bool violates, double m, double m_squared) {
    violations += violates ? 1.0 : 0.0;
    d += distance;
    d_squared += distance * distance;
    d_largest = larger(d_largest, distance);
    move += m;
    move_squared += m_squared;
  }

  COPGEN_EVERYWHERE void add(const Sums& other) {
    violations += other.violations;
    d += other.d;
    d_squared += other.d_squared;
    d_largest = larger(d_largest, other.d_largest);
    move += other.move;
    move_squared += other.move_squared;
  }

  // violations; mean, standard deviation and maximum of d; mean and standard deviation of m over all coordinates.
  // Standard deviations divide by n - 1 and are NaN for fewer than two numbers.
  COPGEN_EVERYWHERE void write(double* stats, int64_t rows, int64_t dim) const {
    const double coordinates = static_cast<double>(rows) * static_cast<double>(dim);
    stats[0] = violations;
    stats[1] = d / static_cast<double>(rows);
    stats[2] = deviation(d, d_squared, static_cast<double>(rows));
    stats[3] = rows > 0 ? d_largest : nan();
    stats[4] = move / coordinates;
    stats[5] = deviation(move, move_squared, coordinates);
  }

 private:
  COPGEN_EVERYWHERE static double nan() { return static_cast<double>(NAN); }

  // NaN propagates, so that a maximum is never reported over unknown values.
  COPGEN_EVERYWHERE static double larger(double a, double b) { return b > a || b != b ? b : a; }

  COPGEN_EVERYWHERE static double deviation(double sum, double sum_squared, double count) {
    if (count < 2) {
      return nan();
    }
    const double variance = (sum_squared - sum * sum / count) / (count - 1);
    return variance > 0 || variance != variance ? sqrt(variance) : 0.0;
  }
};

}  // namespace copgen
