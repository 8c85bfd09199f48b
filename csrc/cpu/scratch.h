// Thread-local buffers that are kept between calls, as they are still in the core's cache, unlike newly allocated memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace copgen::cpu {

// An uninitialised buffer for `count` numbers, aligned to a cache line; for none, it is null.
class Scratch {
 public:
  template <typename T>
  static Scratch of(int64_t count) {
    return Scratch(count * static_cast<int64_t>(sizeof(T)));
  }

  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  ~Scratch() {
    if (piece_.bytes == 0 || piece_.bytes > kLargestKept) {
      return;
    }
    auto& pieces = kept();
    pieces.push_back(std::move(piece_));
    if (pieces.size() > kMostKept) {
      pieces.erase(pieces.begin());
    }
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(piece_.data.get());
  }

 private:
  static constexpr int64_t kLargestKept = 1 << 20;
  static constexpr size_t kMostKept = 4;

  struct Free {
    void operator()(void* data) const { std::free(data); }
  };

  struct Piece {
    int64_t bytes;
    std::unique_ptr<void, Free> data;
  };

  explicit Scratch(int64_t bytes) : piece_(taken(bytes)) {}

  static std::vector<Piece>& kept() {
    thread_local std::vector<Piece> pieces;
    return pieces;
  }

  // The most recent buffer that is large enough, or a new one.
  static Piece taken(int64_t bytes) {
    if (bytes == 0) {
      return {0, nullptr};
    }
    auto& pieces = kept();
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (piece->bytes >= bytes) {
        Piece found = std::move(*piece);
        pieces.erase(std::next(piece).base());
        return found;
      }
    }
    void* data = std::aligned_alloc(64, static_cast<size_t>(bytes + 63) / 64 * 64);
    if (!data) {
      throw std::bad_alloc();
    }
    return {bytes, std::unique_ptr<void, Free>(data)};
  }

  Piece piece_;
};

}  // namespace copgen::cpu
