//===- sysmol-gpu-emulate.cpp - Runs a GPU kernel on the CPU --------------===//
//
// sysmol-gpu-emulate KERNEL.json --set weights=w.bin --get output=y.bin
//
// Exit codes: 0 done, 1 input refused, 2 wrong use, 3 too little memory, 70 the
// kernel did what is undefined on a GPU. Errors are one line on stderr.
//
//===----------------------------------------------------------------------===//

#include "Description.h"

#include "sysmol/Runtime/Files.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <sys/mman.h>

namespace cl = llvm::cl;
using namespace sysmol::emulate;
using namespace sysmol::emulator;

namespace {
enum ExitCode { Done = 0, Refused = 1, Usage = 2, Limit = 3, Fault = 70 };

/// A buffer of a launch, with pages that nobody may touch behind its end: what
/// the checks of the emulator leave out still shows.
class DeviceMemory {
public:
  explicit DeviceMemory(uint64_t bytes) : bytes(bytes) {
    void *where = mmap(nullptr, mapped(), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (where != MAP_FAILED)
      data = static_cast<uint8_t *>(where);
  }
  ~DeviceMemory() {
    if (data)
      munmap(data, mapped());
  }
  DeviceMemory(const DeviceMemory &) = delete;
  DeviceMemory &operator=(const DeviceMemory &) = delete;

  bool valid() const { return data != nullptr; }
  llvm::MutableArrayRef<uint8_t> view() const { return {data, bytes}; }

private:
  uint64_t mapped() const { return bytes + 4096; }
  uint8_t *data = nullptr;
  uint64_t bytes;
};

struct Failure {
  ExitCode code;
  std::string message;
};

/// The memory of a description, and its buffers in it.
struct Memories {
  std::vector<std::unique_ptr<DeviceMemory>> owned;
  std::map<std::string, llvm::MutableArrayRef<uint8_t>> buffers;

  std::optional<Failure> add(uint64_t bytes, llvm::StringRef what);
};
} // namespace

std::optional<Failure> Memories::add(uint64_t bytes, llvm::StringRef what) {
  owned.push_back(std::make_unique<DeviceMemory>(bytes));
  if (!owned.back()->valid())
    return Failure{
        Limit, ("no memory for the " + llvm::Twine(bytes) + " bytes of " + what)
                   .str()};
  // What no kernel wrote must show.
  llvm::fill(owned.back()->view(), 0xcd);
  return std::nullopt;
}

static Failure failureOf(llvm::Error error) {
  Failure failure{Fault, ""};
  llvm::handleAllErrors(
      std::move(error),
      [&](const EmulatorError &problem) {
        switch (problem.getKind()) {
        case FaultKind::Refused:
        case FaultKind::Usage: // by the description: launches are its
          failure.code = Refused;
          break;
        case FaultKind::Limit:
          failure.code = Limit;
          break;
        case FaultKind::Kernel:
          failure.code = Fault;
          break;
        }
        failure.message = problem.getMessage();
      },
      [&](const llvm::ErrorInfoBase &problem) {
        failure.message = llvm::join(llvm::split(problem.message(), '\n'), " ");
      });
  return failure;
}

static std::optional<Failure> readInto(llvm::StringRef path,
                                       llvm::StringRef name,
                                       llvm::MutableArrayRef<uint8_t> bytes) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false);
  if (!file)
    return Failure{
        Refused, (path + ": cannot read: " + file.getError().message()).str()};
  if ((*file)->getBufferSize() != bytes.size())
    return Failure{Refused,
                   (path + ": has " + llvm::Twine((*file)->getBufferSize()) +
                    " bytes; buffer '" + name + "' has " +
                    llvm::Twine(bytes.size()))
                       .str()};
  llvm::copy((*file)->getBuffer(), bytes.begin());
  return std::nullopt;
}

/// Splits NAME=FILE and checks the name.
static std::optional<Failure> split(llvm::StringRef option,
                                    const Description &description,
                                    std::string &name, std::string &file) {
  // Names and paths may have '=' in them.
  size_t at = option.find('=');
  while (at != llvm::StringRef::npos &&
         !description.buffers.count(option.take_front(at).str()))
    at = option.find('=', at + 1);
  llvm::StringRef left = option.take_front(at);
  llvm::StringRef right =
      option.drop_front(std::min(at, option.size() - 1) + 1);
  if (right.empty())
    return Failure{
        Usage,
        ("'" + option + "' must be NAME=FILE with the name of a buffer").str()};
  name = left.str();
  file = right.str();
  return std::nullopt;
}

