//===- Link.cpp - Object files to a shared object -------------------------===//

#include "sysmol/Target/Native/CodeGen.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <deque>
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace sysmol;

static llvm::Error fail(const llvm::Twine &what) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                 what.str().c_str());
}

/// Writes `content` to a new file, whose name it gives.
static llvm::Error writeTemporary(llvm::ArrayRef<char> content,
                                  llvm::SmallVectorImpl<char> &path) {
  int fd;
  if (std::error_code ec =
          llvm::sys::fs::createTemporaryFile("sysmol", "o", fd, path))
    return fail("cannot create a temporary file: " + ec.message());
  llvm::raw_fd_ostream os(fd, /*shouldClose=*/true);
  os.write(content.data(), content.size());
  os.close();
  if (!os.has_error())
    return llvm::Error::success();
  std::string why = os.error().message();
  os.clear_error();
  return fail("cannot write a temporary file: " + why);
}

llvm::Expected<std::vector<uint8_t>>
sysmol::linkSharedObject(llvm::ArrayRef<llvm::SmallVector<char, 0>> objects) {
  std::vector<llvm::SmallString<128>> in(objects.size());
  std::deque<llvm::FileRemover> removers;
  for (auto [object, path] : llvm::zip_equal(objects, in)) {
    llvm::Error error = writeTemporary(object, path);
    if (!path.empty()) // there is a file, written or not
      removers.emplace_back(path);
    if (error)
      return error;
  }
  // Beside it, and not there yet: lld would remove it in another thread.
  llvm::SmallString<128> out = in.front();
  out += ".so";
  llvm::FileRemover removeOut(out);

  // lld keeps its state in globals: one link at a time.
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  std::string messages;
  llvm::raw_string_ostream os(messages);
  // No soname, no build id, no hash of paths: same input, same bytes.
  // One thread: more may be refused, which lld does not survive.
  std::vector<const char *> args = {"ld.lld",
                                    "-shared",
                                    "--gc-sections",
                                    "--build-id=none",
                                    "--strip-all",
                                    "--threads=1",
                                    "-z",
                                    "noexecstack",
                                    "-o",
                                    out.c_str()};
  for (llvm::SmallString<128> &path : in)
    args.push_back(path.c_str());
  lld::Result result =
      lld::lldMain(args, os, os, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return fail("linking failed: " + messages);
  auto buffer = llvm::MemoryBuffer::getFile(out, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail("cannot read the linked file: " + buffer.getError().message());
  llvm::StringRef bytes = (*buffer)->getBuffer();
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}
