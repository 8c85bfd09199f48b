// Contexts with a stack of their own, between which one thread of the host switches, and what sanitizers are told of it.
#pragma once

#include <ucontext.h>

#include <cstddef>

namespace copgen_shim {

struct Context {
  ucontext_t beginning;
  void* place[5];
  bool begun = false;
  const void* stack = nullptr;
  size_t stack_size = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
};

extern Context home;  // that of the thread of the host
extern Context* active;

void come_home();  // before the first switch

// A stack for the context; below it a page is inaccessible.
void give_stack(Context& made);

// Lets the context call `entry` at its next turn, on an empty stack. `entry` calls `arrived` first and does not return.
void begin(Context& context, void (*entry)());
void arrived();

void go_to(Context& next, bool for_good = false);

// What is done before `release` is seen after `acquire` of the same address.
void acquire(void* address);
void release(void* address);

void poison(const void* memory, size_t bytes);
void unpoison(const void* memory, size_t bytes);

}  // namespace copgen_shim
