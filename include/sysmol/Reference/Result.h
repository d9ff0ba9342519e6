//===- Result.h - A value or a one-line error -------------------*- C++ -*-===//
//
// The reference throws nothing and aborts on nothing a caller can cause: what
// cannot be computed comes back as one line of text.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_REFERENCE_RESULT_H
#define SYSMOL_REFERENCE_RESULT_H

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace sysmol::reference {

/// Why something could not be computed: one line, no trailing full stop.
struct Error {
  std::string message;
};

/// A `T`, or the error that prevented it.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : storage(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : storage(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return storage.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// The value; only to be called when `ok()`.
  T &operator*() {
    assert(ok() && "value of an error");
    return *std::get_if<0>(&storage);
  }
  const T &operator*() const {
    assert(ok() && "value of an error");
    return *std::get_if<0>(&storage);
  }
  T *operator->() { return &**this; }
  const T *operator->() const { return &**this; }

  /// The text of the error; empty when `ok()`.
  std::string message() const {
    const Error *error = std::get_if<1>(&storage);
    return error ? error->message : std::string();
  }
  /// The error, to hand it on as a `Result` of another type.
  Error error() const { return Error{message()}; }

private:
  std::variant<T, Error> storage;
};

/// The result of a check: nothing, or an error.
using Status = Result<std::monostate>;
inline Status noError() { return Status(std::monostate()); }

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_RESULT_H
