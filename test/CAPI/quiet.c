/* A call of a compiled model allocates nothing and asks the system for nothing:
 * behind the first calls, malloc is counted and seccomp allows no system call
 * but write and exit (the kernel kills the process at any other).
 *
 * quiet BUNDLE INPUT_BYTES OUTPUT_BYTES [malloc|syscall]: the last makes the
 * loop break its promise, to see that this is found. */

#define _GNU_SOURCE
#include "expect.h"

#include "sysmol-c/Runtime.h"
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static unsigned long allocations;

void *malloc(size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes) {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}

/* Nothing of the C library: it may ask the system for more than this. */
static void leave(const char *line, int code) {
  (void)!write(STDOUT_FILENO, line, strlen(line));
  for (;;)
    syscall(SYS_exit, code);
}

int main(int argc, char **argv) {
  EXPECT(argc >= 4);
  const char *broken = argc > 4 ? argv[4] : "";
  const int allocates = !strcmp(broken, "malloc");
  const int asks = !strcmp(broken, "syscall");
  size_t in_bytes = strtoul(argv[2], NULL, 10);
  size_t out_bytes = strtoul(argv[3], NULL, 10);
  float *in = calloc(1, in_bytes);
  char *first = calloc(1, out_bytes), *out = calloc(1, out_bytes);
  for (size_t i = 0; i < in_bytes / sizeof *in; ++i)
    in[i] = (float)(i * 37 % 256) / 255;

  sysmol_model *model = NULL;
  sysmol_context *context = NULL;
  EXPECT(sysmol_model_open(argv[1], NULL, &model, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_context_create(model, &context, ERROR) == SYSMOL_OK);
  sysmol_const_buffer input = {in, in_bytes};
  sysmol_buffer output = {first, out_bytes};
  EXPECT(sysmol_run(context, &input, 1, &output, 1, ERROR) == SYSMOL_OK);
  output.data = out;

  EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
  unsigned long before = allocations;
  for (int i = 0; i < 100; ++i) {
    out[0] = (char)~first[0];
    if (sysmol_run(context, &input, 1, &output, 1, ERROR) != SYSMOL_OK ||
        memcmp(first, out, out_bytes))
      leave("another result\n", 1);
    if (allocates)
      out = realloc(out, out_bytes);
    if (asks)
      (void)getppid();
  }
  if (allocations != before)
    leave("something was allocated\n", 1);
  leave("100 calls: nothing allocated, no system call\n", 0);
}
