//===- Machine.cpp - Threads, blocks and their memory ---------------------===//
//
// A thread runs until it comes to an operation of its warp or block. When no
// thread of a warp can go on, those that wait for the same thing are served.
// Where nobody can go on and somebody still waits, a participant is missing.
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>

using namespace sysmol::emulator;

SharedWindow::SharedWindow(size_t bytes) : bytes(bytes) {
  void *where = mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (where == MAP_FAILED)
    return;
  reserved = static_cast<uint8_t *>(where);
  auto address = reinterpret_cast<uint64_t>(reserved);
  memory = reserved + (llvm::alignTo(address, bytes) - address);
}

SharedWindow::~SharedWindow() {
  if (reserved)
    munmap(reserved, 2 * bytes);
}

//===----------------------------------------------------------------------===//
// Faults
//===----------------------------------------------------------------------===//

static std::string text(const Dim3 &d) {
  return ("(" + llvm::Twine(d[0]) + "," + llvm::Twine(d[1]) + "," +
          llvm::Twine(d[2]) + ")")
      .str();
}

std::string Machine::place(const Thread &thread) const {
  return "kernel '" + kernelName + "', block " + text(blockIndex) +
         ", thread " + text(thread.id);
}

void Machine::fail(const Thread &thread, const llvm::Twine &message) {
  if (fault.empty())
    fault = place(thread) + ": " + message.str();
}

