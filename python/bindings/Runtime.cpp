//===- Runtime.cpp - Python module sysmol._sysmol -------------------------===//
//
// The C API of the runtime, as thin as it can be; sysmol/runtime.py makes it
// pleasant. Needs nothing of LLVM, so that running a model loads none of it.
//
//===----------------------------------------------------------------------===//

#include "Errors.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using sysmol::python::check;
using sysmol::python::Message;

namespace {

template <typename T, void (*Destroy)(T *)> struct Deleter {
  void operator()(T *object) const { Destroy(object); }
};
template <typename T, void (*Destroy)(T *)>
using Handle = std::unique_ptr<T, Deleter<T, Destroy>>;

using BundleHandle = Handle<sysmol_bundle, sysmol_bundle_destroy>;
using ModelHandle = Handle<sysmol_model, sysmol_model_destroy>;
using ContextHandle = Handle<sysmol_context, sysmol_context_destroy>;
using TeamHandle = Handle<sysmol_team, sysmol_team_destroy>;
using PoolHandle = Handle<sysmol_pool, sysmol_pool_destroy>;

/// Any element type: sysmol/runtime.py checks types, the C API checks sizes.
using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::c_contig, nb::device::cpu>;

struct Bundle {
  BundleHandle handle;

  explicit Bundle(const std::string &path) {
    Message message;
    sysmol_bundle *opened = nullptr;
    sysmol_status status;
    {
      nb::gil_scoped_release release;
      status = sysmol_bundle_open(path.c_str(), &opened, message.data(),
                                  message.size());
    }
    check(status, message);
    handle.reset(opened);
  }

  nb::str metadata() const {
    size_t bytes = 0;
    const char *text = sysmol_bundle_metadata(handle.get(), &bytes);
    return nb::str(text, bytes);
  }

  /// (name, kind, offset, bytes, sha256) of each section.
  nb::list sections() const {
    nb::list found;
    for (size_t i = 0; i < sysmol_bundle_section_count(handle.get()); ++i) {
      sysmol_section_info info;
      Message message;
      check(sysmol_bundle_section(handle.get(), i, &info, message.data(),
                                  message.size()),
            message);
      found.append(nb::make_tuple(info.name, info.kind, info.offset, info.bytes,
                                  nb::bytes(info.sha256, 32)));
    }
    return found;
  }
};

struct Model {
  ModelHandle handle;

  Model(const std::string &path, const std::optional<std::string> &target) {
    Message message;
    sysmol_model *opened = nullptr;
    sysmol_status status;
    {
      nb::gil_scoped_release release;
      status =
          sysmol_model_open(path.c_str(), target ? target->c_str() : nullptr,
                            &opened, message.data(), message.size());
    }
    check(status, message);
    handle.reset(opened);
  }

  nb::str metadata() const {
    size_t bytes = 0;
    const char *text = sysmol_model_metadata(handle.get(), &bytes);
    return nb::str(text, bytes);
  }

  void verify() const {
    Message message;
    sysmol_status status;
    {
      nb::gil_scoped_release release;
      status =
          sysmol_model_verify(handle.get(), message.data(), message.size());
    }
    check(status, message);
  }
};

/// Inputs and outputs of one call as the C API wants them.
struct Buffers {
  std::vector<sysmol_const_buffer> in;
  std::vector<sysmol_buffer> out;

  Buffers(const std::vector<Input> &inputs,
          const std::vector<Output> &outputs) {
    in.reserve(inputs.size());
    out.reserve(outputs.size());
    for (const Input &array : inputs)
      in.push_back({array.data(), array.nbytes()});
    for (const Output &array : outputs)
      out.push_back({array.data(), array.nbytes()});
  }
};

struct Team {
  TeamHandle handle;

  Team(unsigned threads, bool pinned) {
    Message message;
    sysmol_team *created = nullptr;
    check(sysmol_team_create(threads,
                             pinned ? SYSMOL_PLACE_PINNED : SYSMOL_PLACE_FREE,
                             &created, message.data(), message.size()),
          message);
    handle.reset(created);
  }
};

struct Context {
  std::shared_ptr<Model> model;
  std::shared_ptr<Team> team;
  ContextHandle handle;

  Context(std::shared_ptr<Model> from, std::shared_ptr<Team> with)
      : model(std::move(from)), team(std::move(with)) {
    Message message;
    sysmol_context *created = nullptr;
    check(sysmol_context_create(model->handle.get(), &created, message.data(),
                                message.size()),
          message);
    handle.reset(created);
    if (team)
      check(sysmol_context_set_team(created, team->handle.get(), message.data(),
                                    message.size()),
            message);
  }

  sysmol_status run(Buffers &buffers, Message &message) {
    nb::gil_scoped_release release;
    return sysmol_run(handle.get(), buffers.in.data(), buffers.in.size(),
                      buffers.out.data(), buffers.out.size(), message.data(),
                      message.size());
  }

  void run(const std::vector<Input> &inputs,
           const std::vector<Output> &outputs) {
    Buffers buffers(inputs, outputs);
    Message message;
    check(run(buffers, message), message);
  }
};

/// A call on arrays that were checked once.
struct Bound {
  Context context;
  std::vector<Input> inputs; // keep the arrays
  std::vector<Output> outputs;
  Buffers buffers;
  std::atomic_flag busy;

