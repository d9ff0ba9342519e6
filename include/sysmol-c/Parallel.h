/*===- Parallel.h - How compiled code shares its work ------------*- C -*-===*\
|*                                                                            *|
|* Compiled networks depend on no thread library: their entry function takes  *|
|* a pointer to one of these, or NULL to run all tasks in the calling thread. *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SYSMOL_C_PARALLEL_H
#define SYSMOL_C_PARALLEL_H

#include <stdint.h>

/* The headers of compiled objects hold the same declaration. */
#ifndef SYSMOL_PARALLEL_DEFINED
#define SYSMOL_PARALLEL_DEFINED
typedef struct sysmol_parallel {
  /** Given to `parallel_for`. */
  void *self;
  /** Calls `body(frame, task)` for each task below `tasks`, each once, in any
   *  order and any thread; returns when all are done and their writes visible.
   */
  void (*parallel_for)(void *self, uint32_t tasks,
                       void (*body)(void *frame, uint32_t task), void *frame);
} sysmol_parallel;
#endif

#endif /* SYSMOL_C_PARALLEL_H */
