//===- Error.h - Errors of the runtime --------------------------*- C++ -*-===//
//
// The runtime reports every failure as a value: no exception leaves it and it
// keeps no global error state. A message is one line that says what is wrong,
// what is allowed, and what to do.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_ERROR_H
#define SYSMOL_RUNTIME_ERROR_H

#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sysmol::runtime {

/// What kind of failure it is; the values are the exit codes of `sysmol-run`
/// and the `sysmol_status` values of the C API.
enum class ErrorKind : int {
  /// The input (bundle, buffer, file) is refused.
  Refused = 1,
  /// The caller asked for something that does not exist.
  Usage = 2,
  /// The machine has too little memory, threads or disk space.
  Limit = 3,
  /// A fault of Sysmol or of the compiled code itself.
  Internal = 70,
};

struct Error {
  ErrorKind Kind = ErrorKind::Internal;
  /// One line, no trailing newline.
  std::string Message;
};

inline Error refused(std::string Message) {
  return {ErrorKind::Refused, std::move(Message)};
}
inline Error misused(std::string Message) {
  return {ErrorKind::Usage, std::move(Message)};
}
inline Error overLimit(std::string Message) {
  return {ErrorKind::Limit, std::move(Message)};
}
inline Error internalFault(std::string Message) {
  return {ErrorKind::Internal, std::move(Message)};
}

/// A value or an Error. Converts to true when it holds a value.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T Value) : Storage(std::in_place_index<0>, std::move(Value)) {}
  Result(Error Err) : Storage(std::in_place_index<1>, std::move(Err)) {}

  explicit operator bool() const { return Storage.index() == 0; }
  T &operator*() { return *std::get_if<0>(&Storage); }
  const T &operator*() const { return *std::get_if<0>(&Storage); }
  T *operator->() { return std::get_if<0>(&Storage); }
  const T *operator->() const { return std::get_if<0>(&Storage); }
  const Error &error() const { return *std::get_if<1>(&Storage); }

private:
  std::variant<T, Error> Storage;
};

/// Success or an Error. Converts to true on success.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Error Err) : Err(std::move(Err)) {}

  explicit operator bool() const { return !Err.has_value(); }
  const Error &error() const { return *Err; }

private:
  std::optional<Error> Err;
};

/// `Text` in single quotes with control characters as \xNN, so that a message
/// stays one line whatever a file or a user put into a name.
std::string inQuotes(std::string_view Text);

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_ERROR_H