  Bound(std::shared_ptr<Model> model, std::shared_ptr<Team> team,
        std::vector<Input> in, std::vector<Output> out)
      : context(std::move(model), std::move(team)), inputs(std::move(in)),
        outputs(std::move(out)), buffers(inputs, outputs) {}

  void run() {
    Message message;
    if (busy.test_and_set(std::memory_order_acquire)) {
      snprintf(message.data(), message.size(),
               "a bound call is running in another thread; bind one for each");
      check(SYSMOL_USAGE, message);
    }
    sysmol_status status = context.run(buffers, message);
    busy.clear(std::memory_order_release);
    check(status, message);
  }
};

/// [(layer, minimum, median)] in seconds; the last is the whole run.
nb::list profile(Context &context, const std::vector<Input> &inputs,
                 const std::vector<Output> &outputs, unsigned runs) {
  Buffers buffers(inputs, outputs);
  size_t count = sysmol_context_profile_count(context.handle.get());
  std::vector<double> minimum(count + 1), median(count + 1);
  Message message;
  sysmol_status status;
  {
    nb::gil_scoped_release release;
    status = sysmol_context_profile(
        context.handle.get(), buffers.in.data(), buffers.in.size(),
        buffers.out.data(), buffers.out.size(), runs, minimum.data(),
        median.data(), minimum.size(), message.data(), message.size());
  }
  check(status, message);
  nb::list rows;
  for (size_t i = 0; i <= count; ++i)
    rows.append(nb::make_tuple(
        i < count ? sysmol_context_profile_name(context.handle.get(), i)
                  : "total",
        minimum[i], median[i]));
  return rows;
}

struct Pool {
  std::shared_ptr<Model> model;
  PoolHandle handle;

  Pool(std::shared_ptr<Model> from, unsigned threads) : model(std::move(from)) {
    Message message;
    sysmol_pool *created = nullptr;
    check(sysmol_pool_create(model->handle.get(), threads, &created,
                             message.data(), message.size()),
          message);
    handle.reset(created);
  }

  void run(const std::vector<Input> &inputs, const std::vector<Output> &outputs,
           uint64_t count) {
    Buffers buffers(inputs, outputs);
    Message message;
    sysmol_status status;
    {
      nb::gil_scoped_release release;
      status =
          sysmol_pool_run(handle.get(), buffers.in.data(), buffers.in.size(),
                          buffers.out.data(), buffers.out.size(), count,
                          message.data(), message.size());
    }
    check(status, message);
  }
};

} // namespace

// The macro takes the module by value.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
NB_MODULE(_sysmol, m) {
  m.attr("version") = sysmol_runtime_version();

  nb::class_<Bundle>(m, "Bundle")
      .def(nb::init<const std::string &>(), nb::arg("path"))
      .def_prop_ro("metadata", &Bundle::metadata)
      .def("sections", &Bundle::sections);

  nb::class_<Model>(m, "Model")
      .def_static(
          "open",
          [](const std::string &path,
             const std::optional<std::string> &target) {
            return std::make_shared<Model>(path, target);
          },
          nb::arg("path"), nb::arg("target").none())
      .def_prop_ro("metadata", &Model::metadata)
      .def_prop_ro("target",
                   [](const Model &model) {
                     return sysmol_model_target(model.handle.get());
                   })
      .def("verify", &Model::verify);

  nb::class_<Team>(m, "Team").def_static(
      "create",
      [](unsigned threads, bool pinned) {
        return std::make_shared<Team>(threads, pinned);
      },
      nb::arg("threads"), nb::arg("pinned"));

  // An implicit conversion would be a copy, and results written to it lost.
  nb::class_<Context>(m, "Context")
      .def(nb::init<std::shared_ptr<Model>, std::shared_ptr<Team>>(),
           nb::arg("model"), nb::arg("team").none())
      .def("run",
           nb::overload_cast<const std::vector<Input> &,
                             const std::vector<Output> &>(&Context::run),
           nb::arg("inputs").noconvert(), nb::arg("outputs").noconvert())
      .def("profile", &profile, nb::arg("inputs").noconvert(),
           nb::arg("outputs").noconvert(), nb::arg("runs"));
  nb::class_<Bound>(m, "Bound")
      .def(nb::init<std::shared_ptr<Model>, std::shared_ptr<Team>,
                    std::vector<Input>, std::vector<Output>>(),
           nb::arg("model"), nb::arg("team").none(),
           nb::arg("inputs").noconvert(), nb::arg("outputs").noconvert())
      .def("__call__", &Bound::run);
  m.def("measure_cycles", &sysmol_measure_cycles);

  nb::class_<Pool>(m, "Pool")
      .def(nb::init<std::shared_ptr<Model>, unsigned>(), nb::arg("model"),
           nb::arg("threads"))
      .def("run", &Pool::run, nb::arg("inputs").noconvert(),
           nb::arg("outputs").noconvert(), nb::arg("count"));
}
