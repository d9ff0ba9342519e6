//===- Fiber.cpp - Stacks that take turns ---------------------------------===//
//
// swapcontext would be portable, but asks the kernel for the signal mask twice
// at every switch: that alone makes a warp's operation ten times slower.
//
//===----------------------------------------------------------------------===//

#include "Fiber.h"

#include <sys/mman.h>

using namespace sysmol::emulator;

#if !defined(__x86_64__)
#error "The emulator switches stacks in x86-64 assembly"
#endif

extern "C" {
/// Saves the callee-saved registers on this stack, stores its pointer to
/// `*save`, and goes on at the stack `target`.
void sysmolEmulatorSwitch(void **save, void *target);
void sysmolEmulatorEnter();
}

asm(R"(
.text
.p2align 4
.hidden sysmolEmulatorSwitch
.globl sysmolEmulatorSwitch
.type sysmolEmulatorSwitch,@function
sysmolEmulatorSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size sysmolEmulatorSwitch, .-sysmolEmulatorSwitch

.hidden sysmolEmulatorEnter
.globl sysmolEmulatorEnter
.type sysmolEmulatorEnter,@function
sysmolEmulatorEnter:
  movq %r12, %rdi
  callq *%r13
  ud2
.size sysmolEmulatorEnter, .-sysmolEmulatorEnter
)");

FiberStacks::FiberStacks(size_t count) : count(count) {
  void *memory = mmap(nullptr, count * Stride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return;
  base = static_cast<uint8_t *>(memory);
  for (size_t i = 0; i < count; ++i)
    mprotect(base + i * Stride, Guard, PROT_NONE);
}

FiberStacks::~FiberStacks() {
  if (base)
    munmap(base, count * Stride);
}

void Fiber::prepare(uint8_t *stackTop, Entry entry, void *argument) {
  // What sysmolEmulatorSwitch pops, r15 first, and where it returns to; 9 slots
  // leave the stack aligned to 16 bytes there.
  auto **slots = reinterpret_cast<void **>(stackTop) - 9;
  for (int i = 0; i < 9; ++i)
    slots[i] = nullptr;
  slots[2] = reinterpret_cast<void *>(entry); // r13
  slots[3] = argument;                        // r12
  slots[6] = reinterpret_cast<void *>(&sysmolEmulatorEnter);
  own = static_cast<void *>(slots);
}

void Fiber::resume() { sysmolEmulatorSwitch(&caller, own); }

void Fiber::yield() { sysmolEmulatorSwitch(&own, caller); }
