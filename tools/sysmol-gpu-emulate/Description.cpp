//===- Description.cpp - The launches of a kernel or a network ------------===//

#include "Description.h"

#include "sysmol/Target/NVVM/Limits.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"

#include <cstring>

using namespace sysmol;
using namespace sysmol::emulate;
namespace json = llvm::json;

namespace {
class Reader {
public:
  explicit Reader(llvm::StringRef name) : name(name) {}
  llvm::Expected<Description> read(llvm::StringRef text);

private:
  llvm::Error refuse(const llvm::Twine &why) const {
    return llvm::make_error<emulator::EmulatorError>(
        emulator::FaultKind::Refused, (name + ": " + why).str());
  }
  llvm::Error buffer(llvm::StringRef key, const json::Value &value,
                     Description &into) const;
  llvm::Error launch(const json::Value &value, Description &into) const;
  llvm::Error dimensions(const json::Object &object, llvm::StringRef key,
                         emulator::Dim3 &into) const;
  llvm::Expected<Argument> argument(const json::Value &value,
                                    const Description &description) const;

  llvm::StringRef name;
  bool isNetwork = false;
};
} // namespace

llvm::Error Reader::buffer(llvm::StringRef key, const json::Value &value,
                           Description &into) const {
  const json::Object *object = value.getAsObject();
  auto bytes = object ? object->getInteger("bytes") : std::nullopt;
  if (!bytes || *bytes < 0 || uint64_t(*bytes) > kMaxNetworkBytes)
    return refuse("buffer '" + key + "' must have \"bytes\" of at most " +
                  llvm::Twine(kMaxNetworkBytes));
  BufferDescription &read = into.buffers[key.str()];
  read.bytes = *bytes;
  read.zero = object->getBoolean("zero").value_or(false);
  if (!isNetwork)
    return llvm::Error::success();
  auto role = object->getString("role").value_or("");
  if (role == "input" || role == "output")
    return llvm::Error::success();
  auto offset = object->getInteger("offset");
  if ((role != "constant" && role != "scratch") || !offset || *offset < 0 ||
      uint64_t(*offset) > kMaxNetworkBytes)
    return refuse("buffer '" + key +
                  "' must be an input or output, or a constant or scratch with "
                  "\"offset\"");
  read.memory =
      role == "constant" ? BufferDescription::Data : BufferDescription::Arena;
  read.offset = *offset;
  if (role == "scratch" && read.offset + read.bytes > into.arenaBytes)
    return refuse("buffer '" + key + "' ends behind the arena's " +
                  llvm::Twine(into.arenaBytes) + " bytes");
  return llvm::Error::success();
}

llvm::Error Reader::dimensions(const json::Object &object, llvm::StringRef key,
                               emulator::Dim3 &into) const {
  const json::Array *array = object.getArray(key);
  if (!array || array->size() != 3)
    return refuse("a launch must have \"" + key + "\" with three numbers");
  for (auto [index, value] : llvm::enumerate(*array)) {
    auto number = value.getAsInteger();
    if (!number || *number < 1 || *number > INT32_MAX)
      return refuse("\"" + key + "\" must have numbers of at least 1");
    into[index] = static_cast<uint32_t>(*number);
  }
  return llvm::Error::success();
}

template <typename T> static std::vector<uint8_t> bytesOf(T value) {
  std::vector<uint8_t> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

llvm::Expected<Argument>
Reader::argument(const json::Value &value,
                 const Description &description) const {
  if (auto buffer = value.getAsString()) {
    if (!description.buffers.count(buffer->str()))
      return refuse("an argument names '" + *buffer +
                    "', which is no buffer of the file");
    return Argument(buffer->str());
  }
  const json::Object *object = value.getAsObject();
  if (object && object->size() == 1) {
    if (auto number = object->getInteger("i32"))
      return Argument(bytesOf(static_cast<int32_t>(*number)));
    if (auto number = object->getInteger("i64"))
      return Argument(bytesOf(*number));
    if (auto number = object->getNumber("f32"))
      return Argument(bytesOf(static_cast<float>(*number)));
  }
  return refuse("an argument must be the name of a buffer, or {\"i32\": n}, "
                "{\"i64\": n}, {\"f32\": x}");
}

llvm::Error Reader::launch(const json::Value &value, Description &into) const {
  const json::Object *object = value.getAsObject();
  auto entry = object ? object->getString("entry") : std::nullopt;
  const json::Array *arguments =
      object ? object->getArray("arguments") : nullptr;
  if (!entry || !arguments)
    return refuse("a launch must have \"entry\" and \"arguments\"");
  LaunchDescription launch;
  launch.entry = entry->str();
  if (llvm::Error error = dimensions(*object, "grid", launch.config.grid))
    return error;
  if (llvm::Error error = dimensions(*object, "block", launch.config.block))
    return error;
  int64_t shared = object->getInteger("shared_bytes").value_or(0);
  if (shared < 0)
    return refuse("\"shared_bytes\" must not be negative");
  launch.config.sharedBytes = shared;
  for (const json::Value &item : *arguments) {
    auto parsed = argument(item, into);
    if (!parsed)
      return parsed.takeError();
    launch.arguments.push_back(std::move(*parsed));
  }
  into.launches.push_back(std::move(launch));
  return llvm::Error::success();
}

llvm::Expected<Description> Reader::read(llvm::StringRef text) {
  auto parsed = json::parse(text);
  if (!parsed)
    return refuse(llvm::toString(parsed.takeError()));
  const json::Object *root = parsed->getAsObject();
  auto format = root ? root->getString("format") : std::nullopt;
  isNetwork = format == "sysmol-gpu-network";
  if ((!isNetwork && format != "sysmol-gpu-kernel") ||
      root->getInteger("version") != 1)
    return refuse("this is no launch description (format sysmol-gpu-kernel or "
                  "sysmol-gpu-network, version 1)");
  Description description;
  description.llvmIR = root->getString("llvm_ir").value_or("").str();
  // Code for other chips than ours has the limit of the largest.
  if (auto arch = root->getString("arch"))
    if (const GPUChip *chip = findGPUChip(*arch))
      description.maxSharedBytes = chip->sharedBytes;
  if (isNetwork) {
    auto data = root->getString("data");
    auto arenaBytes = root->getInteger("arena_bytes");
    if (!data || !arenaBytes || *arenaBytes < 0 ||
        uint64_t(*arenaBytes) > kMaxNetworkBytes)
      return refuse("a network must have \"data\", and \"arena_bytes\" of at "
                    "most " +
                    llvm::Twine(kMaxNetworkBytes));
    description.data = data->str();
    description.arenaBytes = *arenaBytes;
  }
  const json::Object *buffers = root->getObject("buffers");
  const json::Array *launches = root->getArray("launches");
  if (!buffers || !launches)
    return refuse("\"buffers\" or \"launches\" is missing");
  for (const auto &[key, value] : *buffers)
    if (llvm::Error error = buffer(key, value, description))
      return std::move(error);
  for (const json::Value &value : *launches)
    if (llvm::Error error = launch(value, description))
      return std::move(error);
  return description;
}

llvm::Expected<Description>
sysmol::emulate::parseDescription(llvm::StringRef text, llvm::StringRef name) {
  return Reader(name).read(text);
}
