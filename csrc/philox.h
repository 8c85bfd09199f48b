// Philox 4x32-10 (Salmon et al. 2011): four random 32-bit words are a function of a counter and a key.
//
// The same bits as copgen/runtime/philox.py: the counter is (row, low word; row, high word; block of four columns; 0).
#pragma once

#include <cstdint>

#include "statistics.h"

namespace copgen {

struct Words {
  uint32_t word[4];
};

COPGEN_EVERYWHERE inline Words philox(uint64_t row, uint32_t block, uint64_t key) {
  uint32_t c0 = static_cast<uint32_t>(row), c1 = static_cast<uint32_t>(row >> 32), c2 = block, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(c0) * 0xD2511F53u;
    const uint64_t p1 = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// A uniform number in the open interval (0, 1), on a grid of 2^-32; exact in double.
COPGEN_EVERYWHERE inline double uniform(uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

}  // namespace copgen
