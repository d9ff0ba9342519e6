//===- Metadata.cpp - What a bundle says about itself ---------------------===//
//
// The JSON of the metadata section. Every access asks for the type first:
// nlohmann's library is used without exceptions, where a wrong type aborts.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Runtime/Metadata.h"

#include "Support.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace sysmol::runtime {

using nlohmann::json;
using nlohmann::ordered_json;

/// No tensor, arena or section is larger; sums of them cannot overflow.
static constexpr uint64_t MaxBytes = uint64_t(1) << 40;
static constexpr size_t MaxNameLength = 1024;
static constexpr size_t MaxRank = 16;
static constexpr size_t MaxLayers = 1u << 16;

static constexpr struct {
  DType Type;
  std::string_view Name;
  uint64_t Bytes;
} DTypes[] = {{DType::F32, "f32", 4},
              {DType::U8, "u8", 1},
              {DType::I32, "i32", 4},
              {DType::I16, "i16", 2},
              {DType::I8, "i8", 1}};

std::string_view dtypeName(DType Type) {
  return DTypes[static_cast<size_t>(Type)].Name;
}

uint64_t dtypeBytes(DType Type) {
  return DTypes[static_cast<size_t>(Type)].Bytes;
}

uint64_t TensorInfo::bytes() const {
  uint64_t Bytes = dtypeBytes(Type);
  for (uint64_t Extent : Shape)
    Bytes = multiplySaturated(Bytes, Extent);
  return Bytes;
}

static uint64_t sumBytes(const std::vector<TensorInfo> &Tensors) {
  uint64_t Sum = 0;
  for (const TensorInfo &T : Tensors)
    Sum += T.bytes();
  return Sum;
}

uint64_t Metadata::inputBytes() const { return sumBytes(Inputs); }
uint64_t Metadata::outputBytes() const { return sumBytes(Outputs); }

bool isTargetName(std::string_view Name) {
  // "code/", the name and a zero byte share the 32 bytes of a section name.
  return !Name.empty() && Name.size() <= 26 &&
         Name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") ==
             Name.npos;
}

//===----------------------------------------------------------------------===//
// Checking
//===----------------------------------------------------------------------===//

static Error wrong(const std::string &What, const std::string &Allowed) {
  return refused("metadata: " + What + "; " + Allowed +
                 "; compile the model again");
}

static Status checkName(const std::string &Key, const std::string &Name) {
  bool Printable = std::none_of(Name.begin(), Name.end(), [](char C) {
    auto Byte = static_cast<unsigned char>(C);
    return Byte < 0x20 || Byte == 0x7f;
  });
  if (Name.empty() || Name.size() > MaxNameLength || !Printable)
    return wrong("'" + Key + "' is not a usable name",
                 "allowed are 1 to " + std::to_string(MaxNameLength) +
                     " bytes without control characters");
  return {};
}

static Status checkTensors(const std::string &Key,
                           const std::vector<TensorInfo> &Tensors) {
  if (Tensors.empty() || Tensors.size() > MaxTensors)
    return wrong("'" + Key + "' has " + std::to_string(Tensors.size()) +
                     " tensors",
                 "allowed are 1 to " + std::to_string(MaxTensors));
  std::set<std::string_view> Names;
  for (const TensorInfo &T : Tensors) {
    if (Status S = checkName(Key + ".name", T.Name); !S)
      return S;
    if (!Names.insert(T.Name).second)
      return wrong("'" + Key + "' has two tensors called " + inQuotes(T.Name),
                   "names are unique");
    bool Zero = std::find(T.Shape.begin(), T.Shape.end(), 0) != T.Shape.end();
    if (Zero || T.Shape.size() > MaxRank || T.bytes() > MaxBytes)
      return wrong("the shape of " + inQuotes(T.Name) + " is not usable",
                   "allowed are up to " + std::to_string(MaxRank) +
                       " extents, each at least 1, and up to " +
                       std::to_string(MaxBytes) + " bytes");
  }
  return {};
}

