/*===- Compiler.h - C API of the Sysmol compiler ------------------*- C -*-===*\
|*                                                                            *|
|* Compiles networks (`.onnx`, `.mlir`) to bundles, object files, LLVM IR,    *|
|* assembly or MLIR, and runs them through the reference. What it writes is   *|
|* run by Runtime.h, whose status codes and manners it shares:                *|
|*                                                                            *|
|* Functions that can fail return a sysmol_status and take `error`, a buffer  *|
|* of `error_bytes` bytes (or NULL and 0) that receives one zero-terminated   *|
|* line, cut to fit: where, what is wrong, what is allowed. On success it     *|
|* receives an empty string. On failure output arguments are unchanged and no *|
|* file is left behind.                                                       *|
|*                                                                            *|
|* There is no global state: compilations may run side by side in threads.    *|
|* Strings belong to the object they come from; destroying NULL does nothing. *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SYSMOL_C_COMPILER_H
#define SYSMOL_C_COMPILER_H

#include "sysmol-c/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to write. */
typedef enum sysmol_emit {
  /** `.smol`: code for every target, weights, golden vectors. */
  SYSMOL_EMIT_BUNDLE = 0,
  /** `.o` for the first target, and a C header beside it. */
  SYSMOL_EMIT_OBJECT = 1,
  /** Optimized LLVM IR for the first target. */
  SYSMOL_EMIT_LLVM_IR = 2,
  /** Assembly for the first target. */
  SYSMOL_EMIT_ASSEMBLY = 3,
  /** The program after `phase`. */
  SYSMOL_EMIT_MLIR = 4
} sysmol_emit;

/** Set every member by sysmol_compile_options_init() first; that keeps a
 *  program right when members are added. */
typedef struct sysmol_compile_options {
  /** Names of sysmol_target_name(), best first; NULL and 0: the default,
   *  x86-64-avx512 and x86-64-avx2. */
  const char *const *targets;
  size_t target_count;
  sysmol_emit emit;
  /** For SYSMOL_EMIT_MLIR: model, plan, packed, loops, vectors or llvm. */
  const char *phase;
  /** Name of the model; NULL or empty: the input's file name. */
  const char *name;
  /** Images a call; replaces the batch dimension of ONNX. At least 1. */
  int64_t batch;
  /** Input/output pairs that the reference computes for sysmol_model_verify. */
  unsigned golden_pairs;
  /** Seed of the inputs of these pairs. */
  uint64_t seed;
  /** Not 0, for a bundle: code that reads a clock at the borders of layers, for
   *  sysmol_context_profile(). */
  int profile;
  /** Not 0: activations that would be unpacked and packed again between two
   *  layers are refused, with the layer's name. */
  int forbid_fallback;
} sysmol_compile_options;

/** What a compilation took and made. */
typedef struct sysmol_compile_report sysmol_compile_report;

/** Bytes that the compiler owns. */
typedef struct sysmol_blob sysmol_blob;

/** Sizes of a compiled model in bytes. */
typedef struct sysmol_compile_sizes {
  /** Scratch memory of one run. */
  uint64_t arena;
  /** Packed weights, scales, thresholds and tables, as stored. */
  uint64_t weights;
  /** The same parameters as float32. */
  uint64_t floats;
} sysmol_compile_sizes;

/** Version of the compiler, "major.minor.patch". */
SYSMOL_EXPORT const char *sysmol_compiler_version(void);

/** Number of targets, and their names, best first; NULL beyond the last. The
 *  names live as long as the program. */
SYSMOL_EXPORT size_t sysmol_target_count(void);
SYSMOL_EXPORT const char *sysmol_target_name(size_t index);

/** The defaults: a bundle, batch 1, two golden pairs. */
SYSMOL_EXPORT void sysmol_compile_options_init(sysmol_compile_options *options);

/** Compiles the file `input` into the file `output`, which appears complete or
 *  not at all. `options` NULL: the defaults. `report` may be NULL; otherwise
 *  the caller destroys what it receives. */
SYSMOL_EXPORT sysmol_status sysmol_compile_file(
    const char *input, const char *output,
    const sysmol_compile_options *options, sysmol_compile_report **report,
    char *error, size_t error_bytes);

SYSMOL_EXPORT size_t
sysmol_compile_report_phase_count(const sysmol_compile_report *report);
/** Name of a phase, in the order they ran; NULL beyond the last. */
SYSMOL_EXPORT const char *
sysmol_compile_report_phase(const sysmol_compile_report *report, size_t index);
/** Seconds spent in a phase; 0 beyond the last. */
SYSMOL_EXPORT double
sysmol_compile_report_seconds(const sysmol_compile_report *report,
                              size_t index);
SYSMOL_EXPORT sysmol_compile_sizes
sysmol_compile_report_sizes(const sysmol_compile_report *report);
SYSMOL_EXPORT void sysmol_compile_report_destroy(sysmol_compile_report *report);

/** Runs the file `input` through the reference interpreter `calls` times.
 *  `inputs` holds, for each call, all input tensors one after the other, raw
 *  and without gaps; the result has the same form. Of `options` only `batch`
 *  counts; NULL: the defaults. The caller destroys `outputs`. */
SYSMOL_EXPORT sysmol_status
sysmol_reference_run(const char *input, sysmol_const_buffer inputs,
                     uint64_t calls, const sysmol_compile_options *options,
                     sysmol_blob **outputs, char *error, size_t error_bytes);

/** The cost table that compiling for `target` predicts with, as JSON: the one
 *  that sysmol_tune() left in the user's cache folder when this CPU is of the
 *  same kind, else the built-in one. The caller destroys `json`. */
SYSMOL_EXPORT sysmol_status sysmol_cost_table(const char *target,
                                              sysmol_blob **json, char *error,
                                              size_t error_bytes);

/** Measures this machine in a few seconds, on one thread that should be pinned,
 *  and writes the table into the user's cache folder. */
SYSMOL_EXPORT sysmol_status sysmol_tune(const char *target, sysmol_blob **json,
                                        char *error, size_t error_bytes);

SYSMOL_EXPORT const void *sysmol_blob_data(const sysmol_blob *blob);
SYSMOL_EXPORT size_t sysmol_blob_bytes(const sysmol_blob *blob);
SYSMOL_EXPORT void sysmol_blob_destroy(sysmol_blob *blob);

#ifdef __cplusplus
}
#endif

#endif /* SYSMOL_C_COMPILER_H */
