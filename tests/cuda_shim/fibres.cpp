#include "fibres.h"

#include <sys/mman.h>

#include <new>

// What a sanitizer has to know; null where it is not loaded. This file is compiled without one.
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

constexpr size_t kStack = 256 << 10, kPage = 4096;
constexpr unsigned int kNoOrder = 1;
Context* left = nullptr;

__attribute__((noinline)) void jump(void** place) { __builtin_longjmp(place, 1); }

}  // namespace

Context home;
Context* active = &home;

void come_home() {
  home.begun = true;
  home.tsan = __tsan_get_current_fiber ? __tsan_get_current_fiber() : nullptr;
}

void give_stack(Context& made) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  mprotect(memory, kPage, PROT_NONE);
  getcontext(&made.beginning);
  made.stack = static_cast<char*>(memory) + kPage;
  made.stack_size = kStack;
  made.tsan = __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
}

void begin(Context& context, void (*entry)()) {
  unpoison(context.stack, kStack);  // one that was abandoned leaves its frames' red zones
  context.begun = false;
  context.fake_stack = nullptr;
  context.beginning.uc_stack.ss_sp = const_cast<void*>(context.stack);
  context.beginning.uc_stack.ss_size = kStack;
  context.beginning.uc_link = nullptr;
  makecontext(&context.beginning, entry, 0);
}

void arrived() {
  if (__sanitizer_finish_switch_fiber) {
    __sanitizer_finish_switch_fiber(active->fake_stack, &left->stack, &left->stack_size);
  }
}

// setcontext asks the kernel for the signals' mask, which takes longer than everything else: only at the beginning.
__attribute__((noinline)) void go_to(Context& next, bool for_good) {
  Context& me = *active;
  if (__sanitizer_start_switch_fiber) {
    __sanitizer_start_switch_fiber(for_good ? nullptr : &me.fake_stack, next.stack, next.stack_size);
  }
  if (__tsan_switch_to_fiber) {
    __tsan_switch_to_fiber(next.tsan, kNoOrder);
  }
  left = &me;
  active = &next;
  if (__builtin_setjmp(me.place) == 0) {
    if (next.begun) {
      jump(next.place);
    }
    next.begun = true;
    setcontext(&next.beginning);
  }
  arrived();
}

void acquire(void* address) {
  if (__tsan_acquire) {
    __tsan_acquire(address);
  }
}

void release(void* address) {
  if (__tsan_release) {
    __tsan_release(address);
  }
}

void poison(const void* memory, size_t bytes) {
  if (__asan_poison_memory_region) {
    __asan_poison_memory_region(memory, bytes);
  }
}

void unpoison(const void* memory, size_t bytes) {
  if (__asan_unpoison_memory_region) {
    __asan_unpoison_memory_region(memory, bytes);
  }
}

}  // namespace copgen_shim
