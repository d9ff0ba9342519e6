//===- Streams.cpp - Streams and events of the emulated driver ------------===//
//
// Work of the legacy stream is done when it is asked for. That of other streams
// is done as late as may be, when somebody waits for it, so that who forgets to
// wait sees it; a query does one piece of it. What it did wrong shows there,
// too, and once only: on a GPU every later call would fail as well.
//
//===----------------------------------------------------------------------===//

#include "State.h"

#include <utility>

using namespace sysmol::emulator;
using namespace sysmol::emulator::driver;

//===----------------------------------------------------------------------===//
// Work; the state is locked
//===----------------------------------------------------------------------===//

bool driver::isLegacy(void *handle) {
  return reinterpret_cast<uintptr_t>(handle) <= 2;
}

Stream *driver::findStream(void *handle) {
  auto found = state().streams.find(handle);
  return found == state().streams.end() ? nullptr : &found->second;
}

/// Does the first piece.
static void step(Stream &stream) {
  Work work = std::move(stream.work.front());
  stream.work.pop_front();
  if (Moment *moment = work.moment.get()) {
    moment->when = std::chrono::steady_clock::now();
    moment->fault = stream.fault;
    moment->isDone = true;
  } else if (!stream.fault) {
    stream.fault = work.run();
  }
}

/// Gives what the moment's work ran into. No two streams can wait for each
/// other: what is waited for was recorded before.
static int finish(Moment &moment) {
  while (!moment.isDone)
    step(*findStream(moment.stream));
  return moment.fault;
}

int driver::finish(Stream &stream) {
  while (!stream.work.empty())
    step(stream);
  return std::exchange(stream.fault, Success);
}

void driver::finishAll() {
  for (auto &[handle, stream] : state().streams)
    while (!stream.work.empty())
      step(stream);
}

static void finishForLegacy() {
  for (auto &[handle, stream] : state().streams)
    while (stream.isBlocking && !stream.work.empty())
      step(stream);
}

/// Adds a piece to a stream's work.
static int submit(void *handle, Work work) {
  if (isLegacy(handle)) {
    finishForLegacy();
    Stream legacy;
    legacy.work.push_back(std::move(work));
    return finish(legacy);
  }
  Stream *stream = findStream(handle);
  if (!stream)
    return InvalidHandle;
  // Copies and events are no part of graphs here.
  if (stream->graph)
    return CaptureUnsupported;
  stream->work.push_back(std::move(work));
  return Success;
}

int driver::submit(void *handle, std::function<int()> run) {
  return ::submit(handle, Work{std::move(run), nullptr});
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

SYSMOL_DRIVER cuStreamCreate(void **stream, unsigned flags) {
  constexpr unsigned kNonBlocking = 1;
  // Never used again, so that a stream that is gone is found out.
  static uintptr_t last = 0x1000;
  std::lock_guard<std::mutex> lock(state().mutex);
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  *stream = reinterpret_cast<void *>(last += 16);
  state().streams[*stream].isBlocking = !(flags & kNonBlocking);
  return Success;
}

SYSMOL_DRIVER cuStreamDestroy_v2(void *handle) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Stream *stream = findStream(handle);
  if (!stream)
    return InvalidHandle;
  int code = finish(*stream);
  state().streams.erase(handle);
  return code;
}

SYSMOL_DRIVER cuStreamSynchronize(void *handle) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isLegacy(handle)) {
    finishForLegacy();
    return Success;
  }
  Stream *stream = findStream(handle);
  if (!stream)
    return InvalidHandle;
  return stream->graph ? int(CaptureUnsupported) : finish(*stream);
}

SYSMOL_DRIVER cuStreamQuery(void *handle) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Stream *stream = findStream(handle);
  if (!stream)
    return isLegacy(handle) ? Success : InvalidHandle;
  if (stream->graph)
    return CaptureUnsupported;
  if (stream->work.empty())
    return finish(*stream);
  step(*stream);
  return NotReady;
}

static Event *findEvent(void *handle) {
  auto found = state().events.find(static_cast<Event *>(handle));
  return found == state().events.end() ? nullptr : found->second.get();
}

SYSMOL_DRIVER cuStreamWaitEvent(void *stream, void *handle, unsigned) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Event *event = findEvent(handle);
  if (!event)
    return InvalidHandle;
  return submit(stream, [moment = event->moment] {
    return moment ? finish(*moment) : int(Success);
  });
}

SYSMOL_DRIVER cuEventCreate(void **event, unsigned flags) {
  constexpr unsigned kDisableTiming = 2;
  std::lock_guard<std::mutex> lock(state().mutex);
  auto made = std::make_unique<Event>();
  made->isTimed = !(flags & kDisableTiming);
  *event = made.get();
  state().events[made.get()] = std::move(made);
  return Success;
}

SYSMOL_DRIVER cuEventDestroy_v2(void *event) {
  std::lock_guard<std::mutex> lock(state().mutex);
  return state().events.erase(static_cast<Event *>(event)) ? Success
                                                           : InvalidHandle;
}

SYSMOL_DRIVER cuEventRecord(void *handle, void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Event *event = findEvent(handle);
  if (!event)
    return InvalidHandle;
  auto moment = std::make_shared<Moment>();
  moment->stream = stream;
  int code = submit(stream, Work{nullptr, moment});
  if (!code)
    event->moment = std::move(moment);
  return code;
}

SYSMOL_DRIVER cuEventSynchronize(void *handle) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Event *event = findEvent(handle);
  if (!event)
    return InvalidHandle;
  return event->moment ? finish(*event->moment) : int(Success);
}

SYSMOL_DRIVER cuEventQuery(void *handle) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Event *event = findEvent(handle);
  if (!event)
    return InvalidHandle;
  Moment *moment = event->moment.get();
  if (!moment || moment->isDone)
    return moment ? moment->fault : int(Success);
  step(*findStream(moment->stream));
  return NotReady;
}

SYSMOL_DRIVER cuEventElapsedTime(float *milliseconds, void *start, void *end) {
  std::lock_guard<std::mutex> lock(state().mutex);
  const Event *events[] = {findEvent(start), findEvent(end)};
  for (const Event *event : events)
    if (!event || !event->isTimed || !event->moment)
      return InvalidHandle;
  if (!events[0]->moment->isDone || !events[1]->moment->isDone)
    return NotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(
                      events[1]->moment->when - events[0]->moment->when)
                      .count();
  return Success;
}
