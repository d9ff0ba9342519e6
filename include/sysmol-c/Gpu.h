/*===- Gpu.h - C API: kernels on NVIDIA GPUs ----------------------*- C -*-===*\
|*                                                                            *|
|* Loads PTX or cubins and launches their kernels through the GPU's driver,   *|
|* libcuda.so.1, which is opened by sysmol_gpu_open(): a machine without one  *|
|* gives SYSMOL_LIMIT. Part of libsysmol-runtime; see Runtime.h for how       *|
|* errors are told.                                                           *|
|*                                                                            *|
|* The device's primary context is used, the one of the CUDA runtime and of   *|
|* PyTorch: pointers and streams of theirs may be passed in. Streams are      *|
|* CUstream handles; NULL is the legacy default stream.                       *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SYSMOL_C_GPU_H
#define SYSMOL_C_GPU_H

#include "sysmol-c/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A device. What is made from it keeps it alive. */
typedef struct sysmol_gpu sysmol_gpu;
/** Loaded code; its kernels live as long. */
typedef struct sysmol_gpu_module sysmol_gpu_module;
/** Memory of a device. */
typedef struct sysmol_gpu_memory sysmol_gpu_memory;
/** Page-locked memory of the host. */
typedef struct sysmol_gpu_host_memory sysmol_gpu_host_memory;
/** Work in order. It does not wait for that of the legacy stream, nor does
 *  that for it. */
typedef struct sysmol_gpu_stream sysmol_gpu_stream;
/** A moment in a stream. */
typedef struct sysmol_gpu_event sysmol_gpu_event;

/** What a device is; `name` belongs to it. */
typedef struct sysmol_gpu_info {
  const char *name;
  int major, minor;
  int multiprocessors;
  int clock_khz;
  int l2_bytes;
  int max_shared_bytes;
  uint64_t memory_bytes;
} sysmol_gpu_info;

/** A launch of a kernel; `parameters` points to the value of each parameter. */
typedef struct sysmol_gpu_launch {
  const char *kernel;
  uint32_t grid[3];
  uint32_t block[3];
  uint64_t shared_bytes;
  void *stream;
  void *const *parameters;
  size_t parameter_count;
} sysmol_gpu_launch;

/** The device of this number; 0 is the first. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_open(int index, sysmol_gpu **gpu,
                                            char *error, size_t error_bytes);
SYSMOL_EXPORT void sysmol_gpu_destroy(sysmol_gpu *gpu);
SYSMOL_EXPORT sysmol_status sysmol_gpu_describe(const sysmol_gpu *gpu,
                                                sysmol_gpu_info *info,
                                                char *error,
                                                size_t error_bytes);
/** Waits for all work of the device; tells what asynchronous work ran into. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_synchronize(const sysmol_gpu *gpu,
                                                   char *error,
                                                   size_t error_bytes);

/** Loads PTX text or a cubin of `bytes` bytes; `name` is what errors call it,
 *  or NULL. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_module_load(
    const sysmol_gpu *gpu, const void *image, size_t bytes, const char *name,
    sysmol_gpu_module **module, char *error, size_t error_bytes);
SYSMOL_EXPORT void sysmol_gpu_module_destroy(sysmol_gpu_module *module);
/** Starts a kernel; returns before it has run. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_module_launch(
    const sysmol_gpu_module *module, const sysmol_gpu_launch *launch,
    char *error, size_t error_bytes);

SYSMOL_EXPORT sysmol_status sysmol_gpu_memory_create(const sysmol_gpu *gpu,
                                                     uint64_t bytes,
                                                     sysmol_gpu_memory **memory,
                                                     char *error,
                                                     size_t error_bytes);
SYSMOL_EXPORT void sysmol_gpu_memory_destroy(sysmol_gpu_memory *memory);
/** The address on the device, to be passed to kernels; `memory` is not NULL. */
SYSMOL_EXPORT uint64_t
sysmol_gpu_memory_pointer(const sysmol_gpu_memory *memory);
/** Copies to and from the device; both wait until it is done, but not for
    kernels in other streams than the legacy one. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_memory_write(
    const sysmol_gpu_memory *memory, uint64_t offset, const void *data,
    size_t bytes, char *error, size_t error_bytes);
SYSMOL_EXPORT sysmol_status sysmol_gpu_memory_read(
    const sysmol_gpu_memory *memory, uint64_t offset, void *data, size_t bytes,
    char *error, size_t error_bytes);
/** The same as work of a stream, by its handle; what goes wrong later is told
 *  by who waits for it. The host's memory must stay, and what is written must
 *  not change, until the stream has come past the copy. Only page-locked memory
 *  is sure not to block: with other memory these may wait for the copy and for
 *  what the stream has before it. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_memory_write_async(
    const sysmol_gpu_memory *memory, uint64_t offset, const void *data,
    size_t bytes, void *stream, char *error, size_t error_bytes);
SYSMOL_EXPORT sysmol_status sysmol_gpu_memory_read_async(
    const sysmol_gpu_memory *memory, uint64_t offset, void *data, size_t bytes,
    void *stream, char *error, size_t error_bytes);

SYSMOL_EXPORT sysmol_status sysmol_gpu_host_memory_create(
    const sysmol_gpu *gpu, uint64_t bytes, sysmol_gpu_host_memory **memory,
    char *error, size_t error_bytes);
/** Not before copies from or to it are done. */
SYSMOL_EXPORT void
sysmol_gpu_host_memory_destroy(sysmol_gpu_host_memory *memory);
/** The first byte; `memory` is not NULL. */
SYSMOL_EXPORT void *
sysmol_gpu_host_memory_data(const sysmol_gpu_host_memory *memory);

