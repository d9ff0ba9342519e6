//===- Cpu.cpp - Which code this CPU can run ------------------------------===//

#include "CodeImage.h"
#include "Support.h"

#include <algorithm>

namespace sysmol::runtime {

#if defined(__x86_64__)
bool cpuSupports(std::string_view Feature) {
  __builtin_cpu_init();
  // The builtin asks the operating system too (XCR0), and takes only literals.
#define SYSMOL_FEATURE(Name)                                                   \
  if (Feature == Name)                                                         \
    return __builtin_cpu_supports(Name);
  SYSMOL_FEATURE("sse3")
  SYSMOL_FEATURE("ssse3")
  SYSMOL_FEATURE("sse4.1")
  SYSMOL_FEATURE("sse4.2")
  SYSMOL_FEATURE("popcnt")
  SYSMOL_FEATURE("bmi")
  SYSMOL_FEATURE("bmi2")
  SYSMOL_FEATURE("fma")
  SYSMOL_FEATURE("gfni")
  SYSMOL_FEATURE("avx")
  SYSMOL_FEATURE("avx2")
  SYSMOL_FEATURE("avx512f")
  SYSMOL_FEATURE("avx512bw")
  SYSMOL_FEATURE("avx512cd")
  SYSMOL_FEATURE("avx512dq")
  SYSMOL_FEATURE("avx512vl")
  SYSMOL_FEATURE("avx512ifma")
  SYSMOL_FEATURE("avx512vbmi")
  SYSMOL_FEATURE("avx512vbmi2")
  SYSMOL_FEATURE("avx512vnni")
  SYSMOL_FEATURE("avx512bitalg")
  SYSMOL_FEATURE("avx512vpopcntdq")
  SYSMOL_FEATURE("avx512bf16")
#undef SYSMOL_FEATURE
  return false;
}
#else
// Elsewhere only code for the baseline of the architecture runs.
bool cpuSupports(std::string_view) { return false; }
#endif

/// Why `Code` cannot run here; empty when it can.
static std::string obstacle(const Bundle &B, const CodeInfo &Code) {
  auto Elf = B.code(Code.Target);
  if (!checkElf(Elf))
    return "is not an ELF shared object";
  if (!isHostElf(Elf))
    return "is for another architecture";
  std::string Missing;
  for (const std::string &Feature : Code.CpuFeatures)
    if (!cpuSupports(Feature))
      Missing += (Missing.empty() ? "" : ", ") + Feature;
  return Missing.empty() ? "" : "needs " + Missing;
}

Result<size_t> selectCode(const Bundle &B, std::string_view Target) {
  const std::vector<CodeInfo> &Code = B.metadata().Code;
  std::string Names, Obstacles;
  for (size_t I = 0; I < Code.size(); ++I) {
    Names += (I ? ", " : "") + Code[I].Target;
    if (!Target.empty() && Target != Code[I].Target)
      continue;
    std::string Why = obstacle(B, Code[I]);
    if (Why.empty())
      return I;
    Obstacles +=
        (Obstacles.empty() ? "" : "; ") + inQuotes(Code[I].Target) + " " + Why;
  }
  if (Obstacles.empty())
    return misused("the bundle has no code for the target " + inQuotes(Target) +
                   "; it has " + Names +
                   "; name one of these or compile for it");
  return refused("this CPU cannot run the code of the bundle: " + Obstacles +
                 "; compile the model for a target this CPU has");
}

} // namespace sysmol::runtime
