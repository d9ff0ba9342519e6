/*===- Runtime.h - C API of the Sysmol runtime --------------------*- C -*-===*\
|*                                                                            *|
|* Reads, checks and runs compiled models (`.smol`). Needs libsysmol-runtime  *|
|* and nothing of the compiler.                                               *|
|*                                                                            *|
|* Functions that can fail return a sysmol_status and take `error`, a buffer  *|
|* of `error_bytes` bytes (or NULL and 0) that receives one zero-terminated   *|
|* line, cut to fit: what is wrong, what is allowed, what to do. On success   *|
|* it receives an empty string. On failure output arguments are unchanged,    *|
|* except the output buffers of runs, whose content is then unspecified.      *|
|*                                                                            *|
|* There is no global state. Strings belong to the object they come from.     *|
|* Passing NULL for an object is an error only where the function can fail;   *|
|* destroying NULL does nothing.                                              *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SYSMOL_C_RUNTIME_H
#define SYSMOL_C_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SYSMOL_EXPORT __attribute__((visibility("default")))
#else
#define SYSMOL_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sysmol_status {
  SYSMOL_OK = 0,
  /** The input (bundle, buffer, file) is refused. */
  SYSMOL_REFUSED = 1,
  /** The caller asked for something that does not exist. */
  SYSMOL_USAGE = 2,
  /** Too little memory or too few threads. */
  SYSMOL_LIMIT = 3,
  /** A fault of Sysmol or of the compiled code. */
  SYSMOL_INTERNAL = 70
} sysmol_status;

typedef enum sysmol_dtype {
  SYSMOL_F32 = 0,
  SYSMOL_U8 = 1,
  SYSMOL_I32 = 2,
  SYSMOL_I16 = 3,
  SYSMOL_I8 = 4
} sysmol_dtype;

/** A checked bundle, nothing of which has been executed. */
typedef struct sysmol_bundle sysmol_bundle;
/** A model whose code is loaded; may be shared by threads. */
typedef struct sysmol_model sysmol_model;
/** Scratch memory for one run at a time. */
typedef struct sysmol_context sysmol_context;
/** A fixed number of threads for batches; one batch at a time. */
typedef struct sysmol_pool sysmol_pool;
/** A fixed number of threads that share one run; one run at a time. */
typedef struct sysmol_team sysmol_team;

/** Dense, row-major, little-endian tensor in memory of the caller, aligned to
 *  its element type. */
typedef struct sysmol_const_buffer {
  const void *data;
  size_t bytes;
} sysmol_const_buffer;
typedef struct sysmol_buffer {
  void *data;
  size_t bytes;
} sysmol_buffer;

/** One input or output. */
typedef struct sysmol_tensor_info {
  const char *name;
  sysmol_dtype dtype;
  size_t rank;
  const uint64_t *shape;
  uint64_t bytes;
} sysmol_tensor_info;

/** One section of the file; `offset` and `bytes` in bytes. */
typedef struct sysmol_section_info {
  const char *name;
  uint32_t kind;
  uint64_t offset;
  uint64_t bytes;
  const uint8_t *sha256;
} sysmol_section_info;

/** Version of the runtime, "major.minor.patch". */
SYSMOL_EXPORT const char *sysmol_runtime_version(void);

/** Reads a bundle and checks its structure, hashes and metadata; executes
 *  nothing of it. */
SYSMOL_EXPORT sysmol_status sysmol_bundle_open(const char *path,
                                               sysmol_bundle **bundle,
                                               char *error, size_t error_bytes);
SYSMOL_EXPORT void sysmol_bundle_destroy(sysmol_bundle *bundle);

/** The JSON of the metadata section (schema: sysmol/Runtime/Metadata.h), not
 *  zero-terminated; its size goes to `bytes`. */
SYSMOL_EXPORT const char *sysmol_bundle_metadata(const sysmol_bundle *bundle,
                                                 size_t *bytes);
SYSMOL_EXPORT size_t sysmol_bundle_section_count(const sysmol_bundle *bundle);
SYSMOL_EXPORT sysmol_status sysmol_bundle_section(const sysmol_bundle *bundle,
                                                  size_t index,
                                                  sysmol_section_info *info,
                                                  char *error,
                                                  size_t error_bytes);

/** Opens a bundle and loads the code of `target`, or, when that is NULL or
 *  empty, the first that this CPU supports. Loading runs the constructors of
 *  the code, if it has any: open only bundles whose origin you trust. */
SYSMOL_EXPORT sysmol_status sysmol_model_open(const char *path,
                                              const char *target,
                                              sysmol_model **model, char *error,
                                              size_t error_bytes);
/** Unloads the code. Contexts and pools of the model must be gone. */
SYSMOL_EXPORT void sysmol_model_destroy(sysmol_model *model);

/** The JSON of the metadata section, as sysmol_bundle_metadata(). */
SYSMOL_EXPORT const char *sysmol_model_metadata(const sysmol_model *model,
                                                size_t *bytes);
