//===- Compiler.cpp - C API of the Sysmol compiler ------------------------===//
//
// Turns options into C++, LLVM's errors into status codes, and the exceptions
// of the standard library (no memory) into errors.
//
//===----------------------------------------------------------------------===//

#include "sysmol-c/Compiler.h"

#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/NVVM/Compiler.h"
#include "sysmol/Target/Native/Tune.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Errc.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>

using llvm::Error;
using llvm::Expected;

struct sysmol_compile_report {
  sysmol::CompileReport report;
};
struct sysmol_blob {
  std::vector<uint8_t> bytes;
};

static_assert(SYSMOL_EMIT_BUNDLE == int(sysmol::EmitKind::Bundle) &&
              SYSMOL_EMIT_OBJECT == int(sysmol::EmitKind::Object) &&
              SYSMOL_EMIT_LLVM_IR == int(sysmol::EmitKind::LLVMIR) &&
              SYSMOL_EMIT_ASSEMBLY == int(sysmol::EmitKind::Assembly) &&
              SYSMOL_EMIT_MLIR == int(sysmol::EmitKind::MLIR));

/// Copies `text` as one line: line breaks become spaces, other control
/// characters question marks, whatever a file put into a name.
static void copyMessage(std::string_view text, char *message, size_t bytes) {
  if (!message || !bytes)
    return;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.remove_suffix(1);
  size_t length = std::min(text.size(), bytes - 1);
  for (size_t i = 0; i < length; ++i) {
    unsigned char c = text[i];
    message[i] = c == '\n' ? ' ' : c < 0x20 || c == 0x7f ? '?' : text[i];
  }
  message[length] = 0;
}

/// The kinds and the statuses have the same numbers.
static sysmol_status statusOf(std::error_code code) {
  return static_cast<sysmol_status>(sysmol::getFailureKind(code));
}

static Error misused(const std::string &reason) {
  return llvm::createStringError(llvm::errc::invalid_argument, reason);
}

/// Runs `body`, which returns an Error, and reports its outcome.
template <typename BodyT>
static sysmol_status guarded(char *message, size_t bytes, BodyT body) {
  // Built without allocating: it must work when there is no memory left.
  const char *fault;
  sysmol_status status;
  try {
    status = SYSMOL_OK;
    copyMessage("", message, bytes);
    llvm::handleAllErrors(body(), [&](const llvm::ErrorInfoBase &info) {
      status = statusOf(info.convertToErrorCode());
      copyMessage(info.message(), message, bytes);
    });
    return status;
  } catch (const std::bad_alloc &) {
    fault = "out of memory; free some or compile a smaller model";
    status = SYSMOL_LIMIT;
  } catch (...) {
    fault = "unexpected exception in the compiler; report this";
    status = SYSMOL_INTERNAL;
  }
  copyMessage(fault, message, bytes);
  return status;
}

//===----------------------------------------------------------------------===//
// Targets and options
//===----------------------------------------------------------------------===//

const char *sysmol_compiler_version(void) { return "0.1.0"; }

/// A constant of the program: the names of its targets.
static const std::vector<std::string> &targetNames() {
  static const std::vector<std::string> names = sysmol::getNativeTargets();
  return names;
}

size_t sysmol_target_count(void) { return targetNames().size(); }

const char *sysmol_target_name(size_t index) {
  return index < targetNames().size() ? targetNames()[index].c_str() : nullptr;
}

void sysmol_compile_options_init(sysmol_compile_options *options) {
  *options = {nullptr,
              0,
              SYSMOL_EMIT_BUNDLE,
              "packed",
              nullptr,
              /*batch=*/1,
              /*golden_pairs=*/2,
              /*seed=*/0,
              /*profile=*/0,
              /*forbid_fallback=*/0};
}

static std::string joined(llvm::ArrayRef<std::string> names) {
  return llvm::join(names, ", ");
}

static Expected<sysmol::CompileOptions>
convert(const sysmol_compile_options *given) {
  static const std::array<std::string, 6> phases = {
      "model", "plan", "packed", "loops", "vectors", "llvm"};
  sysmol_compile_options defaults;
  if (!given) {
    sysmol_compile_options_init(&defaults);
    given = &defaults;
  }
  sysmol::CompileOptions options;
  if (given->target_count)
    options.targets.clear();
  for (size_t i = 0; i < given->target_count; ++i) {
    std::string name =
        given->targets && given->targets[i] ? given->targets[i] : std::string();
    if (sysmol::isGPUTargetName(name) && given->target_count > 1)
      return misused("a GPU must be the only target");
    if (!sysmol::isGPUTargetName(name) &&
        !llvm::is_contained(targetNames(), name))
      return misused("there is no target '" + name + "'; allowed are " +
                     joined(targetNames()));
    if (llvm::is_contained(options.targets, name))
      return misused("target '" + name + "' is given twice; give it once");
    options.targets.push_back(std::move(name));
  }
  if (given->emit < SYSMOL_EMIT_BUNDLE || given->emit > SYSMOL_EMIT_MLIR)
    return misused("there is no kind of output number " +
                   std::to_string(int(given->emit)) +
                   "; see enum sysmol_emit for those there are");
  options.emit = static_cast<sysmol::EmitKind>(given->emit);
  options.phase = given->phase ? given->phase : "packed";
  bool isGPU = llvm::any_of(options.targets, sysmol::isGPUTargetName);
  if (isGPU && (given->profile || given->forbid_fallback))
    return misused("profile and forbid_fallback are for CPUs");
  // Those of a GPU are its compiler's to know.
  if (options.emit == sysmol::EmitKind::MLIR && !isGPU &&
      !llvm::is_contained(phases, options.phase))
    return misused("there is no phase '" + options.phase + "'; allowed are " +
                   joined(phases));
  options.name = given->name ? given->name : "";
  if (given->batch < 1)
    return misused("batch " + std::to_string(given->batch) +
                   " is not allowed; give at least 1");
  options.batch = given->batch;
  options.goldenPairs = given->golden_pairs;
  options.seed = given->seed;
  options.profile = given->profile != 0;
  options.forbidFallback = given->forbid_fallback != 0;
  return options;
}

