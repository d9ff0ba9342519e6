/* What the C API of the compiler promises, in C99. The RUN line is in
   compiler.test. Arguments: a network, a folder to write to. */

#include "sysmol-c/Compiler.h"
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int targets(void) {
  EXPECT(strcmp(sysmol_compiler_version(), "0.1.0") == 0);
  EXPECT(sysmol_target_count() >= 1);
  for (size_t i = 0; i < sysmol_target_count(); ++i)
    EXPECT(strlen(sysmol_target_name(i)) > 0);
  EXPECT(sysmol_target_name(sysmol_target_count()) == NULL);
  return 0;
}

static int compiles_and_runs(const char *network, const char *bundle) {
  sysmol_compile_options options;
  sysmol_compile_options_init(&options);
  options.name = "from C";
  options.golden_pairs = 3;
  sysmol_compile_report *report = NULL;
  EXPECT(sysmol_compile_file(network, bundle, &options, &report, ERROR) ==
         SYSMOL_OK);
  EXPECT(error[0] == 0);
  EXPECT(sysmol_compile_report_phase_count(report) > 0);
  for (size_t i = 0; i < sysmol_compile_report_phase_count(report); ++i) {
    EXPECT(sysmol_compile_report_phase(report, i)[0] != 0);
    EXPECT(sysmol_compile_report_seconds(report, i) >= 0);
  }
  EXPECT(sysmol_compile_report_phase(report, 1000) == NULL);
  EXPECT(sysmol_compile_report_seconds(report, 1000) == 0);
  EXPECT(sysmol_compile_report_sizes(report).weights > 0);
  sysmol_compile_report_destroy(report);
  sysmol_compile_report_destroy(NULL);

  /* The runtime runs it, and its test vectors hold. */
  sysmol_model *model = NULL;
  EXPECT(sysmol_model_open(bundle, NULL, &model, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_model_verify(model, ERROR) == SYSMOL_OK);

  /* So does the reference, on an input of ours. */
  sysmol_tensor_info in, out;
  EXPECT(sysmol_model_input(model, 0, &in, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_model_output(model, 0, &out, ERROR) == SYSMOL_OK);
  void *x = calloc(2, in.bytes), *y = calloc(2, out.bytes);
  EXPECT(x && y);
  sysmol_pool *pool = NULL;
  EXPECT(sysmol_pool_create(model, 2, &pool, ERROR) == SYSMOL_OK);
  sysmol_const_buffer inputs = {x, 2 * in.bytes};
  sysmol_buffer outputs = {y, 2 * out.bytes};
  EXPECT(sysmol_pool_run(pool, &inputs, 1, &outputs, 1, 2, ERROR) == SYSMOL_OK);
  sysmol_blob *blob = NULL;
  EXPECT(sysmol_reference_run(network, inputs, 2, NULL, &blob, ERROR) ==
         SYSMOL_OK);
  EXPECT(sysmol_blob_bytes(blob) == 2 * out.bytes);
  EXPECT(memcmp(sysmol_blob_data(blob), y, 2 * out.bytes) == 0);
  sysmol_blob_destroy(blob);
  sysmol_blob_destroy(NULL);
  free(x);
  free(y);
  sysmol_pool_destroy(pool);
  sysmol_model_destroy(model);
  return 0;
}

static int measures_layers(const char *network, const char *bundle) {
  sysmol_compile_options options;
  sysmol_compile_options_init(&options);
  options.profile = 1;
  options.forbid_fallback = 1;
  EXPECT(sysmol_compile_file(network, bundle, &options, NULL, ERROR) ==
         SYSMOL_OK);
  sysmol_model *model = NULL;
  EXPECT(sysmol_model_open(bundle, NULL, &model, ERROR) == SYSMOL_OK);
  sysmol_context *context = NULL;
  EXPECT(sysmol_context_create(model, &context, ERROR) == SYSMOL_OK);
  size_t count = sysmol_context_profile_count(context);
  EXPECT(count >= 1 && count < 64);
  EXPECT(sysmol_context_profile_name(context, count - 1)[0] != 0);
  EXPECT(sysmol_context_profile_name(context, count) == NULL);
  sysmol_tensor_info in, out;
  EXPECT(sysmol_model_input(model, 0, &in, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_model_output(model, 0, &out, ERROR) == SYSMOL_OK);
  sysmol_const_buffer input = {calloc(1, in.bytes), in.bytes};
  sysmol_buffer output = {calloc(1, out.bytes), out.bytes};
  double minimum[65], median[65], sum = 0;
  EXPECT(sysmol_context_profile(context, &input, 1, &output, 1, 10, minimum,
                                median, count, ERROR) == SYSMOL_USAGE);
  EXPECT(sysmol_context_profile(context, &input, 1, &output, 1, 10, minimum,
                                median, count + 1, ERROR) == SYSMOL_OK);
  for (size_t i = 0; i < count; ++i) {
    EXPECT(minimum[i] >= 0 && median[i] >= minimum[i]);
    sum += minimum[i];
  }
  EXPECT(sum <= minimum[count] * 1.0001 && minimum[count] < 1);
  EXPECT(sysmol_measure_cycles() > 3e8);
  free((void *)input.data);
  free(output.data);
  sysmol_context_destroy(context);
  sysmol_model_destroy(model);
  return 0;
}

static int knows_costs(void) {
  sysmol_blob *json = NULL;
  EXPECT(sysmol_cost_table(sysmol_target_name(0), &json, ERROR) == SYSMOL_OK);
  EXPECT(sysmol_blob_bytes(json) > 2 &&
         ((const char *)sysmol_blob_data(json))[0] == '{');
  sysmol_blob_destroy(json);
  json = NULL;
  EXPECT(sysmol_cost_table("pdp-11", &json, ERROR) == SYSMOL_USAGE);
  EXPECT(strstr(error, "pdp-11") && json == NULL);
  EXPECT(sysmol_tune(NULL, &json, ERROR) == SYSMOL_USAGE);
  return 0;
}

static int one_line(void) {
  return error[0] != 0 && strchr(error, '\n') == NULL;
}

static int refuses(const char *network, const char *nothing) {
  sysmol_compile_report *report = NULL;
  sysmol_compile_options options;
  const char *unknown[] = {"pdp-11"};

  EXPECT(sysmol_compile_file("missing.onnx", nothing, NULL, &report, ERROR) ==
         SYSMOL_REFUSED);
  EXPECT(one_line() && strstr(error, "missing.onnx") && report == NULL);
  /* A message is cut to fit; no buffer is no fault. */
  char small[4] = "???";
  EXPECT(sysmol_compile_file("missing.onnx", nothing, NULL, NULL, small, 4) ==
         SYSMOL_REFUSED);
  EXPECT(strlen(small) == 3);
  EXPECT(sysmol_compile_file("missing.onnx", nothing, NULL, NULL, NULL, 0) ==
         SYSMOL_REFUSED);
  EXPECT(sysmol_compile_file(NULL, nothing, NULL, NULL, ERROR) == SYSMOL_USAGE);
  EXPECT(one_line());

  sysmol_compile_options_init(&options);
  options.targets = unknown;
  options.target_count = 1;
  EXPECT(sysmol_compile_file(network, nothing, &options, NULL, ERROR) ==
         SYSMOL_USAGE);
  EXPECT(one_line() && strstr(error, "pdp-11") &&
         strstr(error, sysmol_target_name(0)));
  sysmol_compile_options_init(&options);
  options.batch = 0;
  EXPECT(sysmol_compile_file(network, nothing, &options, NULL, ERROR) ==
         SYSMOL_USAGE);
  sysmol_compile_options_init(&options);
  options.emit = SYSMOL_EMIT_MLIR;
  options.phase = "lunch";
  EXPECT(sysmol_compile_file(network, nothing, &options, NULL, ERROR) ==
         SYSMOL_USAGE);
  EXPECT(one_line() && strstr(error, "packed"));
  options.emit = (sysmol_emit)99;
  EXPECT(sysmol_compile_file(network, nothing, &options, NULL, ERROR) ==
         SYSMOL_USAGE);

  sysmol_blob *blob = NULL;
  sysmol_const_buffer inputs = {"x", 1};
  EXPECT(sysmol_reference_run(network, inputs, 1, NULL, &blob, ERROR) ==
         SYSMOL_REFUSED);
  EXPECT(one_line() && blob == NULL);
  EXPECT(sysmol_reference_run(network, inputs, 1, NULL, NULL, ERROR) ==
         SYSMOL_USAGE);

  FILE *file = fopen(nothing, "rb");
  EXPECT(file == NULL);
  return 0;
}

int main(int argc, char **argv) {
  char bundle[4096], nothing[4096];
  if (argc != 3)
    return 2;
  snprintf(bundle, sizeof(bundle), "%s/capi.smol", argv[2]);
  snprintf(nothing, sizeof(nothing), "%s/nothing.smol", argv[2]);
  if (targets() || compiles_and_runs(argv[1], bundle) ||
      measures_layers(argv[1], bundle) || knows_costs() ||
      refuses(argv[1], nothing))
    return 1;
  puts("the C API keeps its promises");
  return 0;
}
