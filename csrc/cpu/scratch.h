// Memory of the calling thread's own that is kept for the next call: what a core has written is still in its cache then,
// and what it gets from elsewhere is not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace copgen::cpu {

// `count` numbers, not filled, at the beginning of a cache line.
class Scratch {
 public:
  explicit Scratch(int64_t count) : piece_(taken(count)) {}

  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  ~Scratch() {
    if (piece_.count > kLargestKept) {
      return;
    }
    auto& pieces = kept();
    pieces.push_back(std::move(piece_));
    if (pieces.size() > kMostKept) {
      pieces.erase(pieces.begin());
    }
  }

  float* data() const { return piece_.data.get(); }

 private:
  static constexpr int64_t kLargestKept = 1 << 18;
  static constexpr size_t kMostKept = 4;

  struct Free {
    void operator()(float* data) const { std::free(data); }
  };

  struct Piece {
    int64_t count;
    std::unique_ptr<float, Free> data;
  };

  static std::vector<Piece>& kept() {
    thread_local std::vector<Piece> pieces;
    return pieces;
  }

  // The newest that is large enough, or a new one.
  static Piece taken(int64_t count) {
    auto& pieces = kept();
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (piece->count >= count) {
        Piece found = std::move(*piece);
        pieces.erase(std::next(piece).base());
        return found;
      }
    }
    const auto bytes = static_cast<size_t>(std::max<int64_t>(count, 1) * 4 + 63) / 64 * 64;
    auto* data = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (!data) {
      throw std::bad_alloc();
    }
    return {count, std::unique_ptr<float, Free>(data)};
  }

  Piece piece_;
};

}  // namespace copgen::cpu