/// The options of the one target, a GPU.
static sysmol::GPUCompileOptions toGPU(const sysmol::CompileOptions &options) {
  sysmol::GPUCompileOptions gpu;
  gpu.chip = options.targets.front();
  gpu.emit = options.emit;
  gpu.phase = options.phase;
  gpu.name = options.name;
  gpu.batch = options.batch;
  gpu.goldenPairs = options.goldenPairs;
  gpu.seed = options.seed;
  return gpu;
}

//===----------------------------------------------------------------------===//
// Compiling and the reference
//===----------------------------------------------------------------------===//

sysmol_status sysmol_compile_file(const char *input, const char *output,
                                  const sysmol_compile_options *options,
                                  sysmol_compile_report **report, char *error,
                                  size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Error {
    if (!input || !output)
      return misused("a required path is NULL; give an input and an output");
    Expected<sysmol::CompileOptions> converted = convert(options);
    if (!converted)
      return converted.takeError();
    Expected<sysmol::CompileReport> made =
        llvm::any_of(converted->targets, sysmol::isGPUTargetName)
            ? sysmol::compileGPUFile(input, output, toGPU(*converted))
            : sysmol::compileFile(input, output, *converted);
    if (!made)
      return made.takeError();
    if (report)
      *report = new sysmol_compile_report{std::move(*made)};
    return Error::success();
  });
}

size_t sysmol_compile_report_phase_count(const sysmol_compile_report *report) {
  return report->report.times.size();
}

const char *sysmol_compile_report_phase(const sysmol_compile_report *report,
                                        size_t index) {
  const std::vector<sysmol::PhaseTime> &times = report->report.times;
  return index < times.size() ? times[index].phase.c_str() : nullptr;
}

double sysmol_compile_report_seconds(const sysmol_compile_report *report,
                                     size_t index) {
  const std::vector<sysmol::PhaseTime> &times = report->report.times;
  return index < times.size() ? times[index].seconds : 0;
}

sysmol_compile_sizes
sysmol_compile_report_sizes(const sysmol_compile_report *report) {
  const sysmol::CompileReport &made = report->report;
  return {made.arenaBytes, made.weightBytes, made.floatBytes};
}

void sysmol_compile_report_destroy(sysmol_compile_report *report) {
  delete report;
}

sysmol_status sysmol_reference_run(const char *input,
                                   sysmol_const_buffer inputs, uint64_t calls,
                                   const sysmol_compile_options *options,
                                   sysmol_blob **outputs, char *error,
                                   size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Error {
    if (!input || !outputs || (!inputs.data && inputs.bytes))
      return misused("a required pointer is NULL; pass a valid object");
    Expected<sysmol::CompileOptions> converted = convert(options);
    if (!converted)
      return converted.takeError();
    const auto *begin = static_cast<const uint8_t *>(inputs.data);
    Expected<std::vector<uint8_t>> result = sysmol::runReference(
        input, std::vector<uint8_t>(begin, begin + inputs.bytes), calls,
        *converted);
    if (!result)
      return result.takeError();
    *outputs = new sysmol_blob{std::move(*result)};
    return Error::success();
  });
}

/// Hands out the table that `make` gives for a known target.
template <typename MakeT>
static sysmol_status giveTable(const char *target, sysmol_blob **json,
                               char *error, size_t errorBytes, MakeT make) {
  return guarded(error, errorBytes, [&]() -> Error {
    if (!target || !json)
      return misused("a required pointer is NULL; give a target and a blob");
    if (!llvm::is_contained(targetNames(), target))
      return misused("there is no target '" + std::string(target) +
                     "'; allowed are " + joined(targetNames()));
    Expected<sysmol::CostTable> table = make();
    if (!table)
      return table.takeError();
    std::string text = sysmol::printCostTable(*table);
    *json = new sysmol_blob{std::vector<uint8_t>(text.begin(), text.end())};
    return Error::success();
  });
}

sysmol_status sysmol_cost_table(const char *target, sysmol_blob **json,
                                char *error, size_t error_bytes) {
  return giveTable(target, json, error, error_bytes,
                   [&]() -> Expected<sysmol::CostTable> {
                     return sysmol::loadCostTable(target);
                   });
}

sysmol_status sysmol_tune(const char *target, sysmol_blob **json, char *error,
                          size_t error_bytes) {
  return giveTable(
      target, json, error, error_bytes, [&]() -> Expected<sysmol::CostTable> {
        Expected<sysmol::CostTable> table = sysmol::measureCostTable(target);
        if (!table)
          return table.takeError();
        Expected<std::string> path = sysmol::saveCostTable(target, *table);
        if (!path)
          return path.takeError();
        return table;
      });
}

const void *sysmol_blob_data(const sysmol_blob *blob) {
  return blob->bytes.data();
}

size_t sysmol_blob_bytes(const sysmol_blob *blob) { return blob->bytes.size(); }

void sysmol_blob_destroy(sysmol_blob *blob) { delete blob; }
