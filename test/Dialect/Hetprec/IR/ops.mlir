// Every model op survives printing and parsing, in custom and generic form.
// RUN: sysmol-opt %s | FileCheck %s
// RUN: sysmol-opt %s | sysmol-opt | FileCheck %s
// RUN: sysmol-opt %s --mlir-print-op-generic | sysmol-opt | FileCheck %s
// RUN: sysmol-opt %s --emit-bytecode | sysmol-opt | FileCheck %s

// Runs of equal precision print as `bits x count`.
#one = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 4.0, bits = [4, 1, 1, 1, 2, 2]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [4, 1 x 3, 2 x 2]>
#two = #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 4]>
#carrier = #hetprec.carrier<delta = 0.00390625>

// CHECK-DAG: #[[ACT:[a-z0-9]+]] = #hetprec.channels<axis = 1, grid = unsigned, scale = 4.000000e+00, bits = [4, 1 x 3, 2 x 2]>
// CHECK-DAG: #[[WGT:[a-z0-9]+]] = #hetprec.channels<axis = 1, grid = midrise, scale = 5.000000e-01, bits = [4, 1 x 3, 2 x 2]>
// CHECK-DAG: #[[CARRIER:[a-z0-9]+]] = #hetprec.carrier<delta = 3.906250e-03>
// CHECK-DAG: #hetprec.channels<axis = 1, grid = midrise, scale = [5.000000e-01, 2.500000e-01], bits = [1, 2]>
// CHECK-DAG: #hetprec.channels<axis = 1, grid = midrise, scale = 1.000000e+00, bits = [1 x 2, 2 x 2], groups = 2>
// CHECK-DAG: #[[LANES:[a-z0-9]+]] = #hetprec.lanes<1 x 28 x 28, row_stride = 29, image_stride = 841, base = 64, size = 1024>

