// Executes a kernel on one thread of the host. The threads of a few blocks are fibres, which switch at barriers, and
// which of those that can go on is next is drawn at random. A barrier is complete when every thread of its block, or of
// its warp, has arrived at the same place; if that cannot happen any more, the launch fails and says where.
//
// Shared memory is NaN at the start of a block. For AddressSanitizer, what was not declared is poisoned. For
// ThreadSanitizer a fibre is a thread, and only barriers order memory: shuffles do not, nor do atomics without a fence.

#include "runtime.h"

#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

// What a sanitizer has to know; null where it is not loaded. This file itself is compiled without one.
extern "C" {
#define COPGEN_WEAK __attribute__((weak))
COPGEN_WEAK void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
COPGEN_WEAK void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
COPGEN_WEAK void __asan_poison_memory_region(const volatile void* address, size_t size);
COPGEN_WEAK void __asan_unpoison_memory_region(const volatile void* address, size_t size);
COPGEN_WEAK void* __tsan_get_current_fiber();
COPGEN_WEAK void* __tsan_create_fiber(unsigned int flags);
COPGEN_WEAK void __tsan_switch_to_fiber(void* fiber, unsigned int flags);
COPGEN_WEAK void __tsan_acquire(void* address);
COPGEN_WEAK void __tsan_release(void* address);
}

