// RUN: sysmol-opt %s -canonicalize | FileCheck %s

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1, 2, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1, 2, 2], groups = 4>

// CHECK-LABEL: @depthwise_is_grouped
func.func @depthwise_is_grouped(%x: tensor<1x4x9x9xi8, #a>, %w: tensor<8x1x3x3xi8, #w>) -> tensor<1x8x5x5xi32> {
  // CHECK-NOT: depthwise
  // CHECK: hetprec.conv_2d %{{.+}}, %{{.+}} strides = [2, 2] pads = [1, 1, 1, 1] groups = 4 :
  %r = hetprec.depthwise_conv_2d %x, %w strides = [2, 2] pads = [1, 1, 1, 1]
    : tensor<1x4x9x9xi8, #a>, tensor<8x1x3x3xi8, #w> -> tensor<1x8x5x5xi32>
  return %r : tensor<1x8x5x5xi32>
}

#p0 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 2, 1]>
#p1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 4, 2]>
#p2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 4]>

// CHECK-LABEL: @compose
// CHECK-SAME: %[[X:.+]]: tensor<2x3xi8
func.func @compose(%x: tensor<2x3xi8, #p0>) -> tensor<2x3xi8, #p2> {
  // [0, 2, 1] of [2, 0, 1] is [2, 1, 0].
  // CHECK-NEXT: %[[P:.+]] = hetprec.permute %[[X]] axis = 1 permutation = [2, 1, 0] :
  // CHECK-NEXT: return %[[P]]
  %a = hetprec.permute %x axis = 1 permutation = [2, 0, 1] : tensor<2x3xi8, #p0> to tensor<2x3xi8, #p1>
  %b = hetprec.permute %a axis = 1 permutation = [0, 2, 1] : tensor<2x3xi8, #p1> to tensor<2x3xi8, #p2>
  return %b : tensor<2x3xi8, #p2>
}

// CHECK-LABEL: @inverse
// CHECK-SAME: %[[X:.+]]: tensor<2x3xi8
func.func @inverse(%x: tensor<2x3xi8, #p0>) -> tensor<2x3xi8, #p0> {
  // CHECK-NEXT: return %[[X]]
  %a = hetprec.permute %x axis = 1 permutation = [2, 0, 1] : tensor<2x3xi8, #p0> to tensor<2x3xi8, #p1>
  %b = hetprec.permute %a axis = 1 permutation = [1, 2, 0] : tensor<2x3xi8, #p1> to tensor<2x3xi8, #p0>
  return %b : tensor<2x3xi8, #p0>
}

// CHECK-LABEL: @other_axis
func.func @other_axis(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // CHECK-COUNT-2: hetprec.permute
  %a = hetprec.permute %x axis = 1 permutation = [2, 0, 1] : tensor<2x3xf32> to tensor<2x3xf32>
  %b = hetprec.permute %a axis = 0 permutation = [1, 0] : tensor<2x3xf32> to tensor<2x3xf32>
  return %b : tensor<2x3xf32>
}

// CHECK-LABEL: @constants
func.func @constants() -> (tensor<2x3xi8, #p1>, tensor<2x3xi8, #p1>, tensor<2x2x2xi16>) {
  // CHECK-DAG: arith.constant dense<{{\[\[}}3, 1, 2], [6, 4, 5]]> : tensor<2x3xi8, #
  %c = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi8, #p0>
  %a = hetprec.permute %c axis = 1 permutation = [2, 0, 1] : tensor<2x3xi8, #p0> to tensor<2x3xi8, #p1>
  // CHECK-DAG: arith.constant dense<1> : tensor<2x3xi8, #
  %s = arith.constant dense<1> : tensor<2x3xi8, #p0>
  %b = hetprec.permute %s axis = 1 permutation = [2, 0, 1] : tensor<2x3xi8, #p0> to tensor<2x3xi8, #p1>
  // CHECK-DAG: arith.constant dense<{{\[\[\[}}3, 4], [1, 2]], {{\[\[}}7, 8], [5, 6]]]> : tensor<2x2x2xi16>
  %w = arith.constant dense<[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]> : tensor<2x2x2xi16>
  %d = hetprec.permute %w axis = 1 permutation = [1, 0] : tensor<2x2x2xi16> to tensor<2x2x2xi16>
  // CHECK-NOT: hetprec.permute
  return %a, %b, %d : tensor<2x3xi8, #p1>, tensor<2x3xi8, #p1>, tensor<2x2x2xi16>
}

// Bit-packed constants stay.
// CHECK-LABEL: @bools
func.func @bools() -> tensor<2xi1> {
  // CHECK: hetprec.permute
  %c = arith.constant dense<[true, false]> : tensor<2xi1>
  %a = hetprec.permute %c axis = 0 permutation = [1, 0] : tensor<2xi1> to tensor<2xi1>
  return %a : tensor<2xi1>
}

// Elements without a width of their own stay, too.
// CHECK-LABEL: @indices
func.func @indices() -> tensor<2xindex> {
  // CHECK: hetprec.permute
  %c = arith.constant dense<[1, 2]> : tensor<2xindex>
  %a = hetprec.permute %c axis = 0 permutation = [1, 0] : tensor<2xindex> to tensor<2xindex>
  return %a : tensor<2xindex>
}