SYSMOL_EXPORT sysmol_status sysmol_gpu_stream_create(const sysmol_gpu *gpu,
                                                     sysmol_gpu_stream **stream,
                                                     char *error,
                                                     size_t error_bytes);
/** What is in it is done all the same, and needs its memory and modules until
 *  then; what that runs into is not told any more. Synchronize first. */
SYSMOL_EXPORT void sysmol_gpu_stream_destroy(sysmol_gpu_stream *stream);
/** The CUstream, for functions that take a `void *stream` and for other
 *  libraries; `stream` is not NULL. */
SYSMOL_EXPORT void *sysmol_gpu_stream_handle(const sysmol_gpu_stream *stream);
/** Waits for all work in it; tells what the work ran into. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_stream_synchronize(
    const sysmol_gpu_stream *stream, char *error, size_t error_bytes);
/** Sets `done` to 1 where all work in it is done, else to 0; does not wait. */
SYSMOL_EXPORT sysmol_status
sysmol_gpu_stream_query(const sysmol_gpu_stream *stream, int *done, char *error,
                        size_t error_bytes);

/** `timed` not 0: for sysmol_gpu_event_elapsed(). */
SYSMOL_EXPORT sysmol_status sysmol_gpu_event_create(const sysmol_gpu *gpu,
                                                    int timed,
                                                    sysmol_gpu_event **event,
                                                    char *error,
                                                    size_t error_bytes);
SYSMOL_EXPORT void sysmol_gpu_event_destroy(sysmol_gpu_event *event);
/** The moment when all is done that was put into the stream before. */
SYSMOL_EXPORT sysmol_status
sysmol_gpu_event_record(const sysmol_gpu_event *event, void *stream,
                        char *error, size_t error_bytes);
/** Waits for the moment; an event that was not recorded is as one that has
 *  passed, here and below. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_event_synchronize(
    const sysmol_gpu_event *event, char *error, size_t error_bytes);
/** Sets `done` to 1 where the moment has passed, else to 0; does not wait. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_event_query(
    const sysmol_gpu_event *event, int *done, char *error, size_t error_bytes);
/** What is put into the stream from now on begins after the moment; the caller
 *  does not wait. */
SYSMOL_EXPORT sysmol_status
sysmol_gpu_stream_wait_event(void *stream, const sysmol_gpu_event *event,
                             char *error, size_t error_bytes);
/** Waits for both events, which must be timed and recorded. */
SYSMOL_EXPORT sysmol_status sysmol_gpu_event_elapsed(
    const sysmol_gpu_event *start, const sysmol_gpu_event *end,
    float *milliseconds, char *error, size_t error_bytes);

#ifdef __cplusplus
}
#endif

#endif /* SYSMOL_C_GPU_H */