/** Name of the target whose code is loaded. */
SYSMOL_EXPORT const char *sysmol_model_target(const sysmol_model *model);
SYSMOL_EXPORT size_t sysmol_model_input_count(const sysmol_model *model);
SYSMOL_EXPORT size_t sysmol_model_output_count(const sysmol_model *model);
SYSMOL_EXPORT sysmol_status sysmol_model_input(const sysmol_model *model,
                                               size_t index,
                                               sysmol_tensor_info *info,
                                               char *error, size_t error_bytes);
SYSMOL_EXPORT sysmol_status sysmol_model_output(const sysmol_model *model,
                                                size_t index,
                                                sysmol_tensor_info *info,
                                                char *error,
                                                size_t error_bytes);

/** Runs the golden pairs of the bundle and compares every byte. */
SYSMOL_EXPORT sysmol_status sysmol_model_verify(const sysmol_model *model,
                                                char *error,
                                                size_t error_bytes);

/** Allocates the scratch memory of one run at a time. */
SYSMOL_EXPORT sysmol_status sysmol_context_create(const sysmol_model *model,
                                                  sysmol_context **context,
                                                  char *error,
                                                  size_t error_bytes);
SYSMOL_EXPORT void sysmol_context_destroy(sysmol_context *context);

/** One run. Buffers in the order of the metadata and exactly of its sizes.
 *  Allocates nothing on success. */
SYSMOL_EXPORT sysmol_status sysmol_run(sysmol_context *context,
                                       const sysmol_const_buffer *inputs,
                                       size_t input_count,
                                       const sysmol_buffer *outputs,
                                       size_t output_count, char *error,
                                       size_t error_bytes);

/** Where the threads of a team run: where the system puts them, or each on a
 *  CPU of its own among those that the creating thread may use, whose current
 *  CPU is left to the caller. Pin only where the process has the machine to
 *  itself: two pinned teams share CPUs. */
typedef enum sysmol_placement {
  SYSMOL_PLACE_FREE = 0,
  SYSMOL_PLACE_PINNED = 1
} sysmol_placement;

/** A team of 1 to 1024 threads, the calling one included. Its threads wait
 *  busily during a run and for some tens of microseconds behind it, then sleep.
 *  SYSMOL_LIMIT where the system gives no more threads. */
SYSMOL_EXPORT sysmol_status sysmol_team_create(unsigned threads,
                                               sysmol_placement placement,
                                               sysmol_team **team, char *error,
                                               size_t error_bytes);
/** Ends the threads. No run may be using them, and no context later. */
SYSMOL_EXPORT void sysmol_team_destroy(sysmol_team *team);

/** From now on, runs in `context` are shared by the threads of `team`; NULL: by
 *  the calling thread alone. Contexts may share a team: a run that finds it
 *  taken by another (or is itself one of its tasks) is done by the calling
 *  thread. The results are the same, bit for bit. */
SYSMOL_EXPORT sysmol_status sysmol_context_set_team(sysmol_context *context,
                                                    sysmol_team *team,
                                                    char *error,
                                                    size_t error_bytes);

/** Number of layers that the model's code measures (0: compiled without
 *  clocks) and the name of one; NULL beyond the last. */
SYSMOL_EXPORT size_t
sysmol_context_profile_count(const sysmol_context *context);
SYSMOL_EXPORT const char *
sysmol_context_profile_name(const sysmol_context *context, size_t index);

/** Runs `runs` times in this thread. `minimum` and `median` receive seconds,
 *  those of each layer and behind them those of the whole run. */
SYSMOL_EXPORT sysmol_status sysmol_context_profile(
    sysmol_context *context, const sysmol_const_buffer *inputs,
    size_t input_count, const sysmol_buffer *outputs, size_t output_count,
    unsigned runs, double *minimum, double *median, size_t count, char *error,
    size_t error_bytes);

/** The core's cycles a second at this moment, measured in about 2 ms. */
SYSMOL_EXPORT double sysmol_measure_cycles(void);

/** A pool of 1 to 1024 threads, each with its own context. */
SYSMOL_EXPORT sysmol_status sysmol_pool_create(const sysmol_model *model,
                                               unsigned threads,
                                               sysmol_pool **pool, char *error,
                                               size_t error_bytes);
SYSMOL_EXPORT void sysmol_pool_destroy(sysmol_pool *pool);

/** `count` runs: each buffer holds `count` tensors, one after the other. The
 *  results are the same, bit for bit, for any number of threads. */
SYSMOL_EXPORT sysmol_status sysmol_pool_run(sysmol_pool *pool,
                                            const sysmol_const_buffer *inputs,
                                            size_t input_count,
                                            const sysmol_buffer *outputs,
                                            size_t output_count, uint64_t count,
                                            char *error, size_t error_bytes);

#ifdef __cplusplus
}
#endif

#endif /* SYSMOL_C_RUNTIME_H */