static std::string toJSON(const Statistics &statistics) {
  llvm::json::Object operations;
  for (const auto &[name, count] : statistics.operations)
    operations[name] = static_cast<int64_t>(count);
  llvm::json::Object root{
      {"global_bytes_read", int64_t(statistics.globalBytesRead)},
      {"global_bytes_written", int64_t(statistics.globalBytesWritten)},
      {"shared_bytes_read", int64_t(statistics.sharedBytesRead)},
      {"shared_bytes_written", int64_t(statistics.sharedBytesWritten)},
      {"operations", std::move(operations)}};
  return llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root))).str();
}

static void add(Statistics &total, const Statistics &more) {
  for (const auto &[name, count] : more.operations)
    total.operations[name] += count;
  total.globalBytesRead += more.globalBytesRead;
  total.globalBytesWritten += more.globalBytesWritten;
  total.sharedBytesRead += more.sharedBytesRead;
  total.sharedBytesWritten += more.sharedBytesWritten;
}

static llvm::Expected<Statistics> run(const Description &description,
                                      Emulator &emulator,
                                      const Memories &memories,
                                      uint64_t scheduleSeed) {
  Statistics total;
  for (const LaunchDescription &launch : description.launches) {
    std::vector<uint8_t *> pointers(launch.arguments.size());
    std::vector<const void *> parameters;
    // A launch may touch nothing but its own.
    std::vector<Buffer> buffers;
    for (auto [index, argument] : llvm::enumerate(launch.arguments)) {
      if (const auto *name = std::get_if<std::string>(&argument)) {
        llvm::MutableArrayRef<uint8_t> bytes = memories.buffers.at(*name);
        buffers.push_back({*name, bytes});
        pointers[index] = bytes.data();
        parameters.push_back(static_cast<const void *>(&pointers[index]));
      } else {
        parameters.push_back(std::get<std::vector<uint8_t>>(argument).data());
      }
    }
    LaunchConfig config = launch.config;
    config.scheduleSeed = scheduleSeed;
    config.maxSharedBytes = description.maxSharedBytes;
    auto statistics =
        emulator.launch(launch.entry, config, parameters, buffers);
    if (!statistics)
      return statistics.takeError();
    add(total, *statistics);
  }
  return total;
}

namespace {
struct Options {
  std::string input;
  std::string llvmIR;
  std::vector<std::string> set, get;
  std::string statistics;
  uint64_t scheduleSeed = 0;
};
} // namespace

/// The path of a file that the description `input` names.
static std::string getBeside(llvm::StringRef input, llvm::StringRef name) {
  if (llvm::sys::path::is_absolute(name))
    return name.str();
  llvm::SmallString<128> path = llvm::sys::path::parent_path(input);
  llvm::sys::path::append(path, name);
  return path.str().str();
}

/// Memory of the network's constants, all of the file.
static std::optional<Failure> loadData(const std::string &path,
                                       Memories &memories) {
  uint64_t bytes = 0;
  if (std::error_code code = llvm::sys::fs::file_size(path, bytes))
    return Failure{Refused, path + ": cannot read: " + code.message()};
  if (auto failure = memories.add(bytes, "the constants"))
    return failure;
  return readInto(path, "constants", memories.owned.back()->view());
}

static std::optional<Failure> allocate(const Description &description,
                                       llvm::StringRef input,
                                       Memories &memories) {
  llvm::MutableArrayRef<uint8_t> data, arena;
  std::string path = getBeside(input, description.data);
  if (!description.data.empty()) {
    if (auto failure = loadData(path, memories))
      return failure;
    data = memories.owned.back()->view();
    if (auto failure = memories.add(description.arenaBytes, "the arena"))
      return failure;
    arena = memories.owned.back()->view();
  }
  for (const auto &[name, buffer] : description.buffers) {
    llvm::MutableArrayRef<uint8_t> from;
    if (buffer.memory == BufferDescription::Own) {
      if (auto failure = memories.add(buffer.bytes, "buffer '" + name + "'"))
        return failure;
      from = memories.owned.back()->view();
      if (buffer.zero)
        llvm::fill(from, 0);
    } else {
      from = buffer.memory == BufferDescription::Data ? data : arena;
      if (buffer.offset + buffer.bytes > from.size())
        return Failure{Refused, llvm::formatv("{0}: ends before buffer '{1}'",
                                              path, name)};
    }
    memories.buffers[name] = from.slice(buffer.offset, buffer.bytes);
  }
  return std::nullopt;
}

