//===- Support.cpp - Small helpers of the runtime -------------------------===//

#include "Support.h"

#include <openssl/evp.h>

#include <system_error>

namespace sysmol::runtime {

std::string inQuotes(std::string_view Text) {
  constexpr char Hex[] = "0123456789abcdef";
  std::string Out = "'";
  for (char C : Text) {
    auto Byte = static_cast<unsigned char>(C);
    if (Byte >= 0x20 && Byte != 0x7f) {
      Out += C;
      continue;
    }
    Out += "\\x";
    Out += Hex[Byte >> 4];
    Out += Hex[Byte & 15];
  }
  return Out + "'";
}

Result<std::array<uint8_t, 32>> sha256(std::span<const uint8_t> Bytes) {
  std::array<uint8_t, 32> Digest;
  if (EVP_Digest(Bytes.data(), Bytes.size(), Digest.data(), nullptr,
                 EVP_sha256(), nullptr) != 1)
    return internalFault("libcrypto cannot compute SHA-256; check the "
                         "installation of OpenSSL");
  return Digest;
}

Error withPrefix(const std::string &Prefix, const Error &Err) {
  return {Err.Kind, Prefix + ": " + Err.Message};
}

std::string errnoText(int Errno) {
  return std::generic_category().message(Errno);
}

} // namespace sysmol::runtime
