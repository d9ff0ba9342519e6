//===- SharedShadow.cpp - Who touched shared memory last ------------------===//

#include "SharedShadow.h"

#include "llvm/ADT/ArrayRef.h"

#include <algorithm>

using namespace sysmol::emulator;

bool SharedShadow::ordered(const Stamp &before, bool wholeWarp,
                           const Stamp &now) {
  if (before.blockEpoch != now.blockEpoch)
    return true;
  if (before.warp != now.warp)
    return false;
  return before.warpEpoch != now.warpEpoch ||
         (!wholeWarp && before.lane == now.lane);
}

std::optional<SharedShadow::Finding>
SharedShadow::check(size_t offset, size_t bytes, bool writes, bool atomic,
                    const Stamp &now) const {
  for (size_t i = offset; i < offset + bytes; ++i) {
    const Cell &cell = cells[i];
    if (cell.inFlight)
      return Finding{Race::InFlight, i, cell.write, false};
    if (cell.written && !(atomic && cell.atomic) &&
        !ordered(cell.write, false, now))
      return Finding{writes ? Race::WriteAfterWrite : Race::ReadAfterWrite, i,
                     cell.write, false};
    if (!writes || cell.readers == Readers::None)
      continue;
    bool fine = cell.readers == Readers::Many
                    ? cell.read.blockEpoch != now.blockEpoch
                    : ordered(cell.read, cell.readers == Readers::OneWarp, now);
    if (!fine)
      return Finding{Race::WriteAfterRead, i, cell.read,
                     cell.readers != Readers::OneLane};
  }
  return std::nullopt;
}

std::optional<SharedShadow::Finding> SharedShadow::access(size_t offset,
                                                          size_t bytes,
                                                          SharedAccess kind,
                                                          const Stamp &now) {
  bool writes = kind != SharedAccess::Read;
  bool atomic = kind == SharedAccess::Atomic;
  auto finding = check(offset, bytes, writes, atomic, now);
  if (finding)
    return finding;
  for (Cell &cell : llvm::MutableArrayRef<Cell>(cells).slice(offset, bytes)) {
    if (writes) {
      cell.write = now;
      cell.written = true;
      cell.atomic = atomic;
      cell.readers = Readers::None;
      continue;
    }
    Stamp before = cell.read;
    cell.read = now;
    bool concurrent =
        cell.readers != Readers::None && before.blockEpoch == now.blockEpoch;
    if (concurrent &&
        (cell.readers == Readers::Many || before.warp != now.warp))
      cell.readers = Readers::Many;
    else if (concurrent && before.warpEpoch == now.warpEpoch &&
             (cell.readers == Readers::OneWarp || before.lane != now.lane))
      cell.readers = Readers::OneWarp;
    else
      cell.readers = Readers::OneLane;
  }
  return std::nullopt;
}

std::optional<SharedShadow::Finding>
SharedShadow::startCopy(size_t offset, size_t bytes, const Stamp &now) {
  auto finding = check(offset, bytes, /*writes=*/true, /*atomic=*/false, now);
  if (finding)
    return finding;
  for (Cell &cell : llvm::MutableArrayRef<Cell>(cells).slice(offset, bytes)) {
    cell.write = now;
    cell.inFlight = true;
  }
  return std::nullopt;
}

void SharedShadow::finishCopy(size_t offset, size_t bytes, const Stamp &now) {
  for (Cell &cell : llvm::MutableArrayRef<Cell>(cells).slice(offset, bytes)) {
    cell.write = now;
    cell.written = true;
    cell.atomic = false;
    cell.inFlight = false;
    cell.readers = Readers::None;
  }
}

void SharedShadow::reset() { std::fill(cells.begin(), cells.end(), Cell()); }
