//===- ModelFile.cpp - Reading .mlir files --------------------------------===//

#include "sysmol/Target/Common/ModelFile.h"

#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/Conversion/ConvertToLLVM/ToLLVMPass.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "sysmol/InitAll.h"
#include "sysmol/Target/Common/Failure.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/Threading.h"
#include <latch>
#include <pthread.h>
#include <vector>

using namespace mlir;
using namespace sysmol;

/// Whether so many threads can be started. LLVM's pools end the process where
/// one cannot, so that it must be known before.
static bool canStartThreads(unsigned count) {
  pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&held);
  auto wait = [](void *mutex) -> void * {
    // All are there until the last one is, or has failed.
    pthread_mutex_lock(static_cast<pthread_mutex_t *>(mutex));
    pthread_mutex_unlock(static_cast<pthread_mutex_t *>(mutex));
    return nullptr;
  };
  std::vector<pthread_t> threads;
  for (pthread_t thread; threads.size() < count;) {
    if (pthread_create(&thread, nullptr, wait, &held) != 0)
      break;
    threads.push_back(thread);
  }
  pthread_mutex_unlock(&held);
  for (pthread_t thread : threads)
    pthread_join(thread, nullptr);
  pthread_mutex_destroy(&held);
  return threads.size() == count;
}

/// A pool whose threads have all been started; null where there is one CPU, or
/// no thread to be had.
static std::unique_ptr<llvm::ThreadPoolInterface> startPool() {
  unsigned threads = llvm::hardware_concurrency().compute_thread_count();
  if (threads < 2 || !canStartThreads(threads))
    return nullptr;
  auto pool = std::make_unique<llvm::DefaultThreadPool>(
      llvm::hardware_concurrency(threads));
  std::latch all(threads);
  for (unsigned i = 0; i < threads; ++i)
    pool->async([&] { all.arrive_and_wait(); });
  pool->wait();
  return pool;
}

CompilerContext::CompilerContext() : pool(startPool()) {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllHetprecDialects(registry);
  // All that translating to LLVM IR, and finding what converts a dialect, would
  // add to the context later: threads must not see it grow.
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerConvertToLLVMDependentDialectLoading(registry);
  context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  if (pool)
    context->setThreadPool(*pool);
}

/// Far more than any model needs, far less than a stack holds.
static constexpr unsigned kMaxNesting = 256;

/// MLIR's parser descends once for each open bracket and has no limit of its
/// own: says why `text` must not be parsed (empty: it may). One linear scan.
static std::string findDeepNesting(llvm::StringRef text) {
  unsigned depth = 0, minuses = 0, line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i], next = i + 1 < text.size() ? text[i + 1] : 0;
    // Affine expressions descend once for each minus.
    if (c != '-' && !llvm::isSpace(c))
      minuses = 0;
    switch (c) {
    case '\n':
      ++line;
      break;
    case '"': // a string, which ends in its line
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        if (text[i] == '\\')
          ++i;
      line += i < text.size() && text[i] == '\n';
      break;
    case '/':
      if (next == '/') {
        i = std::min(text.find('\n', i), text.size());
        ++line;
      }
      break;
    case '(':
    case '[':
    case '{':
      ++depth;
      break;
    case '<':
      depth += next != '=';
      break;
    case ')':
    case ']':
    case '}':
      depth -= depth > 0;
      break;
    case '>': // no bracket in -> and >=
      if (next != '=' && (i == 0 || text[i - 1] != '-'))
        depth -= depth > 0;
      break;
    case '-':
      ++minuses;
      break;
    default:
      break;
    }
    if (depth > kMaxNesting || minuses > kMaxNesting)
      return llvm::formatv("line {0} is nested deeper than {1} brackets", line,
                           kMaxNesting);
  }
  return "";
}

llvm::Expected<OwningOpRef<ModuleOp>>
sysmol::readModelFile(const std::string &path, MLIRContext *context) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return makeError(path + ": cannot be read: " + buffer.getError().message());
  // The bytecode reader crashes on hostile bytes, the text parser on deep
  // nesting alone.
  if (isBytecode(**buffer))
    return makeError(path + ": MLIR bytecode is refused; give the text that "
                            "sysmol-opt prints of it");
  if (std::string why = findDeepNesting((*buffer)->getBuffer()); !why.empty())
    return makeError(path + ": " + why);
  ErrorCollector errors(context);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, context);
  if (!module)
    return errors.take(path + ": cannot be read as MLIR");
  return module;
}
