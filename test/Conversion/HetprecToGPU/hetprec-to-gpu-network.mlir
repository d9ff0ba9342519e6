// RUN: sysmol-opt %s --hetprec-plan-to-gpu --split-input-file | FileCheck %s

#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>

// Buffers by name, with their place in the constants or the arena; launches in
// order. A convolution of few words sums codes itself, writes a carrier and its
// codes, in the order of the next one's channels.
// CHECK: module attributes {
// CHECK-SAME: hetprec.constants = dense<
// CHECK-SAME: hetprec.network = {arena_bytes = [[#]]
// CHECK-SAME: buffers = {
// CHECK-SAME: image = {bytes = 64 : i64, element = "f32", role = "input", shape = [1, 1, 4, 4], strides = [16, 16, 4, 1]}
// CHECK-SAME: main_0_quantize.multiplier = {bytes = 4 : i64, offset = 0 : i64, role = "constant"}
// CHECK-SAME: main_0_quantize.output = {bytes = 256 : i64, offset = 0 : i64, role = "scratch"}
// CHECK-SAME: main_1_conv_2d.channel = {bytes = 128 : i64, offset = [[#]] : i64, role = "constant"}
// CHECK-SAME: main_1_conv_2d.codes = {bytes = 256 : i64, offset = [[#]] : i64, role = "scratch"}
// CHECK-SAME: main_1_conv_2d.output = {bytes = 64 : i64, offset = [[#]] : i64, role = "scratch"}
// CHECK-SAME: main_1_conv_2d.weights = {bytes = [[#]] : i64, offset = [[#]] : i64, role = "constant"}
// CHECK-SAME: output0 = {bytes = 64 : i64, element = "i16", role = "output", shape = [1, 2, 4, 4], strides = [32, 1, 8, 2]}
// CHECK-SAME: inputs = ["image"]
// CHECK-SAME: launches = [
// CHECK-SAME: {arguments = ["image", "main_0_quantize.multiplier", "main_0_quantize.output"], block = [256, 1, 1], entry = "main_0_quantize", grid = [1, 1, 1], shared_bytes = 0 : i64}
// CHECK-SAME: {arguments = ["main_1_conv_2d.weights", "main_0_quantize.output", "main_1_conv_2d.multiplier", "main_1_conv_2d.output", "main_1_conv_2d.code_multiplier", "main_1_conv_2d.code_offset", "main_1_conv_2d.channel", "main_1_conv_2d.codes"]
// CHECK-SAME: entry = "main_1_conv_2d"
// CHECK-SAME: {arguments = ["main_2_conv_2d.weights", "main_1_conv_2d.codes", "main_2_conv_2d.multiplier", "main_1_conv_2d.output", "output0"]
// CHECK-SAME: entry = "main_2_conv_2d"
// CHECK-SAME: outputs = ["output0"]

// One thread packs 32 codes, of the image one each.
// CHECK-LABEL: gpu.func @main_0_quantize(
// CHECK-SAME: memref<16xf32, #gpu.address_space<global>>
// CHECK-SAME: memref<64xi32, #gpu.address_space<global>>
// CHECK: arith.mulf
// CHECK: memref.store %{{.+}} : memref<64xi32

// A carrier: rounded, saturated, 16 bits; then its code as a byte in shared
// memory, where the row's channel is.
// CHECK-LABEL: gpu.func @main_1_conv_2d(
// CHECK: arith.constant 3.276700e+04 : f32
// CHECK: arith.trunci %{{.+}} : i32 to i16
// CHECK: memref.store %{{.+}} : memref<32xi16
// CHECK: memref.load %{{.+}} : memref<32xi32, #gpu.address_space<global>>
// CHECK: arith.trunci %{{.+}} : i32 to i8
// CHECK: memref.store %{{.+}}xi8, #gpu.address_space<workgroup>>
// And the sum with one that is there.
// CHECK-LABEL: gpu.func @main_2_conv_2d(
// CHECK: math.ctpop
// CHECK: memref.load %{{.+}} : memref<32xi16
// CHECK: arith.extsi %{{.+}} : i16 to i32
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: memref.store %{{.+}} : memref<32xi16
func.func @main(%x: tensor<1x1x4x4xf32> {hetprec.name = "image"}) -> tensor<1x2x4x4xi16, #c> {
  %w = arith.constant dense<1> : tensor<2x1x1x1xi8, #w>
  %v = arith.constant dense<0> : tensor<2x2x1x1xi8, #v>
  %q = hetprec.quantize %x : tensor<1x1x4x4xf32> to tensor<1x1x4x4xi8, #x>
  %acc = hetprec.conv_2d %q, %w : tensor<1x1x4x4xi8, #x>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x4x4xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [1, 0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi16, #c>
  %a = hetprec.requantize %p multiplier = [0.5] offset = [0.0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi8, #a>
  %acc1 = hetprec.conv_2d %a, %v : tensor<1x2x4x4xi8, #a>, tensor<2x2x1x1xi8, #v> -> tensor<1x2x4x4xi32>
  %r1 = hetprec.to_carrier %acc1 multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %s = hetprec.add %r1, %r : tensor<1x2x4x4xi16, #c>
  return %s : tensor<1x2x4x4xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 8]>

// HP24 of what the network takes: the byte -128 is -127. What it gives are
// bytes again.
// CHECK-LABEL: gpu.func @codes_0_take(
// CHECK-DAG: arith.constant 129 : i32
// CHECK-DAG: arith.extui %{{.+}} : i8 to i32
// CHECK: memref.store %{{.+}} : memref<{{[0-9]+}}xi32
// CHECK-LABEL: gpu.func @codes_1_give(
// CHECK: arith.trunci %{{.+}} : i32 to i8
// CHECK: memref.store %{{.+}} : memref<6xi8
func.func @codes(%x: tensor<3x2xi8, #a>) -> tensor<3x2xi8, #a> {
  return %x : tensor<3x2xi8, #a>
}

// -----

#c = #hetprec.carrier<delta = 1.0>

// Nor has it the carrier -32768 (HP24).
// CHECK-LABEL: gpu.func @carriers_0_take(
// CHECK-DAG: %[[LEAST:.+]] = arith.constant -32767 : i32
// CHECK-DAG: %[[READ:.+]] = arith.extsi %{{.+}} : i16 to i32
// CHECK: %[[CARRIER:.+]] = arith.maxsi %[[READ]], %[[LEAST]] : i32
// CHECK: arith.trunci %[[CARRIER]] : i32 to i16
func.func @carriers(%x: tensor<3x2xi16, #c>) -> tensor<3x2xi16, #c> {
  %y = hetprec.add %x, %x : tensor<3x2xi16, #c>
  return %y : tensor<3x2xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 4], groups = 2>

// Groups, and padding where the grid has no zero, are computed without tensor
// cores: weights are values times what their product counts, -3 * 16 and 3 * 1.
// CHECK: hetprec.constants = dense<"{{.*}}D0FFFFFF03000000">
// CHECK-LABEL: gpu.func @direct_1_direct_conv_2d(
// CHECK: arith.xori
// CHECK: arith.muli
// CHECK-NOT: nvvm.mma
func.func @direct(%x: tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xi32> {
  %w = arith.constant dense<[[[[0]]], [[[9]]]]> : tensor<2x1x1x1xi8, #w>
  %q = hetprec.quantize %x : tensor<1x2x3x3xf32> to tensor<1x2x3x3xi8, #a>
  %acc = hetprec.conv_2d %q, %w groups = 2 : tensor<1x2x3x3xi8, #a>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x3x3xi32>
  return %acc : tensor<1x2x3x3xi32>
}
