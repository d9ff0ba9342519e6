//===- Errors.h - Status codes as Python exceptions -------------*- C++ -*-===//

#ifndef SYSMOL_PYTHON_ERRORS_H
#define SYSMOL_PYTHON_ERRORS_H

#include "sysmol-c/Runtime.h"

#include <array>
#include <nanobind/nanobind.h>

namespace sysmol::python {

/// Room for one line of the C APIs.
using Message = std::array<char, 2048>;

/// Raises the class of `sysmol.errors` that belongs to a status, unless it is
/// SYSMOL_OK. Holds the GIL.
inline void check(sysmol_status status, const Message &message) {
  if (status == SYSMOL_OK)
    return;
  const char *name = status == SYSMOL_REFUSED ? "InputRefused"
                     : status == SYSMOL_USAGE ? "UsageError"
                     : status == SYSMOL_LIMIT ? "ResourceLimit"
                                              : "InternalError";
  nanobind::object type =
      nanobind::module_::import_("sysmol.errors").attr(name);
  // Names in files need not be UTF-8.
  nanobind::object text = nanobind::steal(PyUnicode_DecodeUTF8(
      message.data(),
      Py_ssize_t(std::char_traits<char>::length(message.data())),
      "backslashreplace"));
  PyErr_SetObject(type.ptr(), text.ptr());
  throw nanobind::python_error();
}

} // namespace sysmol::python

#endif // SYSMOL_PYTHON_ERRORS_H