void Machine::reportRace(const Thread &thread,
                         const SharedShadow::Finding &finding) {
  llvm::StringRef what;
  switch (finding.race) {
  case Race::WriteAfterWrite:
    what = "writes where no barrier since orders a write";
    break;
  case Race::WriteAfterRead:
    what = "writes where no barrier since orders a read";
    break;
  case Race::ReadAfterWrite:
    what = "reads where no barrier since orders a write";
    break;
  case Race::InFlight:
    what = "touches what a cp.async still copies, started";
    break;
  case Race::Unfenced:
    what = "wgmma reads where no fence.proxy.async is behind a write";
    break;
  }
  std::string who = "warp " + std::to_string(finding.other.warp);
  if (!finding.otherIsMany)
    who += " lane " + std::to_string(finding.other.lane);
  fail(thread, "race at byte " + llvm::Twine(finding.offset) +
                   " of shared memory: " + what + " by " + who);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

bool Machine::inShared(uint64_t address) const {
  auto base = reinterpret_cast<uint64_t>(shared.data());
  return address >= base && address < base + shared.size();
}

Stamp Machine::stamp(const Thread &thread) const {
  return {blockEpoch, warpEpochs[thread.warp()],
          static_cast<uint16_t>(thread.warp()),
          static_cast<uint16_t>(thread.lane()), thread.proxyFences};
}

static llvm::StringRef verb(AccessKind kind) {
  switch (kind) {
  case AccessKind::Read:
  case AccessKind::ReadByProxy:
    return "reads";
  case AccessKind::Write:
    return "writes";
  case AccessKind::Atomic:
    return "updates";
  }
  return "";
}

bool Machine::checkShared(const Thread &thread, uint64_t address,
                          uint64_t bytes, AccessKind kind) {
  uint64_t offset = address - reinterpret_cast<uint64_t>(shared.data());
  if (offset + bytes > sharedLimit) {
    fail(thread, verb(kind) + " " + llvm::Twine(bytes) + " bytes at byte " +
                     llvm::Twine(offset) + " of shared memory; the block has " +
                     llvm::Twine(sharedLimit));
    return false;
  }
  bool reads = kind == AccessKind::Read || kind == AccessKind::ReadByProxy;
  SharedAccess how = reads                       ? SharedAccess::Read
                     : kind == AccessKind::Write ? SharedAccess::Write
                                                 : SharedAccess::Atomic;
  if (auto finding = shadow.access(offset, bytes, how, stamp(thread))) {
    reportRace(thread, *finding);
    return false;
  }
  for (uint64_t i = offset;
       kind == AccessKind::ReadByProxy && i < offset + bytes; ++i) {
    std::optional<Stamp> write = shadow.lastWrite(i);
    if (!write || write->blockEpoch < firstEpoch ||
        threads[write->warp * 32 + write->lane].proxyFences >
            write->proxyFences)
      continue;
    reportRace(thread, {Race::Unfenced, i, *write, false});
    return false;
  }
  (reads ? statistics.sharedBytesRead : statistics.sharedBytesWritten) += bytes;
  return true;
}

uint8_t *Machine::access(Thread &thread, uint64_t address, uint64_t bytes,
                         uint64_t align, AccessKind kind) {
  uint8_t *pointer = hostPointer(address);
  if (address % align) {
    fail(thread, verb(kind) + " " + llvm::Twine(bytes) +
                     " bytes at an address that is no multiple of " +
                     llvm::Twine(align));
    return nullptr;
  }
  if (inShared(address))
    return checkShared(thread, address, bytes, kind) ? pointer : nullptr;
  if (stacks->contains(thread.index, address))
    return pointer;

  const Buffer *near = nullptr;
  for (const Buffer &buffer : buffers) {
    auto begin = reinterpret_cast<uint64_t>(buffer.bytes.data());
    if (address >= begin && address + bytes <= begin + buffer.bytes.size()) {
      (kind == AccessKind::Read ? statistics.globalBytesRead
                                : statistics.globalBytesWritten) += bytes;
      return pointer;
    }
    // The last that begins before it is the likely one.
    if (address >= begin &&
        (!near || begin > reinterpret_cast<uint64_t>(near->bytes.data())))
      near = &buffer;
  }
  std::string where = "outside every buffer";
  if (near)
    where += " (byte " +
             std::to_string(address -
                            reinterpret_cast<uint64_t>(near->bytes.data())) +
             " from the start of '" + near->name.str() + "', which has " +
             std::to_string(near->bytes.size()) + ")";
  fail(thread, verb(kind) + " " + llvm::Twine(bytes) + " bytes " + where);
  return nullptr;
}

void Machine::check(uint64_t address, uint64_t bytes, uint64_t align,
                    AccessKind kind) {
  Thread &thread = *current;
  if (!access(thread, address, bytes, align, kind))
    thread.fiber.yield(); // Never resumed: the launch has failed.
}

void Machine::startCopy(Thread &thread, const AsyncCopy &copy) {
  if (!inShared(copy.target)) {
    fail(thread, "cp.async to an address outside shared memory");
    return;
  }
  if (copy.target % copy.bytes || copy.source % copy.bytes) {
    fail(thread, "cp.async of " + llvm::Twine(copy.bytes) +
                     " bytes at an address that is no multiple of it");
    return;
  }
  uint64_t offset = copy.target - reinterpret_cast<uint64_t>(shared.data());
  if (offset + copy.bytes > sharedLimit) {
    fail(thread, "cp.async writes " + llvm::Twine(copy.bytes) +
                     " bytes at byte " + llvm::Twine(offset) +
                     " of shared memory; the block has " +
                     llvm::Twine(sharedLimit));
    return;
  }
  if (copy.sourceBytes &&
      !access(thread, copy.source, copy.sourceBytes, 1, AccessKind::Read))
    return;
  if (auto finding = shadow.startCopy(offset, copy.bytes, stamp(thread))) {
    reportRace(thread, *finding);
    return;
  }
  statistics.sharedBytesWritten += copy.bytes;
  thread.copies.push_back(copy);
}

void Machine::finishCopies(Thread &thread, size_t groupsThatMayStay) {
  while (thread.copyGroups.size() > groupsThatMayStay) {
    for (const AsyncCopy &copy : thread.copyGroups.front()) {
      uint8_t *target = hostPointer(copy.target);
      if (copy.sourceBytes)
        std::memcpy(target, hostPointer(copy.source), copy.sourceBytes);
      std::memset(target + copy.sourceBytes, 0, copy.bytes - copy.sourceBytes);
      shadow.finishCopy(target - shared.data(), copy.bytes, stamp(thread));
    }
    thread.copyGroups.pop_front();
  }
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

void Machine::call(Site &site, const Slot *arguments, Slot *results) {
  Thread &thread = *current;
  if (site.operation.scope == Operation::Scope::Thread) {
    ++site.executions;
    site.operation.run(*this, thread, arguments, results);
    if (failed())
      thread.fiber.yield();
    return;
  }
  thread.site = &site;
  thread.arguments = arguments;
  thread.results = results;
  thread.state = Thread::State::Waiting;
  thread.fiber.yield();
}

static bool waitsFor(const Thread &thread, Operation::Scope scope) {
  return thread.state == Thread::State::Waiting &&
         thread.site->operation.scope == scope;
}

/// Serves the operation at which `first` waits, if all that it needs are there.
bool Machine::meetLanes(uint32_t warp, Thread &first) {
  const Operation &operation = first.site->operation;
  uint32_t begin = warp * 32;
  uint32_t mask = ~0u;
  if (operation.scope == Operation::Scope::Mask) {
    mask = static_cast<uint32_t>(first.arguments[operation.maskArgument]);
    if (!(mask >> first.lane() & 1)) {
      fail(first, operation.name + " with a mask that leaves out its own lane");
      return false;
    }
  }
  Team team;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    if (begin + lane >= threads.size()) {
      fail(first, operation.name + " needs lane " + llvm::Twine(lane) +
                      ", which the last warp of this block does not have");
      return false;
    }
    Thread &thread = threads[begin + lane];
    if (thread.state != Thread::State::Waiting)
      return false;
    // Instructions of a whole warp must be the same one; others need only be
    // of the same kind.
    bool same = operation.scope == Operation::Scope::Warp
                    ? thread.site == first.site
                    : thread.site->operation.name == operation.name &&
                          static_cast<uint32_t>(
                              thread.arguments[operation.maskArgument]) == mask;
    if (!same)
      return false;
    team[lane] = {&thread, thread.arguments, thread.results};
  }
  ++first.site->executions;
  if (operation.runTogether)
    operation.runTogether(*this, team);
  if (operation.ordersMemory)
    ++warpEpochs[warp];
  for (Participant &participant : team)
    if (participant)
      participant.thread->state = Thread::State::Ready;
  return !failed();
}

bool Machine::meetInWarp(uint32_t warp) {
  uint32_t begin = warp * 32;
  uint32_t end = std::min<uint32_t>(begin + 32, threads.size());
  for (uint32_t i = begin; i < end && !failed(); ++i)
    if (waitsFor(threads[i], Operation::Scope::Warp) ||
        waitsFor(threads[i], Operation::Scope::Mask))
      if (meetLanes(warp, threads[i]))
        return true;
  return false;
}

/// Serves the operation at which a warpgroup waits, if all of it does.
bool Machine::meetInGroup(uint32_t firstWarp) {
  Warpgroup group;
  uint32_t begin = firstWarp * 32;
  auto waiting = [&](const Thread &thread) {
    return waitsFor(thread, Operation::Scope::Warpgroup);
  };
  size_t here = std::min(group.size(), threads.size() - begin);
  auto members = llvm::MutableArrayRef<Thread>(threads).slice(begin, here);
  const Thread *first = llvm::find_if(members, waiting);
  if (first == members.end())
    return false;
  if (here < group.size()) {
    fail(*first, first->site->operation.name + " needs four warps from warp " +
                     llvm::Twine(firstWarp) + "; this block has " +
                     llvm::Twine(here / 32) + " from there");
    return false;
  }
  for (auto [member, thread] : llvm::zip_equal(group, members)) {
    if (!waiting(thread) || thread.site != first->site)
      return false;
    member = {&thread, thread.arguments, thread.results};
  }
  ++first->site->executions;
  first->site->operation.runAsGroup(*this, group);
  for (Thread &thread : members)
    thread.state = Thread::State::Ready;
  return !failed();
}

bool Machine::runWarp(uint32_t warp) {
  uint32_t begin = warp * 32;
  uint32_t end = std::min<uint32_t>(begin + 32, threads.size());
  bool progress = false;
  do {
    for (uint32_t i = begin; i < end && !failed(); ++i) {
      if (threads[i].state != Thread::State::Ready)
        continue;
      progress = true;
      current = &threads[i];
      threads[i].fiber.resume();
    }
  } while (!failed() && meetInWarp(warp));
  return progress;
}

void Machine::releaseBarrier(llvm::ArrayRef<Thread *> waiting) {
  const Operation &operation = waiting.front()->site->operation;
  uint64_t truths = 0;
  if (operation.barrier != Operation::Barrier::Sync)
    for (Thread *thread : waiting)
      truths += thread->arguments[operation.arguments - 1] & 1;
  uint64_t result = 0;
  switch (operation.barrier) {
  case Operation::Barrier::Sync:
    break;
  case Operation::Barrier::And:
    result = truths == waiting.size();
    break;
  case Operation::Barrier::Or:
    result = truths != 0;
    break;
  case Operation::Barrier::Popc:
    result = truths;
    break;
  }
  ++waiting.front()->site->executions;
  for (Thread *thread : waiting) {
    if (operation.results)
      thread->results[0] = result;
    thread->state = Thread::State::Ready;
  }
  ++blockEpoch;
}

bool Machine::meetInBlock() {
  std::map<uint64_t, llvm::SmallVector<Thread *>> barriers;
  for (Thread &thread : threads)
    if (waitsFor(thread, Operation::Scope::Block))
      barriers[static_cast<uint32_t>(thread.arguments[0])].push_back(&thread);
  for (auto &[number, waiting] : barriers) {
    const Operation &operation = waiting.front()->site->operation;
    auto needed = [&](const Thread &thread) -> uint64_t {
      return thread.site->operation.barrierHasCount
                 ? static_cast<uint32_t>(thread.arguments[1])
                 : threads.size();
    };
    uint64_t count = needed(*waiting.front());
    for (Thread *thread : waiting) {
      if (thread->site->operation.name != operation.name ||
          needed(*thread) != count) {
        fail(*thread, "waits at barrier " + llvm::Twine(number) + " by " +
                          thread->site->operation.name + " for " +
                          llvm::Twine(needed(*thread)) +
                          " threads, others by " + operation.name + " for " +
                          llvm::Twine(count));
        return false;
      }
    }
    if (waiting.size() == count) {
      releaseBarrier(waiting);
      return true;
    }
  }
  return false;
}

/// Says of the first warp that is stuck which lanes are where.
void Machine::reportDeadlock() {
  auto stuck = llvm::find_if(threads, [](const Thread &thread) {
    return thread.state == Thread::State::Waiting;
  });
  uint32_t begin = stuck->warp() * 32;
  std::map<std::string, llvm::SmallVector<uint32_t>> places;
  for (uint32_t i = begin; i < std::min<uint32_t>(begin + 32, threads.size());
       ++i) {
    const Thread &thread = threads[i];
    std::string where = thread.state == Thread::State::Done
                            ? "have returned"
                            : "wait at " + thread.site->operation.name;
    places[where].push_back(thread.lane());
  }
  std::string message;
  for (auto &[where, lanes] : places) {
    if (!message.empty())
      message += "; ";
    message += "lanes ";
    // Runs of numbers as 0-15.
    for (size_t i = 0; i < lanes.size();) {
      size_t j = i;
      while (j + 1 < lanes.size() && lanes[j + 1] == lanes[j] + 1)
        ++j;
      message += (i ? "," : "") + std::to_string(lanes[i]);
      if (j > i)
        message += "-" + std::to_string(lanes[j]);
      i = j + 1;
    }
    message += " " + where;
  }
  size_t others = llvm::count_if(threads, [&](const Thread &thread) {
    return thread.warp() != stuck->warp() &&
           thread.state == Thread::State::Done;
  });
  if (others)
    message +=
        "; " + std::to_string(others) + " threads of other warps have returned";
  fail(*stuck,
       "waits forever in warp " + llvm::Twine(stuck->warp()) + ": " + message);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

void Machine::enter(void *argument) {
  auto &thread = *static_cast<Thread *>(argument);
  Machine &machine = *thread.machine;
  machine.kernel(machine.parameters);
  if (thread.wgmmaOpen || thread.wgmmaGroups)
    machine.fail(thread, "returns before it has waited for its wgmma");
  thread.state = Thread::State::Done;
  thread.fiber.yield();
}

void Machine::runBlock() {
  // What a GPU leaves there is anything: a pattern makes it show.
  std::memset(shared.data(), 0xa5, sharedLimit);
  firstEpoch = ++blockEpoch;
  bool copiesLeft = false;
  for (Thread &thread : threads) {
    copiesLeft |= !thread.copies.empty() || !thread.copyGroups.empty();
    thread.copies.clear();
    thread.copyGroups.clear();
    thread.state = Thread::State::Ready;
    thread.fiber.prepare(stacks->top(thread.index), &Machine::enter, &thread);
  }
  if (copiesLeft)
    shadow.reset();
  if (config.scheduleSeed)
    std::shuffle(warpOrder.begin(), warpOrder.end(), *random);

  while (!failed()) {
    bool progress = false;
    for (uint32_t warp : warpOrder) {
      progress |= runWarp(warp);
      if (failed())
        return;
    }
    for (uint32_t warp = 0; warp < warpOrder.size() && !failed(); warp += 4)
      progress |= meetInGroup(warp);
    progress |= !failed() && meetInBlock();
    if (failed() || progress)
      continue;
    if (llvm::all_of(threads, [](const Thread &thread) {
          return thread.state == Thread::State::Done;
        }))
      return;
    reportDeadlock();
  }
}

llvm::Error Machine::run(Kernel entry, llvm::StringRef name,
                         const LaunchConfig &launchConfig,
                         uint64_t staticSharedBytes, const void *const *values,
                         llvm::ArrayRef<Buffer> launchBuffers) {
  auto fail = [&](FaultKind kind, const llvm::Twine &message) {
    return llvm::make_error<EmulatorError>(
        kind, ("kernel '" + name + "': " + message).str());
  };
  auto usage = [&](const llvm::Twine &message) {
    return fail(FaultKind::Usage, message);
  };
  config = launchConfig;
  for (const Dim3 &dim : {config.grid, config.block})
    if (llvm::is_contained(dim, 0u))
      return usage("a grid and a block have at least one in each direction");
  uint64_t count =
      uint64_t(config.block[0]) * config.block[1] * config.block[2];
  if (config.block[0] > MaxThreads || config.block[1] > MaxThreads ||
      config.block[2] > 64 || count > MaxThreads)
    return usage("a block of " + llvm::Twine(count) +
                 " threads; at most 1024 are possible, 64 of them along z");
  if (!shared.data())
    return fail(FaultKind::Limit,
                "no memory below 4 GiB for the shared memory");
  uint64_t most = std::min<uint64_t>(config.maxSharedBytes, shared.size());
  if (config.sharedBytes > most ||
      staticSharedBytes + config.sharedBytes > most)
    return usage(llvm::Twine(staticSharedBytes + config.sharedBytes) +
                 " bytes of shared memory; at most " + llvm::Twine(most) +
                 " are possible");

  kernel = entry;
  kernelName = name.str();
  parameters = values;
  buffers.assign(launchBuffers.begin(), launchBuffers.end());
  sharedLimit = staticSharedBytes + config.sharedBytes;
  shadow.resize(sharedLimit);
  shadow.reset();
  fault.clear();
  statistics = {};
  random.emplace(config.scheduleSeed);
  if (!stacks || stacks->size() < count)
    stacks = std::make_unique<FiberStacks>(count);
  if (!stacks->valid()) {
    stacks.reset();
    return fail(FaultKind::Limit, "no memory for the stacks of its threads");
  }

  threads = std::vector<Thread>(count);
  for (uint32_t i = 0; i < count; ++i) {
    threads[i].machine = this;
    threads[i].index = i;
    threads[i].id = {i % config.block[0], i / config.block[0] % config.block[1],
                     i / config.block[0] / config.block[1]};
  }
  uint32_t warps = (count + 31) / 32;
  warpEpochs.assign(warps, 0);
  warpOrder.resize(warps);
  for (uint32_t i = 0; i < warps; ++i)
    warpOrder[i] = i;

  uint64_t blocks = uint64_t(config.grid[0]) * config.grid[1] * config.grid[2];
  std::vector<uint64_t> order(config.scheduleSeed ? blocks : 0);
  for (uint64_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::shuffle(order.begin(), order.end(), *random);
  for (uint64_t i = 0; i < blocks; ++i) {
    uint64_t block = order.empty() ? i : order[i];
    blockIndex = {
        static_cast<uint32_t>(block % config.grid[0]),
        static_cast<uint32_t>(block / config.grid[0] % config.grid[1]),
        static_cast<uint32_t>(block / config.grid[0] / config.grid[1])};
    runBlock();
    if (failed())
      return llvm::make_error<EmulatorError>(FaultKind::Kernel, fault);
  }
  return llvm::Error::success();
}
