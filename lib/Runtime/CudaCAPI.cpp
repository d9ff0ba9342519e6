//===- CudaCAPI.cpp - C API: kernels on NVIDIA GPUs -----------------------===//

#include "sysmol-c/Gpu.h"

#include "CAPISupport.h"
#include "sysmol/Runtime/Cuda.h"

#include <algorithm>

using namespace sysmol::runtime;

struct sysmol_gpu {
  cuda::Device D;
};
struct sysmol_gpu_module {
  cuda::Module M;
};
struct sysmol_gpu_memory {
  cuda::Memory M;
};
struct sysmol_gpu_host_memory {
  cuda::HostMemory M;
};
struct sysmol_gpu_stream {
  cuda::Stream S;
};
struct sysmol_gpu_event {
  cuda::Event E;
};

/// Gives a query's answer to a caller in C.
static Status tell(Result<bool> Done, int *Out) {
  if (!Done)
    return Done.error();
  *Out = *Done;
  return {};
}

sysmol_status sysmol_gpu_open(int index, sysmol_gpu **gpu, char *error,
                              size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu)
      return nullArgument();
    auto D = cuda::Device::open(index);
    if (!D)
      return D.error();
    *gpu = new sysmol_gpu{std::move(*D)};
    return {};
  });
}

void sysmol_gpu_destroy(sysmol_gpu *gpu) { delete gpu; }

sysmol_status sysmol_gpu_describe(const sysmol_gpu *gpu, sysmol_gpu_info *info,
                                  char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !info)
      return nullArgument();
    const cuda::DeviceInfo &I = gpu->D.info();
    *info = {I.Name.c_str(), I.Major,   I.Minor,          I.Multiprocessors,
             I.ClockKHz,     I.L2Bytes, I.MaxSharedBytes, I.MemoryBytes};
    return {};
  });
}

sysmol_status sysmol_gpu_synchronize(const sysmol_gpu *gpu, char *error,
                                     size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    return gpu ? gpu->D.synchronize() : nullArgument();
  });
}

sysmol_status sysmol_gpu_module_load(const sysmol_gpu *gpu, const void *image,
                                     size_t bytes, const char *name,
                                     sysmol_gpu_module **module, char *error,
                                     size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !image || !module)
      return nullArgument();
    auto M = gpu->D.load({static_cast<const uint8_t *>(image), bytes},
                         name ? name : "module");
    if (!M)
      return M.error();
    *module = new sysmol_gpu_module{std::move(*M)};
    return {};
  });
}

void sysmol_gpu_module_destroy(sysmol_gpu_module *module) { delete module; }

sysmol_status sysmol_gpu_module_launch(const sysmol_gpu_module *module,
                                       const sysmol_gpu_launch *launch,
                                       char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!module || !launch || !launch->kernel ||
        (!launch->parameters && launch->parameter_count))
      return nullArgument();
    auto K = module->M.kernel(launch->kernel);
    if (!K)
      return K.error();
    cuda::Dim3 Grid, Block;
    std::copy_n(launch->grid, 3, Grid.begin());
    std::copy_n(launch->block, 3, Block.begin());
    return K->launch(Grid, Block, launch->shared_bytes, launch->stream,
                     {launch->parameters, launch->parameter_count});
  });
}

sysmol_status sysmol_gpu_memory_create(const sysmol_gpu *gpu, uint64_t bytes,
                                       sysmol_gpu_memory **memory, char *error,
                                       size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !memory)
      return nullArgument();
    auto M = gpu->D.allocate(bytes);
    if (!M)
      return M.error();
    *memory = new sysmol_gpu_memory{std::move(*M)};
    return {};
  });
}

void sysmol_gpu_memory_destroy(sysmol_gpu_memory *memory) { delete memory; }

uint64_t sysmol_gpu_memory_pointer(const sysmol_gpu_memory *memory) {
  return memory->M.pointer();
}

sysmol_status sysmol_gpu_memory_write(const sysmol_gpu_memory *memory,
                                      uint64_t offset, const void *data,
                                      size_t bytes, char *error,
                                      size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!memory || (!data && bytes))
      return nullArgument();
    return memory->M.copyFrom({static_cast<const uint8_t *>(data), bytes},
                              offset);
  });
}

