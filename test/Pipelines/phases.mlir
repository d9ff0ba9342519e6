// Each phase is entered and left by name; going through them one tool call at a
// time is the same as all at once.
// RUN: sysmol-opt %s --hetprec-to-plan -o %t.plan.mlir
// RUN: FileCheck %s --check-prefix=PLAN < %t.plan.mlir
// RUN: sysmol-opt %t.plan.mlir --hetprec-plan-to-packed -o %t.packed.mlir
// RUN: FileCheck %s --check-prefix=PACKED < %t.packed.mlir
// RUN: sysmol-opt %t.packed.mlir --hetprec-packed-to-loops -o %t.loops.mlir
// RUN: FileCheck %s --check-prefix=LOOPS < %t.loops.mlir
// RUN: sysmol-opt %t.loops.mlir --hetprec-loops-to-vectors -o %t.vectors.mlir
// RUN: FileCheck %s --check-prefix=VECTORS < %t.vectors.mlir
// RUN: sysmol-opt %t.vectors.mlir --hetprec-vectors-to-llvm=mac=avx512 -o %t.llvm.mlir
// RUN: FileCheck %s --check-prefix=LLVM < %t.llvm.mlir
// RUN: sysmol-opt %s --hetprec-to-llvm=mac=avx512 -o %t.all.mlir
// RUN: diff %t.all.mlir %t.llvm.mlir
// RUN: sysmol-opt %s --hetprec-to-llvm | FileCheck %s --check-prefix=GENERIC

// A phase entered too early names the op that does not belong there.
// RUN: not sysmol-opt %s --hetprec-packed-to-loops 2>&1 | FileCheck %s --check-prefix=EARLY
// EARLY: phases.mlir:{{[0-9]+}}:{{[0-9]+}}: error:
// RUN: not sysmol-opt %t.plan.mlir --hetprec-loops-to-vectors 2>&1 | FileCheck %s --check-prefix=MODEL-OP
// MODEL-OP: plan.mlir:{{[0-9]+}}:{{[0-9]+}}: error: 'hetprec.{{.+}}' op contract of phase vectors: only mac may be left
// RUN: not sysmol-opt %t.packed.mlir --hetprec-loops-to-vectors 2>&1 | FileCheck %s --check-prefix=TENSORS
// TENSORS: packed.mlir:{{[0-9]+}}:{{[0-9]+}}: error: 'hetprec.{{.+}}' op must be on memrefs to be vectorized; bufferize first

// PLAN-DAG: #[[SORTED:.+]] = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.000000e+00, bits = [1, 2 x 2]>
// PLAN: hetprec.requantize {{.+}} to tensor<1x3x6x6xi8, #[[SORTED]]>
// Depthwise convolutions have become grouped ones.
// PLAN-NOT: depthwise
// PLAN: hetprec.conv_2d {{.+}} groups = 3
// PLAN: hetprec.conv_2d
// PLAN-NOT: hetprec.permute

// PACKED: func.func @network(%{{.+}}: tensor<1x1x6x6xi8>) -> tensor<1x2x3x3xi8>
// PACKED-NOT: hetprec.conv_2d
// PACKED-NOT: #hetprec.channels
// PACKED: hetprec.pack_lanes
// PACKED: hetprec.contract codes
// PACKED: hetprec.split_phases
// PACKED: hetprec.contract codes
// PACKED: hetprec.unpack_lanes

// Results are arguments; nothing of a tensor is left.
// LOOPS-DAG: memref.global "private" constant
// LOOPS: func.func @network(%{{.+}}: memref<1x1x6x6xi8>, %{{.+}}: memref<1x2x3x3xi8>)
// LOOPS-NOT: tensor<
// LOOPS: hetprec.contract codes {{.+}} outs(%{{.+}} : memref<1x64xi8, strided<[192, 1], offset: 64>>)

// VECTORS-NOT: hetprec.contract
// VECTORS: hetprec.mac %{{.+}} level = 1 : vector<64xi8>, vector<64xi8>, i8
// VECTORS: hetprec.mac %{{.+}} level = 2 : vector<64xi8>, vector<64xi8>, i8

// Weights, arena, parallel runtime, input, output: pointers only. Nothing is
// allocated, and layers as small as these are not shared.
// LLVM: hetprec.weights
// LLVM: llvm.func @network(%{{[a-z0-9]+}}: !llvm.ptr, %{{[a-z0-9]+}}: !llvm.ptr, %{{[a-z0-9]+}}: !llvm.ptr, %{{[a-z0-9]+}}: !llvm.ptr, %{{[a-z0-9]+}}: !llvm.ptr)
// LLVM-SAME: hetprec.arena_bytes =
// LLVM-NOT: @malloc
// LLVM: llvm.intr.ctpop
// LLVM: llvm.call_intrinsic "llvm.x86.avx512.permvar.qi.512"
// LLVM-NOT: unrealized_conversion_cast
// GENERIC-NOT: llvm.x86

#in = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w0 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 1, 2]>
#dw = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2, 2], groups = 3>
#act2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 2]>
#w2 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2, 2]>
#out = #hetprec.channels<axis = 1, grid = unsigned, scale = 0.5, bits = [2, 2]>
func.func @network(%x: tensor<1x1x6x6xi8, #in>) -> tensor<1x2x3x3xi8, #out> {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<1> : tensor<3x3x3x3xi8, #w1>
  %dw = arith.constant dense<1> : tensor<3x1x3x3xi8, #dw>
  %w2 = arith.constant dense<1> : tensor<2x3x3x3xi8, #w2>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x6x6xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x6x6xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, -2.0, 3.0] offset = [0.25, 0.5, 0.75] : tensor<1x3x6x6xi32> to tensor<1x3x6x6xi8, #act>
  %a = hetprec.conv_2d %q, %w1 pads = [1, 1, 1, 1] : tensor<1x3x6x6xi8, #act>, tensor<3x3x3x3xi8, #w1> -> tensor<1x3x6x6xi32>
  %r = hetprec.requantize %a multiplier = [0.5] offset = [0.0] : tensor<1x3x6x6xi32> to tensor<1x3x6x6xi8, #act2>
  %d = hetprec.depthwise_conv_2d %r, %dw pads = [1, 1, 1, 1] : tensor<1x3x6x6xi8, #act2>, tensor<3x1x3x3xi8, #dw> -> tensor<1x3x6x6xi32>
  %s = hetprec.requantize %d multiplier = [0.5] offset = [0.0] : tensor<1x3x6x6xi32> to tensor<1x3x6x6xi8, #act2>
  %b = hetprec.conv_2d %s, %w2 strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x3x6x6xi8, #act2>, tensor<2x3x3x3xi8, #w2> -> tensor<1x2x3x3xi32>
  %t = hetprec.requantize %b multiplier = [0.5] offset = [0.0] : tensor<1x2x3x3xi32> to tensor<1x2x3x3xi8, #out>
  return %t : tensor<1x2x3x3xi8, #out>
}