static std::optional<Failure> emulate(const Options &options) {
  auto text = llvm::MemoryBuffer::getFile(options.input);
  if (!text)
    return Failure{Refused, options.input +
                                ": cannot read: " + text.getError().message()};
  auto description = parseDescription((*text)->getBuffer(), options.input);
  if (!description)
    return failureOf(description.takeError());

  llvm::SmallString<128> path(options.llvmIR);
  if (path.empty()) {
    if (description->llvmIR.empty())
      return Failure{Refused, options.input + ": names no \"llvm_ir\"; give "
                                              "--llvm-ir"};
    path = getBeside(options.input, description->llvmIR);
  }
  auto ir = llvm::MemoryBuffer::getFile(path);
  if (!ir)
    return Failure{Refused,
                   (path + ": cannot read: " + ir.getError().message()).str()};

  Memories memories;
  if (auto failure = allocate(*description, options.input, memories))
    return failure;
  std::string name, file;
  for (const std::string &option : options.set) {
    if (auto failure = split(option, *description, name, file))
      return failure;
    if (auto failure = readInto(file, name, memories.buffers[name]))
      return failure;
  }
  for (const std::string &option : options.get)
    if (auto failure = split(option, *description, name, file))
      return failure;

  auto emulator = Emulator::fromIR((*ir)->getBuffer(), path);
  if (!emulator)
    return failureOf(emulator.takeError());
  auto statistics =
      run(*description, **emulator, memories, options.scheduleSeed);
  if (!statistics)
    return failureOf(statistics.takeError());

  std::vector<sysmol::runtime::FileContent> files;
  for (const std::string &option : options.get) {
    if (auto failure = split(option, *description, name, file))
      return failure;
    llvm::ArrayRef<uint8_t> bytes = memories.buffers[name];
    files.push_back({file, {bytes.data(), bytes.size()}});
  }
  std::string counts = toJSON(*statistics);
  bool isPrinted = options.statistics == "-";
  if (!options.statistics.empty() && !isPrinted)
    files.push_back(
        {options.statistics,
         {reinterpret_cast<const uint8_t *>(counts.data()), counts.size()}});
  // All of them, or none.
  if (auto written = sysmol::runtime::writeFilesAtomically(files); !written)
    return Failure{ExitCode(written.error().Kind), written.error().Message};
  if (isPrinted)
    llvm::outs() << counts;
  return std::nullopt;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::OptionCategory category("sysmol-gpu-emulate options");
  cl::opt<std::string> input(cl::Positional, cl::Required,
                             cl::desc("<kernel.json>"), cl::cat(category));
  cl::opt<std::string> llvmIR("llvm-ir", cl::cat(category),
                              cl::value_desc("file"),
                              cl::desc("Instead of the file that the "
                                       "description names"));
  cl::list<std::string> set("set", cl::cat(category),
                            cl::value_desc("name=file"),
                            cl::desc("What a buffer holds at first"));
  cl::list<std::string> get("get", cl::cat(category),
                            cl::value_desc("name=file"),
                            cl::desc("Where to write a buffer at the end"));
  cl::opt<std::string> statistics(
      "statistics", cl::cat(category), cl::value_desc("file"),
      cl::desc("Write counts of operations and bytes as JSON (- for stdout)"));
  cl::opt<uint64_t> seed(
      "schedule-seed", cl::cat(category), cl::init(0),
      cl::desc("Shuffle blocks and warps; 0 runs them in order"));
  cl::HideUnrelatedOptions(category);
  std::string complaint;
  llvm::raw_string_ostream complaints(complaint);
  if (!cl::ParseCommandLineOptions(
          argc, argv,
          "Runs a GPU kernel or network, by its launch description and LLVM "
          "IR, on the CPU\n",
          &complaints)) {
    std::string line = llvm::StringRef(complaint).trim().str();
    std::replace(line.begin(), line.end(), '\n', ' ');
    if (!line.empty()) // else LLVM said it: a value that is none
      llvm::errs() << line << "\n";
    return Usage;
  }

  auto failure = emulate({input,
                          llvmIR,
                          {set.begin(), set.end()},
                          {get.begin(), get.end()},
                          statistics,
                          seed});
  if (!failure)
    return Done;
  llvm::errs() << "sysmol-gpu-emulate: error: " << failure->message << "\n";
  return failure->code;
}