static Status checkLayer(const LayerInfo &L) {
  if (Status S = checkName("layers.name", L.Name); !S)
    return S;
  if (Status S = checkName("layers.op", L.Op); !S)
    return S;
  if (L.Shape.size() > MaxRank)
    return wrong("layer " + inQuotes(L.Name) + " has too many extents",
                 "allowed are up to " + std::to_string(MaxRank));
  for (auto [Bits, Channels] : L.Levels)
    if (Bits != 1 && Bits != 2 && Bits != 4 && Bits != 8 && Bits != 32)
      return wrong("layer " + inQuotes(L.Name) + " has a level of " +
                       std::to_string(Bits) + " bits",
                   "levels are 1, 2, 4, 8, or 32 for float");
  return {};
}

static Status checkProfile(const ProfileInfo &P, uint64_t ArenaBytes) {
  if (P.Layers.empty())
    return {};
  if (P.Layers.size() > MaxLayers)
    return wrong("'code.profile.layers' has " +
                     std::to_string(P.Layers.size()) + " rows",
                 "at most " + std::to_string(MaxLayers) + " are allowed");
  uint64_t Bytes = (P.Layers.size() + 1) * sizeof(uint64_t);
  if (P.Offset % sizeof(uint64_t) || P.Offset > ArenaBytes ||
      Bytes > ArenaBytes - P.Offset)
    return wrong("'code.profile.offset' is " + std::to_string(P.Offset),
                 "the clocks lie within the arena, at a multiple of 8");
  for (const std::string &Layer : P.Layers)
    if (Status S = checkName("code.profile.layers", Layer); !S)
      return S;
  return {};
}

