//===- CAPI.cpp - C API of the Sysmol runtime -----------------------------===//
//
// Turns objects into handles, errors into codes, and the few exceptions of the
// standard library (no memory) into errors.
//
//===----------------------------------------------------------------------===//

#include "CAPISupport.h"

#include "sysmol/Runtime/Model.h"
#include "sysmol/Runtime/Profile.h"

#include <array>

using namespace sysmol::runtime;

struct sysmol_bundle {
  Bundle B;
};
struct sysmol_model {
  std::unique_ptr<Model> M;
};
struct sysmol_team {
  Team T;
};
struct sysmol_context {
  const Model *M;
  Context C;
  Team *T = nullptr;
  std::vector<std::string> ProfileLayers;
};
struct sysmol_pool {
  Pool P;
};

static_assert(SYSMOL_REFUSED == int(ErrorKind::Refused) &&
              SYSMOL_USAGE == int(ErrorKind::Usage) &&
              SYSMOL_LIMIT == int(ErrorKind::Limit) &&
              SYSMOL_INTERNAL == int(ErrorKind::Internal));
static_assert(SYSMOL_F32 == int(DType::F32) && SYSMOL_U8 == int(DType::U8) &&
              SYSMOL_I32 == int(DType::I32) && SYSMOL_I16 == int(DType::I16) &&
              SYSMOL_I8 == int(DType::I8));

static Error noSuchIndex(size_t Index, size_t Count) {
  return misused("index " + std::to_string(Index) +
                 " does not exist; allowed are numbers below " +
                 std::to_string(Count) + "; ask for the count first");
}

const char *sysmol_runtime_version(void) { return "0.1.0"; }

//===----------------------------------------------------------------------===//
// Bundles
//===----------------------------------------------------------------------===//

sysmol_status sysmol_bundle_open(const char *path, sysmol_bundle **bundle,
                                 char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!path || !bundle)
      return nullArgument();
    auto B = Bundle::open(path);
    if (!B)
      return B.error();
    *bundle = new sysmol_bundle{std::move(*B)};
    return {};
  });
}

void sysmol_bundle_destroy(sysmol_bundle *bundle) { delete bundle; }

static const char *metadataText(const Bundle &B, size_t *Bytes) {
  std::string_view Text = B.metadataText();
  if (Bytes)
    *Bytes = Text.size();
  return Text.data();
}

const char *sysmol_bundle_metadata(const sysmol_bundle *bundle, size_t *bytes) {
  return metadataText(bundle->B, bytes);
}

size_t sysmol_bundle_section_count(const sysmol_bundle *bundle) {
  return bundle->B.sections().size();
}

sysmol_status sysmol_bundle_section(const sysmol_bundle *bundle, size_t index,
                                    sysmol_section_info *info, char *error,
                                    size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!bundle || !info)
      return nullArgument();
    const std::vector<Section> &Sections = bundle->B.sections();
    if (index >= Sections.size())
      return noSuchIndex(index, Sections.size());
    const Section &S = Sections[index];
    *info = {S.Name.c_str(), static_cast<uint32_t>(S.Kind), S.Offset, S.Size,
             S.Sha256.data()};
    return {};
  });
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

sysmol_status sysmol_model_open(const char *path, const char *target,
                                sysmol_model **model, char *error,
                                size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!path || !model)
      return nullArgument();
    auto M = Model::open(path, target ? target : "");
    if (!M)
      return M.error();
    *model = new sysmol_model{std::move(*M)};
    return {};
  });
}

void sysmol_model_destroy(sysmol_model *model) { delete model; }

const char *sysmol_model_metadata(const sysmol_model *model, size_t *bytes) {
  return metadataText(model->M->bundle(), bytes);
}

const char *sysmol_model_target(const sysmol_model *model) {
  return model->M->target().c_str();
}

size_t sysmol_model_input_count(const sysmol_model *model) {
  return model->M->metadata().Inputs.size();
}

size_t sysmol_model_output_count(const sysmol_model *model) {
  return model->M->metadata().Outputs.size();
}

static Status describe(const std::vector<TensorInfo> &Tensors, size_t Index,
                       sysmol_tensor_info *Info) {
  if (!Info)
    return nullArgument();
  if (Index >= Tensors.size())
    return noSuchIndex(Index, Tensors.size());
  const TensorInfo &T = Tensors[Index];
  *Info = {T.Name.c_str(), static_cast<sysmol_dtype>(T.Type), T.Shape.size(),
           T.Shape.data(), T.bytes()};
  return {};
}

sysmol_status sysmol_model_input(const sysmol_model *model, size_t index,
                                 sysmol_tensor_info *info, char *error,
                                 size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!model)
      return nullArgument();
    return describe(model->M->metadata().Inputs, index, info);
  });
}

sysmol_status sysmol_model_output(const sysmol_model *model, size_t index,
                                  sysmol_tensor_info *info, char *error,
                                  size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!model)
      return nullArgument();
    return describe(model->M->metadata().Outputs, index, info);
  });
}

sysmol_status sysmol_model_verify(const sysmol_model *model, char *error,
                                  size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!model)
      return nullArgument();
    return model->M->verify();
  });
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
/// The C buffers of one call as spans. Fixed storage: runs do not allocate.
struct Arguments {
  std::array<ConstBuffer, MaxTensors> In;
  std::array<Buffer, MaxTensors> Out;
  std::span<const ConstBuffer> Inputs;
  std::span<const Buffer> Outputs;

