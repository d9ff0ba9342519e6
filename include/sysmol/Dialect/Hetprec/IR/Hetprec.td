//===- Hetprec.td - All ops of the dialect ----------------*- tablegen -*-===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPREC_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPREC_TD

include "sysmol/Dialect/Hetprec/IR/HetprecOps.td"
include "sysmol/Dialect/Hetprec/IR/HetprecLayoutOps.td"
include "sysmol/Dialect/Hetprec/IR/HetprecPackedOps.td"
include "sysmol/Dialect/Hetprec/IR/HetprecRowOps.td"
include "sysmol/Dialect/Hetprec/IR/HetprecWinogradOps.td"

#endif
