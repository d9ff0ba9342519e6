//===- Compiler.cpp - Python module sysmol._sysmol_compiler ---------------===//
//
// The C API of the compiler, as thin as it can be; sysmol/compile.py makes it
// pleasant. A module of its own: loading it loads LLVM and MLIR.
//
//===----------------------------------------------------------------------===//

#include "Errors.h"

#include "sysmol-c/Compiler.h"

#include <memory>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using sysmol::python::check;
using sysmol::python::Message;

static nb::list targets() {
  nb::list names;
  for (size_t i = 0; i < sysmol_target_count(); ++i)
    names.append(sysmol_target_name(i));
  return names;
}

/// ([(phase, seconds)], arena bytes, weight bytes, float bytes).
static nb::tuple compileFile(const std::string &input,
                             const std::string &output,
                             const std::vector<std::string> &targets, int emit,
                             const std::string &phase, const std::string &name,
                             int64_t batch, unsigned goldenPairs, uint64_t seed,
                             bool profile, bool forbidFallback) {
  std::vector<const char *> names;
  names.reserve(targets.size());
  for (const std::string &target : targets)
    names.push_back(target.c_str());
  sysmol_compile_options options;
  sysmol_compile_options_init(&options);
  options.targets = names.data();
  options.target_count = names.size();
  options.emit = static_cast<sysmol_emit>(emit);
  options.phase = phase.c_str();
  options.name = name.c_str();
  options.batch = batch;
  options.golden_pairs = goldenPairs;
  options.seed = seed;
  options.profile = profile;
  options.forbid_fallback = forbidFallback;
  Message message;
  sysmol_compile_report *made = nullptr;
  sysmol_status status;
  {
    nb::gil_scoped_release release;
    status = sysmol_compile_file(input.c_str(), output.c_str(), &options, &made,
                                 message.data(), message.size());
  }
  check(status, message);
  std::unique_ptr<sysmol_compile_report,
                  decltype(&sysmol_compile_report_destroy)>
      report(made, &sysmol_compile_report_destroy);
  nb::list times;
  for (size_t i = 0; i < sysmol_compile_report_phase_count(made); ++i)
    times.append(nb::make_tuple(sysmol_compile_report_phase(made, i),
                                sysmol_compile_report_seconds(made, i)));
  sysmol_compile_sizes sizes = sysmol_compile_report_sizes(made);
  return nb::make_tuple(times, sizes.arena, sizes.weights, sizes.floats);
}

using Bytes =
    nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

static nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>
referenceRun(const std::string &input, const Bytes &inputs, uint64_t calls,
             int64_t batch) {
  sysmol_compile_options options;
  sysmol_compile_options_init(&options);
  options.batch = batch;
  Message message;
  sysmol_blob *made = nullptr;
  sysmol_status status;
  {
    nb::gil_scoped_release release;
    status = sysmol_reference_run(
        input.c_str(), {inputs.data(), inputs.nbytes()}, calls, &options, &made,
        message.data(), message.size());
  }
  check(status, message);
  nb::capsule owner(made, [](void *blob) noexcept {
    sysmol_blob_destroy(static_cast<sysmol_blob *>(blob));
  });
  // The array owns the blob, which nobody else sees.
  auto *data =
      static_cast<uint8_t *>(const_cast<void *>(sysmol_blob_data(made)));
  return {data, {sysmol_blob_bytes(made)}, owner};
}

/// The JSON of a cost table.
template <auto Make> static nb::str giveTable(const std::string &target) {
  Message message;
  sysmol_blob *made = nullptr;
  sysmol_status status;
  {
    nb::gil_scoped_release release;
    status = Make(target.c_str(), &made, message.data(), message.size());
  }
  check(status, message);
  std::unique_ptr<sysmol_blob, decltype(&sysmol_blob_destroy)> json(
      made, &sysmol_blob_destroy);
  return nb::str(static_cast<const char *>(sysmol_blob_data(made)),
                 sysmol_blob_bytes(made));
}

NB_MODULE(_sysmol_compiler, m) {
  m.attr("version") = sysmol_compiler_version();
  m.def("targets", &targets);
  m.def("compile_file", &compileFile, nb::arg("input"), nb::arg("output"),
        nb::arg("targets"), nb::arg("emit"), nb::arg("phase"), nb::arg("name"),
        nb::arg("batch"), nb::arg("golden_pairs"), nb::arg("seed"),
        nb::arg("profile"), nb::arg("forbid_fallback"));
  m.def("cost_table", &giveTable<sysmol_cost_table>, nb::arg("target"));
  m.def("tune", &giveTable<sysmol_tune>, nb::arg("target"));
  m.def("reference_run", &referenceRun, nb::arg("input"),
        nb::arg("inputs").noconvert(), nb::arg("calls"), nb::arg("batch"));
}