Status Metadata::check() const {
  if (Status S = checkName("model", Model); !S)
    return S;
  if (Status S = checkName("producer", Producer); !S)
    return S;
  if (Status S = checkTensors("inputs", Inputs); !S)
    return S;
  if (Status S = checkTensors("outputs", Outputs); !S)
    return S;
  const std::pair<const char *, uint64_t> Sizes[] = {
      {"arena_bytes", ArenaBytes},
      {"weights_bytes", WeightsBytes},
      {"float_bytes", FloatBytes}};
  for (auto [Key, Bytes] : Sizes)
    if (Bytes > MaxBytes)
      return wrong("'" + std::string(Key) + "' is " + std::to_string(Bytes),
                   "at most " + std::to_string(MaxBytes) + " is allowed");

  std::set<std::string_view> Targets;
  for (const CodeInfo &C : Code) {
    if (!isTargetName(C.Target))
      return wrong("'code.target' is " + inQuotes(C.Target),
                   "allowed are 1 to 26 characters of a-z 0-9 . _ -");
    if (!Targets.insert(C.Target).second)
      return wrong("'code' has the target " + inQuotes(C.Target) + " twice",
                   "targets are unique");
    for (const std::string &Feature : C.CpuFeatures)
      if (Status S = checkName("code.cpu_features", Feature); !S)
        return S;
    if (!C.Strategies.empty() && C.Strategies.size() != Layers.size())
      return wrong("'code.strategies' of " + inQuotes(C.Target) + " has " +
                       std::to_string(C.Strategies.size()) + " rows",
                   "one for each layer is allowed, or none");
    for (const std::string &Strategy : C.Strategies)
      if (Status S = checkName("code.strategies", Strategy); !S)
        return S;
    if (Status S = checkProfile(C.Profile, ArenaBytes); !S)
      return S;
  }
  if (Layers.size() > MaxLayers)
    return wrong("'layers' has " + std::to_string(Layers.size()) + " rows",
                 "at most " + std::to_string(MaxLayers) + " are allowed");
  for (const LayerInfo &L : Layers)
    if (Status S = checkLayer(L); !S)
      return S;
  return {};
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static ordered_json toJson(const std::vector<TensorInfo> &Tensors) {
  ordered_json List = ordered_json::array();
  for (const TensorInfo &T : Tensors)
    List.push_back(
        {{"name", T.Name}, {"dtype", dtypeName(T.Type)}, {"shape", T.Shape}});
  return List;
}

std::string Metadata::toJson() const {
  ordered_json Root = {{"schema", MetadataSchema},
                       {"model", Model},
                       {"producer", Producer},
                       {"inputs", runtime::toJson(Inputs)},
                       {"outputs", runtime::toJson(Outputs)},
                       {"arena_bytes", ArenaBytes},
                       {"arena_alignment", ArenaAlignment},
                       {"weights_bytes", WeightsBytes},
                       {"float_bytes", FloatBytes},
                       {"golden_pairs", GoldenPairs}};
  ordered_json &CodeList = Root["code"] = ordered_json::array();
  for (const CodeInfo &C : Code) {
    CodeList.push_back({{"target", C.Target},
                        {"cpu_features", C.CpuFeatures},
                        {"strategies", C.Strategies}});
    if (!C.Profile.Layers.empty())
      CodeList.back()["profile"] = {{"offset", C.Profile.Offset},
                                    {"layers", C.Profile.Layers}};
  }
  ordered_json &LayerList = Root["layers"] = ordered_json::array();
  for (const LayerInfo &L : Layers) {
    ordered_json Levels = ordered_json::object();
    for (auto [Bits, Channels] : L.Levels)
      Levels[std::to_string(Bits)] = Channels;
    LayerList.push_back({{"name", L.Name},
                         {"op", L.Op},
                         {"shape", L.Shape},
                         {"levels", std::move(Levels)},
                         {"macs", L.Macs},
                         {"weight_bytes", L.WeightBytes},
                         {"table_bytes", L.TableBytes},
                         {"needed_macs", L.NeededMacs},
                         {"executed_macs", L.ExecutedMacs},
                         {"predicted_ns", L.PredictedNs},
                         {"product_ns", L.ProductNs}});
  }
  // Replacing bad UTF-8 instead of throwing; the writer notices the change.
  return Root.dump(1, ' ', false, ordered_json::error_handler_t::replace) +
         "\n";
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// Takes typed values out of JSON. The first wrong one is kept as the error
/// and every later request gives an empty value.
class Extractor {
public:
  Status take() { return Failed ? Status(*Failed) : Status(); }

  const json &get(const json &Object, const std::string &Key) {
    static const json Null;
    if (!Object.is_object())
      return fail(Key, "the object around it"), Null;
    auto It = Object.find(Key);
    if (It == Object.end())
      return fail(Key, "this key"), Null;
    return *It;
  }

  uint64_t number(const json &Value, const std::string &Key) {
    if (!Value.is_number_unsigned())
      return fail(Key, "a non-negative integer"), 0;
    return *Value.get_ptr<const json::number_unsigned_t *>();
  }

  std::string text(const json &Value, const std::string &Key) {
    if (!Value.is_string())
      return fail(Key, "a string"), std::string();
    return *Value.get_ptr<const json::string_t *>();
  }

  const json::array_t &list(const json &Value, const std::string &Key) {
    static const json::array_t Empty;
    if (!Value.is_array())
      return fail(Key, "a list"), Empty;
    return *Value.get_ptr<const json::array_t *>();
  }

  std::vector<uint64_t> numbers(const json &Value, const std::string &Key) {
    std::vector<uint64_t> Numbers;
    for (const json &Element : list(Value, Key))
      Numbers.push_back(number(Element, Key));
    return Numbers;
  }

  std::vector<TensorInfo> tensors(const json &Root, const std::string &Key) {
    std::vector<TensorInfo> Tensors;
    for (const json &Element : list(get(Root, Key), Key)) {
      TensorInfo T;
      T.Name = text(get(Element, "name"), Key + ".name");
      std::string Type = text(get(Element, "dtype"), Key + ".dtype");
      auto Known = std::find_if(std::begin(DTypes), std::end(DTypes),
                                [&](auto &D) { return D.Name == Type; });
      if (Known == std::end(DTypes))
        fail(Key + ".dtype", "one of f32, u8, i32, i16, i8");
      else
        T.Type = Known->Type;
      T.Shape = numbers(get(Element, "shape"), Key + ".shape");
      Tensors.push_back(std::move(T));
    }
    return Tensors;
  }

  std::map<unsigned, uint64_t> levels(const json &Value) {
    std::map<unsigned, uint64_t> Levels;
    if (!Value.is_object())
      return fail("layers.levels", "an object"), Levels;
    for (const auto &[Key, Channels] : Value.items()) {
      unsigned Bits = 0;
      const char *End = Key.data() + Key.size();
      auto [Rest, Code] = std::from_chars(Key.data(), End, Bits);
      if (Code != std::errc() || Rest != End)
        fail("layers.levels", "a number of bits as key");
      Levels[Bits] = number(Channels, "layers.levels");
    }
    return Levels;
  }

  void fail(const std::string &Key, const std::string &Expected) {
    if (!Failed)
      Failed = wrong("'" + Key + "' is missing or has the wrong type",
                     "expected " + Expected);
  }

private:
  std::optional<Error> Failed;
};
} // namespace

Result<Metadata> Metadata::fromJson(std::string_view Text) {
  json Root = json::parse(Text.begin(), Text.end(), nullptr,
                          /*allow_exceptions=*/false);
  if (!Root.is_object())
    return wrong("it is not one JSON object",
                 "expected the keys of schema " +
                     std::to_string(MetadataSchema));
  Extractor X;
  uint64_t Schema = X.number(X.get(Root, "schema"), "schema");
  if (Status S = X.take(); !S)
    return S.error();
  // First, because every other key may mean something else in another schema.
  if (Schema != MetadataSchema)
    return refused(
        "metadata: 'schema' is " + std::to_string(Schema) +
        "; this runtime reads " + std::to_string(MetadataSchema) +
        "; compile the model again, or use the runtime of the sysmol "
        "that wrote the bundle");

  Metadata M;
  M.Model = X.text(X.get(Root, "model"), "model");
  M.Producer = X.text(X.get(Root, "producer"), "producer");
  M.Inputs = X.tensors(Root, "inputs");
  M.Outputs = X.tensors(Root, "outputs");
  M.ArenaBytes = X.number(X.get(Root, "arena_bytes"), "arena_bytes");
  uint64_t Align = X.number(X.get(Root, "arena_alignment"), "arena_alignment");
  if (Align != ArenaAlignment)
    X.fail("arena_alignment", std::to_string(ArenaAlignment));
  M.WeightsBytes = X.number(X.get(Root, "weights_bytes"), "weights_bytes");
  M.FloatBytes = X.number(X.get(Root, "float_bytes"), "float_bytes");
  M.GoldenPairs = X.number(X.get(Root, "golden_pairs"), "golden_pairs");
  for (const json &Element : X.list(X.get(Root, "code"), "code")) {
    CodeInfo C;
    C.Target = X.text(X.get(Element, "target"), "code.target");
    const json &Features = X.get(Element, "cpu_features");
    for (const json &Feature : X.list(Features, "code.cpu_features"))
      C.CpuFeatures.push_back(X.text(Feature, "code.cpu_features"));
    const json &Strategies = X.get(Element, "strategies");
    for (const json &Strategy : X.list(Strategies, "code.strategies"))
      C.Strategies.push_back(X.text(Strategy, "code.strategies"));
    if (Element.is_object() && Element.contains("profile")) {
      const json &Profile = X.get(Element, "profile");
      C.Profile.Offset =
          X.number(X.get(Profile, "offset"), "code.profile.offset");
      const json &Layers = X.get(Profile, "layers");
      for (const json &Layer : X.list(Layers, "code.profile.layers"))
        C.Profile.Layers.push_back(X.text(Layer, "code.profile.layers"));
    }
    M.Code.push_back(std::move(C));
  }
  for (const json &Element : X.list(X.get(Root, "layers"), "layers")) {
    LayerInfo L;
    L.Name = X.text(X.get(Element, "name"), "layers.name");
    L.Op = X.text(X.get(Element, "op"), "layers.op");
    L.Shape = X.numbers(X.get(Element, "shape"), "layers.shape");
    L.Levels = X.levels(X.get(Element, "levels"));
    L.Macs = X.number(X.get(Element, "macs"), "layers.macs");
    L.WeightBytes =
        X.number(X.get(Element, "weight_bytes"), "layers.weight_bytes");
    L.TableBytes =
        X.number(X.get(Element, "table_bytes"), "layers.table_bytes");
    // Bundles of before have none.
    L.NeededMacs = Element.is_object() && Element.contains("needed_macs")
                       ? X.number(Element["needed_macs"], "layers.needed_macs")
                       : L.Macs;
    L.ExecutedMacs =
        X.number(X.get(Element, "executed_macs"), "layers.executed_macs");
    L.PredictedNs =
        X.number(X.get(Element, "predicted_ns"), "layers.predicted_ns");
    L.ProductNs = X.number(X.get(Element, "product_ns"), "layers.product_ns");
    M.Layers.push_back(std::move(L));
  }
  if (Status S = X.take(); !S)
    return S.error();
  if (Status S = M.check(); !S)
    return S.error();
  return M;
}

} // namespace sysmol::runtime
