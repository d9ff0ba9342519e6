//===- SharedShadow.h - Who touched shared memory last ----------*- C++ -*-===//
//
// Finds accesses to shared memory by different threads that no barrier orders.
// A byte remembers its last write and its readers since. Barriers of the block
// start a new block epoch; bar.warp.sync starts a new epoch of its warp. Only
// these order memory: shuffles, votes and MMAs do not, whatever one observes.
//
// A barrier of a part of the block starts an epoch too. So races across such
// barriers may be missed, but no race is reported where there is none.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_EMULATOR_SHAREDSHADOW_H
#define SYSMOL_LIB_EMULATOR_SHAREDSHADOW_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sysmol::emulator {

/// When and by whom.
struct Stamp {
  uint32_t blockEpoch = 0;
  uint32_t warpEpoch = 0;
  uint16_t warp = 0;
  uint16_t lane = 0;
  /// How often its thread had passed fence.proxy.async.
  uint32_t proxyFences = 0;
};

enum class SharedAccess : uint8_t { Read, Write, Atomic };

enum class Race : uint8_t {
  WriteAfterWrite,
  WriteAfterRead,
  ReadAfterWrite,
  /// A cp.async that was not waited for covers the byte.
  InFlight,
  /// wgmma reads it, and its writer has passed no fence.proxy.async since.
  Unfenced,
};

class SharedShadow {
public:
  void resize(size_t bytes) { cells.resize(bytes); }

  /// Notes an access. Gives the first race, with the thread on its other side.
  struct Finding {
    Race race;
    size_t offset;
    Stamp other;
    bool otherIsMany;
  };
  std::optional<Finding> access(size_t offset, size_t bytes, SharedAccess kind,
                                const Stamp &now);

  /// Who wrote a byte last, in any block of the launch.
  std::optional<Stamp> lastWrite(size_t offset) const {
    const Cell &cell = cells[offset];
    return cell.written ? std::optional(cell.write) : std::nullopt;
  }

  /// A cp.async starts: it may write from now on.
  std::optional<Finding> startCopy(size_t offset, size_t bytes,
                                   const Stamp &now);
  /// Its thread has waited for it.
  void finishCopy(size_t offset, size_t bytes, const Stamp &now);
  /// A new block begins: what was in flight is forgotten.
  void reset();

private:
  /// Which lanes read since the last write.
  enum class Readers : uint8_t { None, OneLane, OneWarp, Many };
  struct Cell {
    Stamp write;
    Stamp read;
    Readers readers = Readers::None;
    bool written = false;
    bool atomic = false;
    bool inFlight = false;
  };
  static bool ordered(const Stamp &before, bool wholeWarp, const Stamp &now);
  std::optional<Finding> check(size_t offset, size_t bytes, bool writes,
                               bool atomic, const Stamp &now) const;

  std::vector<Cell> cells;
};

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_SHAREDSHADOW_H
