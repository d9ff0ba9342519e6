//===- Fiber.h - Stacks that take turns -------------------------*- C++ -*-===//

#ifndef SYSMOL_LIB_EMULATOR_FIBER_H
#define SYSMOL_LIB_EMULATOR_FIBER_H

#include <cstddef>
#include <cstdint>

namespace sysmol::emulator {

/// Stacks of equal size in one mapping, each with a guard page below it.
class FiberStacks {
public:
  explicit FiberStacks(size_t count);
  ~FiberStacks();
  FiberStacks(const FiberStacks &) = delete;
  FiberStacks &operator=(const FiberStacks &) = delete;

  /// Whether the memory was to be had.
  bool valid() const { return base != nullptr; }
  size_t size() const { return count; }
  /// The end, where a stack begins.
  uint8_t *top(size_t index) const { return base + (index + 1) * Stride; }
  /// Whether `address` lies on a stack.
  bool contains(size_t index, uintptr_t address) const {
    uintptr_t end = reinterpret_cast<uintptr_t>(top(index));
    return address < end && address >= end - Stride + Guard;
  }

private:
  static constexpr size_t Guard = 4096;
  static constexpr size_t Stride = size_t(128) << 10;
  uint8_t *base = nullptr;
  size_t count;
};

/// A function with a stack of its own, which runs until it gives way.
class Fiber {
public:
  using Entry = void (*)(void *argument);

  /// Starts anew; `entry` must never return.
  void prepare(uint8_t *stackTop, Entry entry, void *argument);

  /// Runs the fiber until it calls `yield`.
  void resume();
  /// Called in the fiber: back to who resumed it.
  void yield();

private:
  void *own = nullptr;
  void *caller = nullptr;
};

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_FIBER_H