namespace copgen_shim {
namespace {

constexpr size_t kStack = 256 << 10, kPage = 4096, kStatic = 48 << 10, kRedZone = 64;
constexpr unsigned int kWarp = 32, kMostThreads = 1024, kMostResident = 3, kNoOrder = 1;

struct Block;

struct Fibre {
  ucontext_t beginning;
  void* place[5];
  bool begun = false;
  const void* stack = nullptr;
  size_t stack_size = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
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

struct Device {
  int processors = 1, shared_bytes = 0;
  std::mt19937_64 random;
  std::set<std::string> launched;
  std::map<const void*, int> allowed;
  cudaError_t error = cudaSuccess;
  std::string message;
  std::mutex busy;
};

struct Running {
  const std::function<void()>* kernel;
  unsigned int blocks, threads;
  bool stubborn;  // stays with a warp until it waits, so that warps get far ahead of each other
  std::vector<Group*> ready;
  Group* favourite = nullptr;
  std::string failure;
};

Device device;
Running* running = nullptr;
Fibre home;
Fibre* current = &home;
Fibre* left = nullptr;

unsigned int below(size_t count) { return static_cast<unsigned int>(device.random() % count); }

void acquire(void* order) {
  if (__tsan_acquire) {
    __tsan_acquire(order);
  }
}

void release(void* order) {
  if (__tsan_release) {
    __tsan_release(order);
  }
}

void arrived() {
  if (__sanitizer_finish_switch_fiber) {
    __sanitizer_finish_switch_fiber(current->fake_stack, &left->stack, &left->stack_size);
  }
}

__attribute__((noinline)) void jump(void** place) { __builtin_longjmp(place, 1); }

// setcontext asks the kernel for the signals' mask, which takes longer than everything else: only at the beginning.
__attribute__((noinline)) void go_to(Fibre& next, bool for_good = false) {
  Fibre& me = *current;
  if (__sanitizer_start_switch_fiber) {
    __sanitizer_start_switch_fiber(for_good ? nullptr : &me.fake_stack, next.stack, next.stack_size);
  }
  if (__tsan_switch_to_fiber) {
    __tsan_switch_to_fiber(next.tsan, kNoOrder);
  }
  left = &me;
  current = &next;
  if (__builtin_setjmp(me.place) == 0) {
    if (next.begun) {
      jump(next.place);
    }
    next.begun = true;
    setcontext(&next.beginning);
  }
  arrived();
}

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
  if (next != current) {
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
    fail("divergent barriers in " + place(*current->block) + ": " + group.site + " and " + site + ".");
  }
  group.site = site;
  char* const order = &group.order[group.round % 2];
  current->fenced = false;
  if (orders_memory) {
    release(order);
  }
  group.waiting.push_back(current);
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
  return warp_of(*current);
}

void entry() {
  arrived();
  acquire(current->block);
  (*running->kernel)();
  release(running);
  if (--current->block->running == 0) {
    go_to(home, true);
  }
  go_on(true);
}

// Fibres are kept for the next block, with their stacks, below which a page is inaccessible.
Fibre& spare(std::vector<std::unique_ptr<Fibre>>& pool, size_t number) {
  while (pool.size() <= number) {
    auto made = std::make_unique<Fibre>();
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* const memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    mprotect(memory, kPage, PROT_NONE);
    getcontext(&made->beginning);
    made->stack = static_cast<char*>(memory) + kPage;
    made->stack_size = kStack;
    made->tsan = __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
    pool.push_back(std::move(made));
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
  if (__asan_poison_memory_region) {
    __asan_poison_memory_region(block->fixed.get(), kStatic);
  }
  for (unsigned int thread = 0; thread < threads; ++thread) {
    Fibre& fibre = spare(pool, first_fibre + thread);
    if (__asan_unpoison_memory_region) {  // an abandoned thread leaves its frames' red zones
      __asan_unpoison_memory_region(fibre.stack, kStack);
    }
    fibre.block = block.get();
    fibre.thread = thread;
    fibre.fenced = fibre.begun = false;
    fibre.fake_stack = nullptr;
    fibre.beginning.uc_stack.ss_sp = const_cast<void*>(fibre.stack);
    fibre.beginning.uc_stack.ss_size = kStack;
    fibre.beginning.uc_link = nullptr;
    makecontext(&fibre.beginning, &entry, 0);
    can_go_on(fibre);
  }
  release(block.get());
  return block;
}

void ended(const Block& block) {
  if (__asan_unpoison_memory_region) {
    __asan_unpoison_memory_region(block.fixed.get(), kStatic);
  }
}

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
  std::shuffle(order.begin(), order.end(), device.random);
  std::vector<std::unique_ptr<Block>> resident(1 + below(std::min(kMostResident, kMostThreads / running->threads)));
  running->ready.reserve(resident.size() * running->threads / kWarp);
  home.begun = true;
  home.tsan = __tsan_get_current_fiber ? __tsan_get_current_fiber() : nullptr;
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

void configure(uint64_t seed, int processors, int shared_bytes) {
  device.random.seed(seed);
  device.processors = processors;
  device.shared_bytes = shared_bytes;
  device.launched.clear();
  device.error = cudaSuccess;
}

dim3 thread_index() { return {current->thread, 0, 0}; }
dim3 block_index() { return {current->block->index, 0, 0}; }
dim3 block_size() { return {running->threads}; }
dim3 grid_size() { return {running->blocks}; }

void sync_block(const char* site) { wait(current->block->all, site, true); }

void sync_warp(const char* site, unsigned int mask) { wait(warp(site, mask), site, true); }

void fence() { current->fenced = true; }

void atomic(void* address) {
  if (current->fenced) {
    release(address);
  }
  acquire(address);
}

const uint64_t* exchange(const char* site, unsigned int mask, uint64_t word) {
  Group& group = warp(site, mask);
  uint64_t* const words = group.words[group.round % 2];
  words[current->thread % kWarp] = word;
  wait(group, site, false);
  return words;
}

void* shared_memory(const char* site, size_t bytes, size_t alignment) {
  Block& block = *current->block;
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
  if (__asan_unpoison_memory_region) {
    __asan_unpoison_memory_region(memory, bytes);
  }
  block.used = begin + bytes;
  block.arrays.push_back({site, memory});
  return memory;
}

void* dynamic_shared_memory() { return current->block->dynamic.get(); }

cudaError_t allow_shared_memory(const void* kernel, int bytes) {
  if (bytes > device.shared_bytes) {
    return cudaErrorInvalidValue;
  }
  device.allowed[kernel] = bytes;
  return cudaSuccess;
}

void Launch::run(const void* kernel, const std::function<void()>& body) {
  const std::lock_guard<std::mutex> lock(device.busy);
  const auto allowed = device.allowed.find(kernel);
  const size_t most = allowed == device.allowed.end() ? kStatic : static_cast<size_t>(allowed->second);
  if (blocks_ == 0 || threads_ == 0 || threads_ > kMostThreads || threads_ % kWarp != 0 || bytes_ > most) {
    device.error = cudaErrorInvalidConfiguration;
    return;
  }
  device.launched.insert(name_);
  Running launch{&body, blocks_, threads_, below(2) == 1};
  running = &launch;
  run_blocks(bytes_);
  running = nullptr;
  if (!launch.failure.empty()) {
    device.error = cudaErrorLaunchFailure;
    device.message = std::string(name_) + ": " + launch.failure;
  }
}

}  // namespace copgen_shim

cudaError_t cudaGetLastError() { return std::exchange(copgen_shim::device.error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return copgen_shim::device.message.c_str();
    default:
      return "no error";
  }
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const auto& device = copgen_shim::device;
  *value = attribute == cudaDevAttrMultiProcessorCount ? device.processors : device.shared_bytes;
  return cudaSuccess;
}

// The names of the kernels that were launched since the last `configure`, one a line.
extern "C" const char* copgen_shim_launched() {
  static std::string names;
  names.clear();
  for (const std::string& name : copgen_shim::device.launched) {
    names += name + "\n";
  }
  return names.c_str();
}