// Groups move as a whole and take their bits along.
#g0 = #hetprec.channels<axis = 1, grid = midrise, scale = [1.0, 2.0, 3.0, 4.0], bits = [1, 2], groups = 2>
#g1 = #hetprec.channels<axis = 1, grid = midrise, scale = [4.0, 3.0, 1.0, 2.0], bits = [2, 1], groups = 2>
// CHECK-LABEL: @groups
func.func @groups() -> tensor<4x1xi8, #g1> {
  // CHECK: arith.constant dense<{{\[\[}}3], [2], [0], [1]]> : tensor<4x1xi8, #
  %c = arith.constant dense<[[0], [1], [2], [3]]> : tensor<4x1xi8, #g0>
  %p = hetprec.permute %c axis = 0 permutation = [3, 2, 0, 1] : tensor<4x1xi8, #g0> to tensor<4x1xi8, #g1>
  return %p : tensor<4x1xi8, #g1>
}

// The values of every level (HP3, HP4, HP5), rows with a scale of their own.
#d = #hetprec.channels<axis = 1, grid = midrise, scale = [1.0, 2.0], bits = [1, 2, 8]>
#u = #hetprec.channels<axis = 1, grid = unsigned, scale = 3.0, bits = [1, 2, 8]>
// CHECK-LABEL: @dequantize
func.func @dequantize() -> (tensor<2x3xf32>, tensor<1x3xf32>) {
  // CHECK-DAG: arith.constant dense<{{\[\[}}-1.000000e+00, 1.500000e+00, -1.984375], [2.000000e+00, -3.000000e+00, 0.000000e+00]]> : tensor<2x3xf32>
  %c = arith.constant dense<[[0, 3, -127], [1, 0, 0]]> : tensor<2x3xi8, #d>
  %r = hetprec.dequantize %c : tensor<2x3xi8, #d> to tensor<2x3xf32>
  // Code -1 of the unsigned grid is 255.
  // CHECK-DAG: arith.constant dense<{{\[\[}}3.000000e+00, 2.000000e+00, 3.000000e+00]]> : tensor<1x3xf32>
  %e = arith.constant dense<[[1, 2, -1]]> : tensor<1x3xi8, #u>
  %s = hetprec.dequantize %e : tensor<1x3xi8, #u> to tensor<1x3xf32>
  return %r, %s : tensor<2x3xf32>, tensor<1x3xf32>
}

// A constant of 10^12 codes is not spelled out.
#big = #hetprec.channels<axis = 0, grid = midrise, scale = 1.0, bits = [1]>
// CHECK-LABEL: @huge
func.func @huge() -> tensor<1x1000000x1000000xf32> {
  // CHECK: hetprec.dequantize
  %c = arith.constant dense<0> : tensor<1x1000000x1000000xi8, #big>
  %r = hetprec.dequantize %c : tensor<1x1000000x1000000xi8, #big> to tensor<1x1000000x1000000xf32>
  return %r : tensor<1x1000000x1000000xf32>
}

// CHECK-LABEL: @quantize_dequantize
// CHECK-SAME: %[[X:.+]]: tensor<2x3xi8
func.func @quantize_dequantize(%x: tensor<2x3xi8, #u>) -> tensor<2x3xi8, #u> {
  // CHECK-NEXT: return %[[X]]
  %r = hetprec.dequantize %x : tensor<2x3xi8, #u> to tensor<2x3xf32>
  %q = hetprec.quantize %r : tensor<2x3xf32> to tensor<2x3xi8, #u>
  return %q : tensor<2x3xi8, #u>
}

// Not where a value is no normal number of binary32.
#tiny = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0e-38, bits = [1, 1, 1]>
// CHECK-LABEL: @tiny_scale
func.func @tiny_scale(%x: tensor<2x3xi8, #tiny>) -> tensor<2x3xi8, #tiny> {
  // CHECK: hetprec.quantize
  %r = hetprec.dequantize %x : tensor<2x3xi8, #tiny> to tensor<2x3xf32>
  %q = hetprec.quantize %r : tensor<2x3xf32> to tensor<2x3xi8, #tiny>
  return %q : tensor<2x3xi8, #tiny>
}

// Another encoding is another quantization.
// CHECK-LABEL: @other_encoding
func.func @other_encoding(%x: tensor<2x3xi8, #p0>) -> tensor<2x3xi8, #p1> {
  // CHECK: hetprec.quantize
  %r = hetprec.dequantize %x : tensor<2x3xi8, #p0> to tensor<2x3xf32>
  %q = hetprec.quantize %r : tensor<2x3xf32> to tensor<2x3xi8, #p1>
  return %q : tensor<2x3xi8, #p1>
}

#f0 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#f1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1, 2, 2]>
// CHECK-LABEL: @flatten
func.func @flatten() -> tensor<1x4xi8, #f1> {
  // CHECK-NEXT: arith.constant dense<{{\[\[}}0, 1, 2, 3]]> : tensor<1x4xi8, #
  %c = arith.constant dense<[[[[0, 1]], [[2, 3]]]]> : tensor<1x2x1x2xi8, #f0>
  %f = hetprec.flatten %c : tensor<1x2x1x2xi8, #f0> to tensor<1x4xi8, #f1>
  return %f : tensor<1x4xi8, #f1>
}
