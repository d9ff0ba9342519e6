/* What the C API of the runtime promises of GPUs, in C99: streams, events and
   copies in them. The RUN line is in gpu.test. Argument: a module. The driver
   is the emulated one, which does the work of a stream as late as it may. */

#include "sysmol-c/Gpu.h"
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 64, BYTES = COUNT * sizeof(uint32_t) };

static sysmol_gpu *gpu;
static sysmol_gpu_module *module;
static sysmol_gpu_memory *memory;

static int says(const char *part) {
  return strstr(error, part) && strchr(error, '\n') == NULL;
}

static int begin(const char *path) {
  static char text[1 << 14];
  FILE *file = fopen(path, "rb");
  size_t bytes = file ? fread(text, 1, sizeof(text), file) : 0;
  EXPECT(bytes > 0 && bytes < sizeof(text) && fclose(file) == 0);
  EXPECT(sysmol_gpu_open(0, &gpu, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_module_load(gpu, text, bytes, path, &module, ERROR) ==
         SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_create(gpu, BYTES, &memory, ERROR) == SYSMOL_OK);
  return 0;
}

/* Multiplies the first words of the memory. */
static sysmol_status scale(uint32_t threads, uint32_t factor, void *stream) {
  uint64_t pointer = sysmol_gpu_memory_pointer(memory);
  void *parameters[] = {&pointer, &factor};
  sysmol_gpu_launch launch = {"scale",    {1, 1, 1}, {threads, 1, 1}, 0, stream,
                              parameters, 2};
  return sysmol_gpu_module_launch(module, &launch, ERROR);
}

/* One stream writes and computes, another reads what it gives, if it waits. */
static int orders(int waits) {
  sysmol_gpu_host_memory *from = NULL, *to = NULL;
  sysmol_gpu_stream *first = NULL, *second = NULL;
  sysmol_gpu_event *start = NULL, *ready = NULL, *end = NULL;
  int done = -1;
  float milliseconds = -1;
  EXPECT(sysmol_gpu_host_memory_create(gpu, BYTES, &from, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_host_memory_create(gpu, BYTES, &to, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_create(gpu, &first, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_create(gpu, &second, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_create(gpu, 1, &start, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_create(gpu, 0, &ready, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_create(gpu, 1, &end, ERROR) == SYSMOL_OK);
  void *a = sysmol_gpu_stream_handle(first);
  void *b = sysmol_gpu_stream_handle(second);
  EXPECT(a && b && a != b);

  /* Nothing is there yet to wait for. */
  EXPECT(sysmol_gpu_stream_query(first, &done, ERROR) == SYSMOL_OK && done);
  done = -1;
  EXPECT(sysmol_gpu_event_query(end, &done, ERROR) == SYSMOL_OK && done == 1);
  EXPECT(sysmol_gpu_event_synchronize(end, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_elapsed(start, end, &milliseconds, ERROR) ==
         SYSMOL_USAGE);
  EXPECT(says("no time between two events, which must be recorded: ") &&
         milliseconds == -1);

  uint32_t *in = sysmol_gpu_host_memory_data(from);
  uint32_t *out = sysmol_gpu_host_memory_data(to);
  memset(out, 0xff, BYTES);
  for (uint32_t i = 0; i < COUNT; ++i)
    in[i] = 1000 + i;
  uint32_t old[COUNT] = {0};
  EXPECT(sysmol_gpu_memory_write(memory, 0, old, BYTES, ERROR) == SYSMOL_OK);

  EXPECT(sysmol_gpu_event_record(start, a, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_write_async(memory, 0, in, BYTES, a, ERROR) ==
         SYSMOL_OK);
  EXPECT(scale(COUNT, 3, a) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_record(ready, a, ERROR) == SYSMOL_OK);
  if (waits)
    EXPECT(sysmol_gpu_stream_wait_event(b, ready, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_read_async(memory, 0, out, BYTES, b, ERROR) ==
         SYSMOL_OK);
  EXPECT(sysmol_gpu_event_record(end, b, ERROR) == SYSMOL_OK);

  EXPECT(out[0] == 0xffffffff);
  EXPECT(sysmol_gpu_event_query(ready, &done, ERROR) == SYSMOL_OK && !done);
  done = -1;
  EXPECT(sysmol_gpu_stream_query(first, &done, ERROR) == SYSMOL_OK && !done);
  EXPECT(sysmol_gpu_event_synchronize(end, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_query(end, &done, ERROR) == SYSMOL_OK && done == 1);
  EXPECT(sysmol_gpu_stream_query(second, &done, ERROR) == SYSMOL_OK && done);
  /* Who does not wait sees what the two queries did, the copy. */
  for (uint32_t i = 0; i < COUNT; ++i)
    EXPECT(out[i] == (waits ? 3 * (1000 + i) : 1000 + i));

  EXPECT(sysmol_gpu_event_query(ready, &done, ERROR) == SYSMOL_OK);
  EXPECT(done == waits);
  EXPECT(sysmol_gpu_event_elapsed(start, end, &milliseconds, ERROR) ==
         SYSMOL_OK);
  EXPECT(milliseconds > 0 && milliseconds < 60000);
  EXPECT(sysmol_gpu_event_elapsed(end, start, &milliseconds, ERROR) ==
         SYSMOL_OK);
  EXPECT(milliseconds < 0);
  EXPECT(sysmol_gpu_event_elapsed(start, ready, &milliseconds, ERROR) ==
         SYSMOL_USAGE);
  EXPECT(says("no time between two events: both must be made with times"));

  /* Who asks again and again gets there, too. */
  EXPECT(scale(COUNT, 5, a) == SYSMOL_OK);
  for (done = 0; !done;)
    EXPECT(sysmol_gpu_stream_query(first, &done, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_read(memory, 0, old, BYTES, ERROR) == SYSMOL_OK);
  EXPECT(old[1] == 1001 * 15);

  sysmol_gpu_event_destroy(end);
  sysmol_gpu_event_destroy(ready);
  sysmol_gpu_event_destroy(start);
  sysmol_gpu_stream_destroy(second);
  sysmol_gpu_stream_destroy(first);
  sysmol_gpu_host_memory_destroy(to);
  sysmol_gpu_host_memory_destroy(from);

  /* A stream that is gone is none. */
  EXPECT(scale(1, 1, a) == SYSMOL_USAGE && says("invalid resource handle"));
  EXPECT(sysmol_gpu_memory_read_async(memory, 0, old, BYTES, a, ERROR) ==
         SYSMOL_USAGE);
  EXPECT(says("copy from the GPU: invalid resource handle"));
  return 0;
}

/* Memory of malloc() serves, too, and a stream that goes does its work. */
static int copies_pageable_memory(void) {
  sysmol_gpu_stream *stream = NULL;
  uint32_t *words = malloc(BYTES);
  EXPECT(words && sysmol_gpu_stream_create(gpu, &stream, ERROR) == SYSMOL_OK);
  void *handle = sysmol_gpu_stream_handle(stream);
  for (uint32_t i = 0; i < COUNT; ++i)
    words[i] = i;
  EXPECT(sysmol_gpu_memory_write_async(memory, 0, words, BYTES, handle,
                                       ERROR) == SYSMOL_OK);
  EXPECT(scale(COUNT, 7, handle) == SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_read_async(memory, 4, words, 8, handle, ERROR) ==
         SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_synchronize(stream, ERROR) == SYSMOL_OK);
  EXPECT(words[0] == 7 && words[1] == 14 && words[2] == 2);
  EXPECT(scale(COUNT, 2, handle) == SYSMOL_OK);
  sysmol_gpu_stream_destroy(stream);
  EXPECT(sysmol_gpu_synchronize(gpu, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_memory_read(memory, 0, words, BYTES, ERROR) == SYSMOL_OK);
  EXPECT(words[COUNT - 1] == (COUNT - 1) * 14);
  free(words);
  return 0;
}

/* What goes wrong in a stream is told by who waits for it. */
static int tells_faults(void) {
  sysmol_gpu_stream *first = NULL, *second = NULL;
  sysmol_gpu_event *event = NULL;
  EXPECT(sysmol_gpu_stream_create(gpu, &first, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_create(gpu, &second, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_create(gpu, 0, &event, ERROR) == SYSMOL_OK);
  void *a = sysmol_gpu_stream_handle(first);
  void *b = sysmol_gpu_stream_handle(second);
  EXPECT(scale(2 * COUNT, 1, a) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_record(event, a, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_wait_event(b, event, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_stream_synchronize(second, ERROR) == SYSMOL_INTERNAL);
  EXPECT(says("GPU work failed: ") && says("outside"));
  EXPECT(sysmol_gpu_event_synchronize(event, ERROR) == SYSMOL_INTERNAL);
  int done = -1;
  EXPECT(sysmol_gpu_event_query(event, &done, ERROR) == SYSMOL_INTERNAL);
  EXPECT(done == -1);
  EXPECT(sysmol_gpu_synchronize(gpu, ERROR) == SYSMOL_INTERNAL);
  EXPECT(says("GPU work failed: ") && says("outside"));
  sysmol_gpu_event_destroy(event);
  sysmol_gpu_stream_destroy(second);
  sysmol_gpu_stream_destroy(first);
  return 0;
}

static int refuses(void) {
  sysmol_gpu_stream *stream = NULL;
  sysmol_gpu_event *event = NULL;
  sysmol_gpu_host_memory *host = NULL;
  uint32_t words[COUNT];
  float milliseconds;
  int done;
  EXPECT(sysmol_gpu_stream_create(gpu, &stream, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_gpu_event_create(gpu, 1, &event, ERROR) == SYSMOL_OK);
#define REFUSES_NULL(call)                                                     \
  EXPECT((call) == SYSMOL_USAGE);                                              \
  EXPECT(says("a required pointer is NULL; pass a valid object"))
  REFUSES_NULL(sysmol_gpu_stream_create(NULL, &stream, ERROR));
  REFUSES_NULL(sysmol_gpu_stream_create(gpu, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_stream_synchronize(NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_stream_query(NULL, &done, ERROR));
  REFUSES_NULL(sysmol_gpu_stream_query(stream, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_stream_wait_event(NULL, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_event_create(NULL, 1, &event, ERROR));
  REFUSES_NULL(sysmol_gpu_event_create(gpu, 1, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_event_record(NULL, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_event_synchronize(NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_event_query(NULL, &done, ERROR));
  REFUSES_NULL(sysmol_gpu_event_query(event, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_event_elapsed(NULL, event, &milliseconds, ERROR));
  REFUSES_NULL(sysmol_gpu_event_elapsed(event, NULL, &milliseconds, ERROR));
  REFUSES_NULL(sysmol_gpu_event_elapsed(event, event, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_host_memory_create(NULL, 1, &host, ERROR));
  REFUSES_NULL(sysmol_gpu_host_memory_create(gpu, 1, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_memory_write_async(NULL, 0, words, 1, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_memory_write_async(memory, 0, NULL, 1, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_memory_read_async(NULL, 0, words, 1, NULL, ERROR));
  REFUSES_NULL(sysmol_gpu_memory_read_async(memory, 0, NULL, 1, NULL, ERROR));
  EXPECT(sysmol_gpu_memory_write_async(memory, 1, words, BYTES, NULL, ERROR) ==
         SYSMOL_REFUSED);
  EXPECT(says("256 bytes at 1 are not inside a buffer of 256"));
  EXPECT(sysmol_gpu_memory_read_async(memory, UINT64_MAX, words, 2, NULL,
                                      ERROR) == SYSMOL_REFUSED);
  EXPECT(says("are not inside"));
  /* The object is no handle. */
  EXPECT(sysmol_gpu_event_record(event, stream, ERROR) == SYSMOL_USAGE);
  EXPECT(says("cannot record an event: invalid resource handle"));
  EXPECT(sysmol_gpu_stream_wait_event(stream, event, ERROR) == SYSMOL_USAGE);
  EXPECT(says("cannot make a stream wait for an event: invalid"));
  sysmol_gpu_event_destroy(event);
  sysmol_gpu_stream_destroy(stream);
  sysmol_gpu_event_destroy(NULL);
  sysmol_gpu_stream_destroy(NULL);
  sysmol_gpu_host_memory_destroy(NULL);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  if (begin(argv[1]) || orders(1) || orders(0) || copies_pageable_memory() ||
      tells_faults() || refuses())
    return 1;
  sysmol_gpu_memory_destroy(memory);
  sysmol_gpu_module_destroy(module);
  sysmol_gpu_destroy(gpu);
  puts("streams keep their promises");
  return 0;
}