// CHECK-LABEL: @quantize
func.func @quantize(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> {
  // CHECK: %[[Q:.+]] = hetprec.quantize %{{.+}} : tensor<1x1x4x4xf32> to tensor<1x1x4x4xi8, #{{.+}}>
  %q = hetprec.quantize %x : tensor<1x1x4x4xf32> to tensor<1x1x4x4xi8, #one>
  // CHECK: hetprec.dequantize %[[Q]] : tensor<1x1x4x4xi8, #{{.+}}> to tensor<1x1x4x4xf32>
  %d = hetprec.dequantize %q : tensor<1x1x4x4xi8, #one> to tensor<1x1x4x4xf32>
  return %d : tensor<1x1x4x4xf32>
}

// CHECK-LABEL: @conv_defaults
func.func @conv_defaults(%x: tensor<1x6x5x5xi8, #act>, %w: tensor<3x6x3x3xi8, #wgt>) -> tensor<1x3x3x3xi32> {
  // CHECK: hetprec.conv_2d %{{.+}}, %{{.+}} : tensor<1x6x5x5xi8, #[[ACT]]>, tensor<3x6x3x3xi8, #[[WGT]]> -> tensor<1x3x3x3xi32>
  %a = hetprec.conv_2d %x, %w : tensor<1x6x5x5xi8, #act>, tensor<3x6x3x3xi8, #wgt> -> tensor<1x3x3x3xi32>
  return %a : tensor<1x3x3x3xi32>
}

// CHECK-LABEL: @conv_all
func.func @conv_all(%x: tensor<2x6x9x8xi8, #act>, %w: tensor<3x6x3x2xi8, #wgt>) -> tensor<2x3x4x7xi32> {
  // CHECK: hetprec.conv_2d %{{.+}}, %{{.+}} strides = [2, 1] pads = [1, 0, 0, 1] dilations = [1, 2] :
  %a = hetprec.conv_2d %x, %w strides = [2, 1] pads = [1, 0, 0, 1] dilations = [1, 2] groups = 1
    : tensor<2x6x9x8xi8, #act>, tensor<3x6x3x2xi8, #wgt> -> tensor<2x3x4x7xi32>
  return %a : tensor<2x3x4x7xi32>
}

#ga = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1, 2, 2]>
#gw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1, 2, 2], groups = 2>
// CHECK-LABEL: @conv_grouped
func.func @conv_grouped(%x: tensor<1x4x3x3xi8, #ga>, %w: tensor<6x2x3x3xi8, #gw>) -> tensor<1x6x1x1xi32> {
  // CHECK: hetprec.conv_2d %{{.+}}, %{{.+}} groups = 2 :
  %a = hetprec.conv_2d %x, %w groups = 2
    : tensor<1x4x3x3xi8, #ga>, tensor<6x2x3x3xi8, #gw> -> tensor<1x6x1x1xi32>
  return %a : tensor<1x6x1x1xi32>
}

#dw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1, 2, 2], groups = 4>
// CHECK-LABEL: @depthwise
func.func @depthwise(%x: tensor<1x4x3x3xi8, #ga>, %w: tensor<8x1x3x3xi8, #dw>) -> tensor<1x8x3x3xi32> {
  // CHECK: hetprec.depthwise_conv_2d %{{.+}}, %{{.+}} pads = [1, 1, 1, 1] :
  %a = hetprec.depthwise_conv_2d %x, %w pads = [1, 1, 1, 1]
    : tensor<1x4x3x3xi8, #ga>, tensor<8x1x3x3xi8, #dw> -> tensor<1x8x3x3xi32>
  return %a : tensor<1x8x3x3xi32>
}

#ma = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#mw = #hetprec.channels<axis = 1, grid = midrise, scale = [0.5, 0.25], bits = [1, 2]>
// CHECK-LABEL: @matmul
func.func @matmul(%x: tensor<5x2xi8, #ma>, %w: tensor<2x2xi8, #mw>) -> tensor<5x2xi32> {
  // CHECK: hetprec.matmul %{{.+}}, %{{.+}} : tensor<5x2xi8, #{{.+}}>, tensor<2x2xi8, #{{.+}}> -> tensor<5x2xi32>
  %a = hetprec.matmul %x, %w : tensor<5x2xi8, #ma>, tensor<2x2xi8, #mw> -> tensor<5x2xi32>
  return %a : tensor<5x2xi32>
}

// CHECK-LABEL: @pool_flatten
func.func @pool_flatten(%x: tensor<1x4x6x6xi8, #two>) -> (tensor<1x4x3x3xi32>, tensor<1x144xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 144]>>) {
  // CHECK: hetprec.sum_pool_2d %{{.+}} kernel = [2, 2] strides = [2, 2] :
  %s = hetprec.sum_pool_2d %x kernel = [2, 2] strides = [2, 2] pads = [0, 0, 0, 0]
    : tensor<1x4x6x6xi8, #two> -> tensor<1x4x3x3xi32>
  // CHECK: hetprec.flatten %{{.+}} : tensor<1x4x6x6xi8, #{{.+}}> to tensor<1x144xi8, #{{.+}}>
  %f = hetprec.flatten %x : tensor<1x4x6x6xi8, #two>
    to tensor<1x144xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 144]>>
  return %s, %f : tensor<1x4x3x3xi32>, tensor<1x144xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 144]>>
}

// CHECK-LABEL: @max_pool
func.func @max_pool(%x: tensor<1x4x6x6xi8, #two>) -> (tensor<1x4x3x3xi8, #two>, tensor<1x4x5x5xi8, #two>) {
  // CHECK: hetprec.max_pool_2d %{{.+}} kernel = [3, 3] strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x4x6x6xi8, #[[TWO:.+]]> -> tensor<1x4x3x3xi8, #[[TWO]]>
  %m = hetprec.max_pool_2d %x kernel = [3, 3] strides = [2, 2] pads = [1, 1, 1, 1]
    : tensor<1x4x6x6xi8, #two> -> tensor<1x4x3x3xi8, #two>
  // CHECK: hetprec.max_pool_2d %{{.+}} kernel = [2, 2] : tensor<1x4x6x6xi8
  %n = hetprec.max_pool_2d %x kernel = [2, 2] : tensor<1x4x6x6xi8, #two> -> tensor<1x4x5x5xi8, #two>
  return %m, %n : tensor<1x4x3x3xi8, #two>, tensor<1x4x5x5xi8, #two>
}

