// Executes a kernel on one thread of the host. The threads of a few blocks are fibres, which switch at barriers, and
// which of those that can go on is next is drawn at random. A barrier is complete when every thread of its block, or of
// its warp, has arrived at the same place; if that cannot happen any more, the launch fails and says where.
//
// Shared memory is NaN at the start of a block. For AddressSanitizer, what was not declared is poisoned. For
// ThreadSanitizer a fibre is a thread, and only barriers order memory: shuffles do not, nor do atomics without a fence.

#include "runtime.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fibres.h"

namespace copgen_shim {
namespace {

constexpr size_t kStatic = 48 << 10, kRedZone = 64;
constexpr unsigned int kWarp = 32, kMostFibres = 1024, kMostResident = 3;

struct Block;

struct Fibre : Context {
  Block* block = nullptr;
  unsigned int thread = 0;
  bool fenced = false;
};

// The threads of a block or of a warp. Of two rounds in a row, each has its own words and its own `order`, so that a
// thread that is already at the next barrier does not reach into the one that others are still leaving.
struct Group {
  std::vector<Fibre*> waiting, ready;
  const char* site = nullptr;
  unsigned int size = 0, round = 0;
  uint64_t words[2][kWarp];
  char order[2];

  void start(unsigned int threads) {
    size = threads;
    waiting.reserve(threads);  // not by a thread of the kernel
    ready.reserve(threads);
  }
};

struct Array {
  const char* site;
  void* memory;
};

struct Block {
  unsigned int index, running;
  Group all;
  std::vector<Group> warps;
  std::vector<Array> arrays;
  std::unique_ptr<char[]> fixed, dynamic;
  size_t used = 0;
};

struct Running {
  const std::function<void()>* kernel;
  unsigned int blocks, threads;
  std::mt19937_64& random;
  bool stubborn;  // stays with a warp until it waits, so that warps get far ahead of each other
  std::vector<Group*> ready;
  Group* favourite = nullptr;
  std::string failure;
};

Running* running = nullptr;

Fibre& current() { return *static_cast<Fibre*>(active); }

unsigned int below(size_t count) { return static_cast<unsigned int>(running->random() % count); }

Group& warp_of(const Fibre& fibre) { return fibre.block->warps[fibre.thread / kWarp]; }

void can_go_on(Fibre& fibre) {
  Group& warp = warp_of(fibre);
  if (warp.ready.empty()) {
    running->ready.push_back(&warp);
  }
  warp.ready.push_back(&fibre);
}

template <typename T>
T& random_to_back(std::vector<T>& items) {
  std::swap(items[below(items.size())], items.back());
  return items.back();
}

// Another thread, or home, where it is seen if no thread can go on.
void go_on(bool for_good = false) {
  auto& warps = running->ready;
  if (warps.empty() || !running->failure.empty()) {
    return go_to(home, for_good);
  }
  if (!running->stubborn || warps.back() != running->favourite) {
    running->favourite = random_to_back(warps);
  }
  auto& fibres = running->favourite->ready;
  Fibre* const next = random_to_back(fibres);
  fibres.pop_back();
  if (fibres.empty()) {
    warps.pop_back();
  }
  if (next != active) {
    go_to(*next, for_good);
  }
}

[[noreturn]] void fail(std::string message) {
  running->failure = std::move(message);
  go_to(home);
  __builtin_unreachable();
}

std::string place(const Block& block) { return "block " + std::to_string(block.index); }

// Waits for the group's other threads.
void wait(Group& group, const char* site, bool orders_memory) {
  if (!group.waiting.empty() && std::strcmp(group.site, site) != 0) {
    fail("divergent barriers in " + place(*current().block) + ": " + group.site + " and " + site + ".");
  }
  group.site = site;
  char* const order = &group.order[group.round % 2];
  current().fenced = false;
  if (orders_memory) {
    release(order);
  }
  group.waiting.push_back(&current());
  if (group.waiting.size() == group.size) {
    ++group.round;
    for (Fibre* fibre : group.waiting) {
      can_go_on(*fibre);
    }
    group.waiting.clear();
  }
  go_on();
  if (orders_memory) {
    acquire(order);
  }
}

Group& warp(const char* site, unsigned int mask) {
  if (mask != kAllLanes) {
    fail(std::string("a mask without all lanes at ") + site + ".");
  }
  return warp_of(current());
}

void entry() {
  arrived();
  acquire(current().block);
  (*running->kernel)();
  release(running);
  if (--current().block->running == 0) {
    go_to(home, true);
  }
  go_on(true);
}

// Fibres are kept for the next block.
Fibre& spare(std::vector<std::unique_ptr<Fibre>>& pool, size_t number) {
  while (pool.size() <= number) {
    pool.push_back(std::make_unique<Fibre>());
    give_stack(*pool.back());
  }
  return *pool[number];
}

std::unique_ptr<char[]> filled_with_nan(size_t bytes) {
  std::unique_ptr<char[]> memory(new char[bytes]);
  std::memset(memory.get(), 0xff, bytes);
  return memory;
}

std::unique_ptr<Block> started(unsigned int index, size_t bytes, size_t first_fibre) {
  static std::vector<std::unique_ptr<Fibre>> pool;
  const unsigned int threads = running->threads;
  auto block = std::make_unique<Block>();
  block->index = index;
  block->running = threads;
  block->all.start(threads);
  block->warps.resize(threads / kWarp);
  for (Group& one : block->warps) {
    one.start(kWarp);
  }
  block->arrays.reserve(64);
  block->fixed = filled_with_nan(kStatic);
  block->dynamic = filled_with_nan(bytes);
  poison(block->fixed.get(), kStatic);
  for (unsigned int thread = 0; thread < threads; ++thread) {
    Fibre& fibre = spare(pool, first_fibre + thread);
    fibre.block = block.get();
    fibre.thread = thread;
    fibre.fenced = false;
    begin(fibre, &entry);
    can_go_on(fibre);
  }
  release(block.get());
  return block;
}

void ended(const Block& block) { unpoison(block.fixed.get(), kStatic); }

std::string waiting_in(const Block& block) {
  const auto said = [&](const Group& group) {
    return std::to_string(group.waiting.size()) + " of " + std::to_string(group.size) + " threads wait at " + group.site;
  };
  for (const Group& one : block.warps) {
    if (!one.waiting.empty()) {
      return "divergent barrier in a warp of " + place(block) + ": " + said(one) + ".";
    }
  }
  return "divergent barrier in " + place(block) + ": " + said(block.all) + ".";
}

// Every block of the grid, in any order, several at a time.
void run_blocks(size_t bytes) {
  std::vector<unsigned int> order(running->blocks);
  for (unsigned int i = 0; i < running->blocks; ++i) {
    order[i] = i;
  }
  std::shuffle(order.begin(), order.end(), running->random);
  std::vector<std::unique_ptr<Block>> resident(1 + below(std::min(kMostResident, kMostFibres / running->threads)));
  running->ready.reserve(resident.size() * running->threads / kWarp);
  come_home();
  for (size_t next = 0, done = 0; done < order.size() && running->failure.empty();) {
    for (size_t place = 0; place < resident.size(); ++place) {
      if (resident[place] && resident[place]->running == 0) {
        ended(*resident[place]);
        resident[place] = nullptr;
        ++done;
      }
      if (!resident[place] && next < order.size()) {
        resident[place] = started(order[next++], bytes, place * running->threads);
      }
    }
    if (!running->ready.empty()) {
      go_on();
    } else if (done < order.size()) {
      const auto stuck = [](const auto& block) { return block != nullptr; };
      running->failure = waiting_in(**std::find_if(resident.begin(), resident.end(), stuck));
    }
  }
  for (const auto& block : resident) {
    if (block) {
      ended(*block);
    }
  }
  acquire(running);
}

}  // namespace

dim3 thread_index() { return {current().thread, 0, 0}; }
dim3 block_index() { return {current().block->index, 0, 0}; }
dim3 block_size() { return {running->threads}; }
dim3 grid_size() { return {running->blocks}; }

void sync_block(const char* site) { wait(current().block->all, site, true); }

void sync_warp(const char* site, unsigned int mask) { wait(warp(site, mask), site, true); }

void fence() { current().fenced = true; }

void atomic(void* address) {
  if (current().fenced) {
    release(address);
  }
  acquire(address);
}

const uint64_t* exchange(const char* site, unsigned int mask, uint64_t word) {
  Group& group = warp(site, mask);
  uint64_t* const words = group.words[group.round % 2];
  words[current().thread % kWarp] = word;
  wait(group, site, false);
  return words;
}

void* shared_memory(const char* site, size_t bytes, size_t alignment) {
  Block& block = *current().block;
  for (const Array& array : block.arrays) {
    if (std::strcmp(array.site, site) == 0) {
      return array.memory;
    }
  }
  const size_t begin = (block.used + kRedZone + alignment - 1) / alignment * alignment;
  if (begin + bytes > kStatic || block.arrays.size() == block.arrays.capacity()) {
    fail(std::string("more shared memory than a block has at ") + site + ".");
  }
  void* const memory = block.fixed.get() + begin;
  unpoison(memory, bytes);
  block.used = begin + bytes;
  block.arrays.push_back({site, memory});
  return memory;
}

void* dynamic_shared_memory() { return current().block->dynamic.get(); }

std::string run_grid(
    const std::function<void()>& kernel, unsigned int blocks, unsigned int threads, size_t bytes,
    std::mt19937_64& random) {
  Running grid{&kernel, blocks, threads, random, random() % 2 == 1};
  running = &grid;
  run_blocks(bytes);
  running = nullptr;
  return grid.failure;
}

}  // namespace copgen_shim
