// A stock mlir-opt with our plugin and sysmol-opt agree at the end of every phase.

// DEFINE: %{upto} = builtin.module(hetprec-to-plan)
// DEFINE: %{both} = mlir-opt %s --load-dialect-plugin=%sysmol_libs/SysmolPlugin%shlibext \
// DEFINE:   --load-pass-plugin=%sysmol_libs/SysmolPlugin%shlibext --pass-pipeline='%{upto}' > %t.stock && \
// DEFINE:   sysmol-opt %s --pass-pipeline='%{upto}' > %t.own && diff %t.stock %t.own
// REQUIRES: plugin

// RUN: %{both}
// RUN: FileCheck %s --check-prefix=PLAN < %t.stock
// REDEFINE: %{upto} = builtin.module(hetprec-to-plan,hetprec-plan-to-packed)
// RUN: %{both}
// RUN: FileCheck %s --check-prefix=PACKED < %t.stock
// REDEFINE: %{upto} = builtin.module(hetprec-to-plan,hetprec-plan-to-packed,hetprec-packed-to-loops)
// RUN: %{both}
// RUN: FileCheck %s --check-prefix=LOOPS < %t.stock
// REDEFINE: %{upto} = builtin.module(hetprec-to-plan,hetprec-plan-to-packed,hetprec-packed-to-loops,hetprec-loops-to-vectors)
// RUN: %{both}
// RUN: FileCheck %s --check-prefix=VECTORS < %t.stock
// REDEFINE: %{upto} = builtin.module(hetprec-to-llvm{mac=avx512})
// RUN: %{both}
// RUN: FileCheck %s --check-prefix=LLVM < %t.stock
// REDEFINE: %{upto} = builtin.module(hetprec-to-llvm)
// RUN: %{both}
// RUN: FileCheck %s --check-prefix=GENERIC < %t.stock

// Passes by name, their options and their errors come with the plugin, too.
// RUN: not mlir-opt %s --load-dialect-plugin=%sysmol_libs/SysmolPlugin%shlibext \
// RUN:   --load-pass-plugin=%sysmol_libs/SysmolPlugin%shlibext \
// RUN:   --pass-pipeline='builtin.module(func.func(hetprec-verify-phase{phase=packed}))' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=CULPRIT

// PLAN: bits = [1, 2 x 2]
// PLAN: hetprec.conv_2d
// PACKED: hetprec.contract codes
// PACKED: hetprec.requantize_lanes
// LOOPS: hetprec.contract codes {{.+}} : memref<
// VECTORS: hetprec.mac
// VECTORS-NOT: hetprec.contract
// LLVM: hetprec.weights
// LLVM: llvm.x86.avx512.permvar.qi.512
// LLVM-NOT: hetprec.mac
// GENERIC: llvm.intr.ctpop
// GENERIC-NOT: llvm.x86
// CULPRIT: error: 'hetprec.conv_2d' op contract of phase packed: no model op may be left

#in = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w0 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 1, 2]>
#out = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [4, 1]>
#carrier = #hetprec.carrier<delta = 0.5>
func.func @network(%x: tensor<1x1x6x6xi8, #in>) -> tensor<1x2x3x3xi8, #out> {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<1> : tensor<2x3x3x3xi8, #w1>
  %w2 = arith.constant dense<0> : tensor<2x3x3x3xi8, #w1>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x6x6xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x6x6xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, -2.0, 3.0] offset = [0.25, 0.5, 0.75] : tensor<1x3x6x6xi32> to tensor<1x3x6x6xi8, #act>
  %a = hetprec.conv_2d %q, %w1 strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x3x6x6xi8, #act>, tensor<2x3x3x3xi8, #w1> -> tensor<1x2x3x3xi32>
  %b = hetprec.conv_2d %q, %w2 strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x3x6x6xi8, #act>, tensor<2x3x3x3xi8, #w1> -> tensor<1x2x3x3xi32>
  %ca = hetprec.to_carrier %a multiplier = [0.5] : tensor<1x2x3x3xi32> to tensor<1x2x3x3xi16, #carrier>
  %cb = hetprec.to_carrier %b multiplier = [0.5] : tensor<1x2x3x3xi32> to tensor<1x2x3x3xi16, #carrier>
  %s = hetprec.add %ca, %cb : tensor<1x2x3x3xi16, #carrier>
  %r = hetprec.requantize %s multiplier = [0.5, -1.0] offset = [0.0] : tensor<1x2x3x3xi16, #carrier> to tensor<1x2x3x3xi8, #out>
  return %r : tensor<1x2x3x3xi8, #out>
}
