//===- CodeImage.cpp - Loaded machine code --------------------------------===//

#include "CodeImage.h"

#include "Support.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace sysmol::runtime {

#if defined(__x86_64__)
static constexpr uint16_t HostMachine = EM_X86_64;
#elif defined(__aarch64__)
static constexpr uint16_t HostMachine = EM_AARCH64;
#elif defined(__riscv)
static constexpr uint16_t HostMachine = EM_RISCV;
#else
static constexpr uint16_t HostMachine = EM_NONE;
#endif

Status checkElf(std::span<const uint8_t> Elf) {
  Elf64_Ehdr Header;
  bool Good = Elf.size() >= sizeof(Header);
  if (Good) {
    std::memcpy(&Header, Elf.data(), sizeof(Header));
    Good = std::memcmp(Header.e_ident, ELFMAG, SELFMAG) == 0 &&
           Header.e_ident[EI_CLASS] == ELFCLASS64 &&
           Header.e_ident[EI_DATA] == ELFDATA2LSB && Header.e_type == ET_DYN;
  }
  if (!Good)
    return refused("the code is not a little-endian 64-bit ELF shared object; "
                   "compile the model again");
  return {};
}

bool isHostElf(std::span<const uint8_t> Elf) {
  Elf64_Ehdr Header;
  std::memcpy(&Header, Elf.data(), sizeof(Header));
  return Header.e_machine == HostMachine;
}

/// A memory file that may be mapped executable, or -1 with errno.
static int createMemoryFile() {
  unsigned Flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int Fd = ::memfd_create("sysmol-code", Flags | MFD_EXEC);
  // Kernels before 6.3 do not know MFD_EXEC and always allow execution.
  if (Fd < 0 && errno == EINVAL)
    Fd = ::memfd_create("sysmol-code", Flags);
  return Fd;
}

static std::string procPath(int Fd) {
  return "/proc/self/fd/" + std::to_string(Fd);
}

static std::string lastLoaderError() {
  const char *Text = ::dlerror();
  return Text ? Text : "unknown error";
}

Result<std::unique_ptr<CodeImage>>
CodeImage::load(std::span<const uint8_t> Elf) {
  if (Status S = checkElf(Elf); !S)
    return S.error();
  std::unique_ptr<CodeImage> Image(new CodeImage);
  auto NoFile = [](const char *What) {
    return overLimit("cannot load the code: " + std::string(What) + ": " +
                     errnoText(errno) +
                     "; the system must allow executable memory files");
  };
  Image->Fd = createMemoryFile();
  if (Image->Fd < 0)
    return NoFile("memfd_create failed");
  for (auto Rest = Elf; !Rest.empty();) {
    ssize_t Done = ::write(Image->Fd, Rest.data(), Rest.size());
    if (Done < 0 && errno == EINTR)
      continue;
    if (Done <= 0)
      return NoFile("write failed");
    Rest = Rest.subspan(Done);
  }
  // Sealed, so that nobody can change the code after its hash was checked.
  if (::fcntl(Image->Fd, F_ADD_SEALS,
              F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    return NoFile("sealing failed");

  // dlopen() takes an object that is already loaded under the same name, and
  // one that could not be unloaded keeps the name of a descriptor that was
  // closed since. Take a number that no loaded object has; it stays ours
  // because the descriptor stays open as long as the code is loaded.
  while (void *Stale =
             ::dlopen(procPath(Image->Fd).c_str(), RTLD_LAZY | RTLD_NOLOAD)) {
    ::dlclose(Stale);
    int Next = ::fcntl(Image->Fd, F_DUPFD_CLOEXEC, Image->Fd + 1);
    if (Next < 0)
      return NoFile("no file descriptor left");
    ::close(Image->Fd);
    Image->Fd = Next;
  }
  Image->Handle = ::dlopen(procPath(Image->Fd).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!Image->Handle)
    return refused("cannot load the code: " + lastLoaderError() +
                   "; compile the model again for this system");
  void *Symbol = ::dlsym(Image->Handle, "sysmol_entry");
  if (!Symbol)
    return refused("the code does not export 'sysmol_entry'; compile the "
                   "model again");
  Image->Entry = reinterpret_cast<SysmolEntryFn>(Symbol);
  return Image;
}

CodeImage::~CodeImage() {
  if (Handle)
    ::dlclose(Handle);
  if (Fd >= 0)
    ::close(Fd);
}

} // namespace sysmol::runtime