  Status set(const sysmol_const_buffer *CInputs, size_t InputCount,
             const sysmol_buffer *COutputs, size_t OutputCount) {
    if ((!CInputs && InputCount) || (!COutputs && OutputCount))
      return nullArgument();
    if (InputCount > MaxTensors || OutputCount > MaxTensors)
      return misused("too many buffers; allowed are " +
                     std::to_string(MaxTensors) +
                     "; give one for each tensor of the model");
    for (size_t I = 0; I < InputCount; ++I) {
      if (!CInputs[I].data && CInputs[I].bytes)
        return nullArgument();
      In[I] = {static_cast<const uint8_t *>(CInputs[I].data), CInputs[I].bytes};
    }
    for (size_t I = 0; I < OutputCount; ++I) {
      if (!COutputs[I].data && COutputs[I].bytes)
        return nullArgument();
      Out[I] = {static_cast<uint8_t *>(COutputs[I].data), COutputs[I].bytes};
    }
    Inputs = std::span(In).first(InputCount);
    Outputs = std::span(Out).first(OutputCount);
    return {};
  }
};
} // namespace

sysmol_status sysmol_context_create(const sysmol_model *model,
                                    sysmol_context **context, char *error,
                                    size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!model || !context)
      return nullArgument();
    auto C = model->M->createContext();
    if (!C)
      return C.error();
    *context = new sysmol_context{model->M.get(), std::move(*C), nullptr,
                                  getProfileLayers(*model->M)};
    return {};
  });
}

void sysmol_context_destroy(sysmol_context *context) { delete context; }

sysmol_status sysmol_run(sysmol_context *context,
                         const sysmol_const_buffer *inputs, size_t input_count,
                         const sysmol_buffer *outputs, size_t output_count,
                         char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!context)
      return nullArgument();
    Arguments A;
    if (Status S = A.set(inputs, input_count, outputs, output_count); !S)
      return S;
    return context->M->run(context->C, A.Inputs, A.Outputs, context->T);
  });
}

sysmol_status sysmol_team_create(unsigned threads, sysmol_placement placement,
                                 sysmol_team **team, char *error,
                                 size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!team)
      return nullArgument();
    if (placement != SYSMOL_PLACE_FREE && placement != SYSMOL_PLACE_PINNED)
      return misused("placement " + std::to_string(placement) +
                     " does not exist; allowed are SYSMOL_PLACE_FREE and "
                     "SYSMOL_PLACE_PINNED");
    auto T = Team::create(threads, placement == SYSMOL_PLACE_PINNED
                                       ? Placement::Pinned
                                       : Placement::Free);
    if (!T)
      return T.error();
    *team = new sysmol_team{std::move(*T)};
    return {};
  });
}

void sysmol_team_destroy(sysmol_team *team) { delete team; }

sysmol_status sysmol_context_set_team(sysmol_context *context,
                                      sysmol_team *team, char *error,
                                      size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!context)
      return nullArgument();
    context->T = team ? &team->T : nullptr;
    return {};
  });
}

size_t sysmol_context_profile_count(const sysmol_context *context) {
  return context->ProfileLayers.size();
}

const char *sysmol_context_profile_name(const sysmol_context *context,
                                        size_t index) {
  return index < context->ProfileLayers.size()
             ? context->ProfileLayers[index].c_str()
             : nullptr;
}

sysmol_status
sysmol_context_profile(sysmol_context *context,
                       const sysmol_const_buffer *inputs, size_t input_count,
                       const sysmol_buffer *outputs, size_t output_count,
                       unsigned runs, double *minimum, double *median,
                       size_t count, char *error, size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!context || !minimum || !median)
      return nullArgument();
    Arguments A;
    if (Status S = A.set(inputs, input_count, outputs, output_count); !S)
      return S;
    auto P =
        profile(*context->M, context->C, A.Inputs, A.Outputs, runs, context->T);
    if (!P)
      return P.error();
    if (count != P->Layers.size() + 1)
      return misused(std::to_string(count) +
                     " numbers have room; give room "
                     "for " +
                     std::to_string(P->Layers.size() + 1));
    P->Layers.push_back(P->Total);
    for (size_t I = 0; I < count; ++I) {
      minimum[I] = P->Layers[I].Minimum;
      median[I] = P->Layers[I].Median;
    }
    return {};
  });
}

double sysmol_measure_cycles(void) { return measureCyclesPerSecond(); }

sysmol_status sysmol_pool_create(const sysmol_model *model, unsigned threads,
                                 sysmol_pool **pool, char *error,
                                 size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!model || !pool)
      return nullArgument();
    auto P = Pool::create(*model->M, threads);
    if (!P)
      return P.error();
    *pool = new sysmol_pool{std::move(*P)};
    return {};
  });
}

void sysmol_pool_destroy(sysmol_pool *pool) { delete pool; }

sysmol_status sysmol_pool_run(sysmol_pool *pool,
                              const sysmol_const_buffer *inputs,
                              size_t input_count, const sysmol_buffer *outputs,
                              size_t output_count, uint64_t count, char *error,
                              size_t error_bytes) {
  return guarded(error, error_bytes, [&]() -> Status {
    if (!pool)
      return nullArgument();
    Arguments A;
    if (Status S = A.set(inputs, input_count, outputs, output_count); !S)
      return S;
    return pool->P.run(A.Inputs, A.Outputs, count);
  });
}
