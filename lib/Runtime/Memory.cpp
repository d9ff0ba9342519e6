//===- Memory.cpp - Page-aligned memory and whole-file writes -------------===//

#include "sysmol/Runtime/Memory.h"

#include "Support.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sysmol::runtime {

PageBuffer::PageBuffer(PageBuffer &&Other) noexcept {
  *this = std::move(Other);
}

PageBuffer &PageBuffer::operator=(PageBuffer &&Other) noexcept {
  std::swap(Data, Other.Data);
  std::swap(Size, Other.Size);
  std::swap(Mapped, Other.Mapped);
  return *this;
}

PageBuffer::~PageBuffer() {
  if (Data)
    munmap(Data, Mapped);
}

static uint64_t physicalMemory() {
  long Pages = sysconf(_SC_PHYS_PAGES), PageSize = sysconf(_SC_PAGESIZE);
  if (Pages <= 0 || PageSize <= 0)
    return std::numeric_limits<int64_t>::max();
  return multiplySaturated(Pages, PageSize);
}

/// Buffers from here on use huge pages, if the kernel has some: weights are
/// streamed, and the prefetchers of CPUs stop where a page ends.
static constexpr uint64_t HugePage = uint64_t(2) << 20,
                          LeastHuge = 2 * HugePage;

/// `Bytes`, whole huge pages where they are at least `LeastHuge`.
static void *mapPages(uint64_t Bytes) {
  bool Huge = Bytes >= LeastHuge;
  uint64_t Mapped = Huge ? Bytes + HugePage : Bytes;
  void *Pages = mmap(nullptr, Mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (Pages == MAP_FAILED || !Huge)
    return Pages;
  // Give back what is in front of the first huge page and behind the last.
  auto *Begin = static_cast<uint8_t *>(Pages);
  uint64_t Skip = -reinterpret_cast<uintptr_t>(Begin) % HugePage;
  if (Skip)
    munmap(Begin, Skip);
  if (Skip < HugePage)
    munmap(Begin + Skip + Bytes, HugePage - Skip);
  // Advice only: without huge pages all is the same but slower.
  (void)madvise(Begin + Skip, Bytes, MADV_HUGEPAGE);
  return Begin + Skip;
}

Result<PageBuffer> PageBuffer::create(uint64_t Bytes, std::string_view What) {
  // Linux hands out more than it has and kills later; a size from a file must
  // fail here instead.
  uint64_t Limit = physicalMemory();
  PageBuffer Buffer;
  Buffer.Mapped = Bytes ? Bytes : 1;
  void *Pages = MAP_FAILED;
  if (Bytes <= Limit && Bytes >= LeastHuge)
    Buffer.Mapped = (Bytes + HugePage - 1) / HugePage * HugePage;
  if (Bytes <= Limit)
    Pages = mapPages(Buffer.Mapped);
  if (Pages == MAP_FAILED)
    return overLimit("cannot allocate " + std::to_string(Bytes) +
                     " bytes for " + std::string(What) + "; the machine has " +
                     std::to_string(Limit) +
                     " bytes of memory; free some or use fewer threads");
  Buffer.Data = static_cast<uint8_t *>(Pages);
  Buffer.Size = Bytes;
  return Buffer;
}

Status PageBuffer::makeReadOnly() {
  if (Data && mprotect(Data, Mapped, PROT_READ) != 0)
    return internalFault("cannot make memory read-only: " + errnoText(errno));
  return {};
}

namespace {
/// Closes a file descriptor at the end of its scope.
struct FileHandle {
  int Fd;
  ~FileHandle() {
    if (Fd >= 0)
      ::close(Fd);
  }
};
} // namespace

static int openRetrying(const char *Path, int Flags) {
  int Fd;
  do
    Fd = ::open(Path, Flags, 0666);
  while (Fd < 0 && errno == EINTR);
  return Fd;
}

static bool writeAll(int Fd, std::span<const uint8_t> Bytes) {
  while (!Bytes.empty()) {
    ssize_t Done = ::write(Fd, Bytes.data(), Bytes.size());
    if (Done < 0 && errno == EINTR)
      continue;
    if (Done <= 0)
      return false;
    Bytes = Bytes.subspan(Done);
  }
  return true;
}

Status writeFileAtomically(const std::string &Path,
                           std::span<const uint8_t> Content) {
  auto Fail = [&](const char *What, int Errno) -> Status {
    std::string Message = "cannot write " + inQuotes(Path) + ": " + What +
                          ": " + errnoText(Errno) +
                          "; nothing was written; choose a "
                          "writable directory with enough space";
    bool Space = Errno == ENOSPC || Errno == EFBIG || Errno == EDQUOT;
    return Space ? overLimit(std::move(Message)) : refused(std::move(Message));
  };

  std::string Directory = ".";
  if (size_t Slash = Path.rfind('/'); Slash != std::string::npos)
    Directory = Path.substr(0, Slash + 1);
  // In the same file system, so that rename() is atomic. The name does not
  // contain that of Path, which may be as long as names can be. Unlike
  // mkstemp(), this gives the permissions that the user's umask asks for.
  std::string Temporary;
  FileHandle File{-1};
  for (unsigned Try = 0; File.Fd < 0 && Try < 1000; ++Try) {
    Temporary = Directory + "/.sysmol-" + std::to_string(::getpid()) + "-" +
                std::to_string(Try) + ".tmp";
    File.Fd = openRetrying(Temporary.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    if (File.Fd < 0 && errno != EEXIST)
      break;
  }
  if (File.Fd < 0)
    return Fail("cannot create a file in its directory", errno);
  auto Drop = [&](const char *What) {
    int Errno = errno;
    ::unlink(Temporary.c_str());
    return Fail(What, Errno);
  };

  // A file that is replaced keeps its permissions.
  struct stat Old;
  if (::stat(Path.c_str(), &Old) == 0 &&
      ::fchmod(File.Fd, Old.st_mode & 0777) != 0)
    return Drop("cannot set permissions");
  if (!writeAll(File.Fd, Content))
    return Drop("write failed");
  if (::fsync(File.Fd) != 0)
    return Drop("fsync failed");
  if (::rename(Temporary.c_str(), Path.c_str()) != 0)
    return Drop("rename failed");

  // The name is durable once the directory is. Not every file system can sync
  // one, and the content is complete either way, so this is not a failure.
  FileHandle Parent{
      openRetrying(Directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (Parent.Fd >= 0)
    (void)::fsync(Parent.Fd);
  return {};
}

static Error unreadable(const std::string &Path, const std::string &What) {
  return refused("cannot read " + inQuotes(Path) + ": " + What +
                 "; give a readable regular file");
}

Result<InputFile> InputFile::open(const std::string &Path) {
  // O_NONBLOCK: opening a named pipe must fail below, not wait for a writer.
  FileHandle File{
      openRetrying(Path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat Info;
  if (File.Fd < 0 || ::fstat(File.Fd, &Info) != 0)
    return unreadable(Path, errnoText(errno));
  if (!S_ISREG(Info.st_mode))
    return unreadable(Path, "it is not a regular file");
  return InputFile(Path, std::exchange(File.Fd, -1), Info.st_size);
}

InputFile::~InputFile() {
  if (Fd >= 0)
    ::close(Fd);
}

Status InputFile::read(uint64_t Offset, std::span<uint8_t> Into) const {
  while (!Into.empty()) {
    ssize_t Done = ::pread(Fd, Into.data(), Into.size(), Offset);
    if (Done < 0 && errno == EINTR)
      continue;
    if (Done < 0)
      return unreadable(Path, errnoText(errno));
    if (Done == 0)
      return unreadable(Path, "it became shorter while it was read");
    Offset += Done;
    Into = Into.subspan(Done);
  }
  return {};
}

Result<PageBuffer> readFile(const std::string &Path) {
  Result<InputFile> File = InputFile::open(Path);
  if (!File)
    return File.error();
  Result<PageBuffer> Content = PageBuffer::create(File->size(), inQuotes(Path));
  if (!Content)
    return Content;
  if (Status S = File->read(0, Content->bytes()); !S)
    return S.error();
  return Content;
}

} // namespace sysmol::runtime
