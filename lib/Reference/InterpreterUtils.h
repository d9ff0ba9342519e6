//===- InterpreterUtils.h - Shared by the interpreter's files ---*- C++ -*-===//

#ifndef SYSMOL_LIB_REFERENCE_INTERPRETERUTILS_H
#define SYSMOL_LIB_REFERENCE_INTERPRETERUTILS_H

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Reference/Tensor.h"

namespace sysmol::reference {

/// The grid, axis and precisions of an encoding, in the reference's own terms.
ChannelEncoding toEncoding(hetprec::ChannelsAttr channels);

} // namespace sysmol::reference

#endif // SYSMOL_LIB_REFERENCE_INTERPRETERUTILS_H