// CHECK-LABEL: @epilogues
func.func @epilogues(%acc: tensor<1x4x2x2xi32>) -> tensor<1x4x2x2xf32> {
  // CHECK: %[[C:.+]] = hetprec.to_carrier %{{.+}} multiplier = [2.500000e-01] : tensor<1x4x2x2xi32> to tensor<1x4x2x2xi16, #[[CARRIER]]>
  %c = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x4x2x2xi32> to tensor<1x4x2x2xi16, #carrier>
  // CHECK: %[[S:.+]] = hetprec.add %[[C]], %[[C]] : tensor<1x4x2x2xi16, #[[CARRIER]]>
  %s = hetprec.add %c, %c : tensor<1x4x2x2xi16, #carrier>
  // CHECK: %[[D:.+]] = hetprec.to_carrier %{{.+}} multiplier = [2.500000e-01] offset = [1.000000e+00, 2.000000e+00, -3.000000e+00, 0.000000e+00] relu : tensor<1x4x2x2xi32> to
  %d = hetprec.to_carrier %acc multiplier = [0.25] offset = [1.0, 2.0, -3.0, 0.0] relu
    : tensor<1x4x2x2xi32> to tensor<1x4x2x2xi16, #carrier>
  // CHECK: hetprec.to_carrier %{{.+}} multiplier = [2.500000e-01] relu : tensor<1x4x2x2xi32> to
  %e = hetprec.to_carrier %acc multiplier = [0.25] relu
    : tensor<1x4x2x2xi32> to tensor<1x4x2x2xi16, #carrier>
  // CHECK: hetprec.add %[[D]], %{{.+}} relu : tensor<1x4x2x2xi16, #[[CARRIER]]>
  %t = hetprec.add %d, %e relu : tensor<1x4x2x2xi16, #carrier>
  // CHECK: hetprec.requantize %[[S]] multiplier = [5.000000e-01, 1.000000e+00, -1.000000e+00, 2.000000e+00] offset = [0.000000e+00]
  %q = hetprec.requantize %s multiplier = [0.5, 1.0, -1.0, 2.0] offset = [0.0]
    : tensor<1x4x2x2xi16, #carrier> to tensor<1x4x2x2xi8, #two>
  // CHECK: hetprec.to_real %[[S]] multiplier = [5.000000e-01] offset = [1.000000e+00] :
  %r = hetprec.to_real %s multiplier = [0.5] offset = [1.0]
    : tensor<1x4x2x2xi16, #carrier> to tensor<1x4x2x2xf32>
  return %r : tensor<1x4x2x2xf32>
}

#pa = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 2, 1]>
#pb = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 4, 2]>
// CHECK-LABEL: @permute
func.func @permute(%x: tensor<1x3x2x2xi8, #pa>, %y: tensor<3x2xf32>) -> (tensor<1x3x2x2xi8, #pb>, tensor<3x2xf32>) {
  // CHECK: hetprec.permute %{{.+}} axis = 1 permutation = [2, 0, 1] :
  %p = hetprec.permute %x axis = 1 permutation = [2, 0, 1]
    : tensor<1x3x2x2xi8, #pa> to tensor<1x3x2x2xi8, #pb>
  // CHECK: hetprec.permute %{{.+}} axis = 0 permutation = [2, 1, 0] : tensor<3x2xf32> to tensor<3x2xf32>
  %r = hetprec.permute %y axis = 0 permutation = [2, 1, 0] : tensor<3x2xf32> to tensor<3x2xf32>
  return %p, %r : tensor<1x3x2x2xi8, #pb>, tensor<3x2xf32>
}

// CHECK-LABEL: @lanes
func.func private @lanes() attributes {
  // CHECK-SAME: lanes = #[[LANES]]
  lanes = #hetprec.lanes<1 x 28 x 28, row_stride = 29, image_stride = 841, base = 64, size = 1024>
}

// Every binary32 comes back bit for bit, whatever the form.
// CHECK-LABEL: @exact_floats
func.func @exact_floats(%acc: tensor<1x4xi32>) -> tensor<1x4xf32> {
  // CHECK: multiplier = [8.25824123e-03, -1.000000e+00, 1.17549435e-38, 3.40282347e+38] offset = [1.67772150e+07, 1.40129846e-45, 0.000000e+00, 9.99999940e-01]
  %r = hetprec.to_real %acc multiplier = [0x3C074D93, -1.0, 0x00800000, 0x7F7FFFFF] offset = [16777215.0, 0x00000001, 0.0, 0x3F7FFFFF]
    : tensor<1x4xi32> to tensor<1x4xf32>
  return %r : tensor<1x4xf32>
}
