//===- Memory.cpp - Page-aligned memory and whole-file writes -------------===//

#include "sysmol/Runtime/Memory.h"

#include "sysmol/Runtime/Files.h"

#include "Support.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
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
                          LeastHuge = HugePage / 2;

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

namespace {
/// One file on its way: what is at its path stays until commit().
class Replacement {
public:
  explicit Replacement(const FileContent &File)
      : Path(File.Path), Content(File.Content) {}
  Replacement(const Replacement &) = delete;
  ~Replacement() {
    for (const std::string &Name : {Temporary, Backup})
      if (!Name.empty())
        ::unlink(Name.c_str());
  }

  Status write();
  /// Makes revert() possible: a second name for the old file, if there is one.
  Status keepOld();
  Status commit();
  /// Whether both would be the same file; after write().
  bool hasTargetOf(const Replacement &Other) const {
    return Name == Other.Name && Place == Other.Place;
  }
  /// Undoes commit().
  void revert();
  void syncDirectory() const;

private:
  Status fail(const char *What, int Errno) const;
  /// Sets Temporary and Directory, and opens the file.
  Status create(FileHandle &File);
  std::string nameBeside(unsigned Try) const {
    return Directory + "/.sysmol-" + std::to_string(::getpid()) + "-" +
           std::to_string(Try) + ".tmp";
  }

  const std::string Path;
  const std::span<const uint8_t> Content;
  std::string Target, Directory, Temporary, Backup;
  /// What Target is, however it is written: its last part, and its directory.
  std::string Name;
  std::pair<dev_t, ino_t> Place;
  bool Committed = false;
};
} // namespace

Status Replacement::fail(const char *What, int Errno) const {
  std::string Message = "cannot write " + inQuotes(Path) + ": " + What + ": " +
                        errnoText(Errno) +
                        "; nothing was written; choose a "
                        "writable directory with enough space";
  bool Space = Errno == ENOSPC || Errno == EFBIG || Errno == EDQUOT;
  return Space ? overLimit(std::move(Message)) : refused(std::move(Message));
}

Status Replacement::create(FileHandle &File) {
  // In the same file system, so that rename() is atomic. The name does not
  // contain that of Path, which may be as long as names can be. Unlike
  // mkstemp(), this gives the permissions that the user's umask asks for.
  for (unsigned Try = 0; File.Fd < 0 && Try < 1000; ++Try) {
    Temporary = nameBeside(Try);
    File.Fd = openRetrying(Temporary.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    if (File.Fd < 0 && errno != EEXIST)
      break;
  }
  if (File.Fd >= 0)
    return {};
  Temporary.clear();
  return fail("cannot create a file in its directory", errno);
}

Status Replacement::write() {
  struct stat Old;
  bool Exists = ::lstat(Path.c_str(), &Old) == 0;
  Target = Path;
  if (Exists && S_ISLNK(Old.st_mode)) {
    char *Real = ::realpath(Path.c_str(), nullptr);
    if (!Real)
      return fail("it is a symbolic link to nothing", errno);
    Target = Real;
    std::free(Real);
    Exists = ::stat(Target.c_str(), &Old) == 0;
  }
  if (Exists && !S_ISREG(Old.st_mode))
    return refused("cannot write " + inQuotes(Path) +
                   ": it exists and is not a regular file; nothing was "
                   "written; choose another path");
  Directory = ".";
  Name = Target;
  if (size_t Slash = Target.rfind('/'); Slash != std::string::npos) {
    Directory = Target.substr(0, Slash + 1);
    Name = Target.substr(Slash + 1);
  }
  struct stat Parent;
  if (::stat(Directory.c_str(), &Parent) != 0)
    return fail("cannot create a file in its directory", errno);
  Place = {Parent.st_dev, Parent.st_ino};

  FileHandle File{-1};
  if (Status S = create(File); !S)
    return S;
  // A file that is replaced keeps its permissions.
  if (Exists && ::fchmod(File.Fd, Old.st_mode & 0777) != 0)
    return fail("cannot set permissions", errno);
  if (!writeAll(File.Fd, Content))
    return fail("write failed", errno);
  if (::fsync(File.Fd) != 0)
    return fail("fsync failed", errno);
  return {};
}

Status Replacement::keepOld() {
  for (unsigned Try = 0; Try < 1000; ++Try) {
    Backup = nameBeside(Try);
    if (::link(Target.c_str(), Backup.c_str()) == 0)
      return {};
    if (errno != EEXIST)
      break;
  }
  Backup.clear();
  return errno == ENOENT ? Status() : fail("cannot keep the old file", errno);
}

Status Replacement::commit() {
  if (::rename(Temporary.c_str(), Target.c_str()) != 0)
    return fail("rename failed", errno);
  Temporary.clear();
  Committed = true;
  return {};
}

void Replacement::revert() {
  if (!Committed)
    return;
  if (Backup.empty())
    ::unlink(Target.c_str());
  else if (::rename(Backup.c_str(), Target.c_str()) == 0)
    Backup.clear();
}

void Replacement::syncDirectory() const {
  // The name is durable once the directory is. Not every file system can sync
  // one, and the content is complete either way, so this is not a failure.
  FileHandle Parent{
      openRetrying(Directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (Parent.Fd >= 0)
    (void)::fsync(Parent.Fd);
}

Status writeFilesAtomically(std::span<const FileContent> Files) {
  std::deque<Replacement> Replacements;
  for (const FileContent &File : Files) {
    Replacements.emplace_back(File);
    Replacement &New = Replacements.back();
    if (Status S = New.write(); !S)
      return S;
    for (const Replacement &R : Replacements)
      if (&R != &New && New.hasTargetOf(R))
        return refused("cannot write " + inQuotes(File.Path) +
                       " twice; nothing was written; give each output a file "
                       "of its own");
  }
  // The last one needs no way back.
  for (size_t I = 0; I + 1 < Replacements.size(); ++I)
    if (Status S = Replacements[I].keepOld(); !S)
      return S;
  for (Replacement &R : Replacements)
    if (Status S = R.commit(); !S) {
      for (Replacement &Done : Replacements)
        Done.revert();
      return S;
    }
  for (const Replacement &R : Replacements)
    R.syncDirectory();
  return {};
}

Status writeFileAtomically(const std::string &Path,
                           std::span<const uint8_t> Content) {
  FileContent File{Path, Content};
  return writeFilesAtomically({&File, 1});
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