sysmol_status sysmol_gpu_memory_read(const sysmol_gpu_memory *memory,
                                     uint64_t offset, void *data, size_t bytes,
                                     char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!memory || (!data && bytes))
      return nullArgument();
    return memory->M.copyTo({static_cast<uint8_t *>(data), bytes}, offset);
  });
}

sysmol_status sysmol_gpu_memory_write_async(const sysmol_gpu_memory *memory,
                                            uint64_t offset, const void *data,
                                            size_t bytes, void *stream,
                                            char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!memory || (!data && bytes))
      return nullArgument();
    return memory->M.copyFromAsync({static_cast<const uint8_t *>(data), bytes},
                                   stream, offset);
  });
}

sysmol_status sysmol_gpu_memory_read_async(const sysmol_gpu_memory *memory,
                                           uint64_t offset, void *data,
                                           size_t bytes, void *stream,
                                           char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!memory || (!data && bytes))
      return nullArgument();
    return memory->M.copyToAsync({static_cast<uint8_t *>(data), bytes}, stream,
                                 offset);
  });
}

sysmol_status sysmol_gpu_host_memory_create(const sysmol_gpu *gpu,
                                            uint64_t bytes,
                                            sysmol_gpu_host_memory **memory,
                                            char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !memory)
      return nullArgument();
    auto M = gpu->D.allocateHost(bytes);
    if (!M)
      return M.error();
    *memory = new sysmol_gpu_host_memory{std::move(*M)};
    return {};
  });
}

void sysmol_gpu_host_memory_destroy(sysmol_gpu_host_memory *memory) {
  delete memory;
}

void *sysmol_gpu_host_memory_data(const sysmol_gpu_host_memory *memory) {
  return memory->M.bytes().data();
}

sysmol_status sysmol_gpu_stream_create(const sysmol_gpu *gpu,
                                       sysmol_gpu_stream **stream, char *error,
                                       size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !stream)
      return nullArgument();
    auto S = gpu->D.stream();
    if (!S)
      return S.error();
    *stream = new sysmol_gpu_stream{std::move(*S)};
    return {};
  });
}

void sysmol_gpu_stream_destroy(sysmol_gpu_stream *stream) { delete stream; }

void *sysmol_gpu_stream_handle(const sysmol_gpu_stream *stream) {
  return stream->S.handle();
}

sysmol_status sysmol_gpu_stream_synchronize(const sysmol_gpu_stream *stream,
                                            char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    return stream ? stream->S.synchronize() : nullArgument();
  });
}

sysmol_status sysmol_gpu_stream_query(const sysmol_gpu_stream *stream,
                                      int *done, char *error,
                                      size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!stream || !done)
      return nullArgument();
    return tell(stream->S.isDone(), done);
  });
}

sysmol_status sysmol_gpu_event_create(const sysmol_gpu *gpu, int timed,
                                      sysmol_gpu_event **event, char *error,
                                      size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!gpu || !event)
      return nullArgument();
    auto E = gpu->D.event(timed != 0);
    if (!E)
      return E.error();
    *event = new sysmol_gpu_event{std::move(*E)};
    return {};
  });
}

void sysmol_gpu_event_destroy(sysmol_gpu_event *event) { delete event; }

sysmol_status sysmol_gpu_event_record(const sysmol_gpu_event *event,
                                      void *stream, char *error,
                                      size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    return event ? event->E.record(stream) : nullArgument();
  });
}

sysmol_status sysmol_gpu_event_synchronize(const sysmol_gpu_event *event,
                                           char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    return event ? event->E.synchronize() : nullArgument();
  });
}

sysmol_status sysmol_gpu_event_query(const sysmol_gpu_event *event, int *done,
                                     char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!event || !done)
      return nullArgument();
    return tell(event->E.isDone(), done);
  });
}

sysmol_status sysmol_gpu_stream_wait_event(void *stream,
                                           const sysmol_gpu_event *event,
                                           char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    return event ? event->E.makeWait(stream) : nullArgument();
  });
}

sysmol_status sysmol_gpu_event_elapsed(const sysmol_gpu_event *start,
                                       const sysmol_gpu_event *end,
                                       float *milliseconds, char *error,
                                       size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!start || !end || !milliseconds)
      return nullArgument();
    auto Elapsed = end->E.since(start->E);
    if (!Elapsed)
      return Elapsed.error();
    *milliseconds = *Elapsed;
    return {};
  });
}
