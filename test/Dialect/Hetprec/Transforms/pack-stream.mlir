// Few 8-bit channels: a window's row is one stream of bytes.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

#a1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>

// One channel: a row of three taps is one word, whose bytes are the pixel and its
// neighbours to the right. 0x030201, 0x060504, 0x090807.
// CHECK-LABEL: @one_channel
// CHECK-DAG: %[[W:.+]] = arith.constant dense<{{\[\[}}197121, 394500, 591879]]> : tensor<1x3xi32>
// CHECK: %[[X:.+]] = hetprec.pack_lanes
// CHECK: %[[NEXT:.+]] = tensor.extract_slice %[[X]][0, 1]
// CHECK: %[[THIRD:.+]] = tensor.extract_slice %[[X]][0, 2]
// CHECK: %[[WORD:.+]] = linalg.generic {{.+}} ins(%{{.+}}, %[[NEXT]], %[[THIRD]] :
// CHECK: %[[P:.+]] = tensor.insert_slice %[[WORD]]
// CHECK: hetprec.contract accumulator lanes(%[[P]] : {{.+}}) rows(%[[W]] :
// CHECK-SAME: taps = array<i64: 0, 5, 10>
func.func @one_channel(%x: tensor<1x1x4x4xi8, #a1>) -> tensor<1x1x4x4xi32> {
  %w = arith.constant dense<[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]> : tensor<1x1x3x3xi8, #w1>
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x1x4x4xi8, #a1>, tensor<1x1x3x3xi8, #w1> -> tensor<1x1x4x4xi32>
  return %acc : tensor<1x1x4x4xi32>
}

// Three channels, stride 2: the stream repeats after 12 bytes, two lanes on. Five
// pixels are 15 bytes, four words instead of five would need two planes twice:
// three planes twice are six, and nothing is won.
// CHECK-LABEL: @no_gain
// CHECK-NOT: linalg.generic {{.+}} tensor<1x
// CHECK: hetprec.contract accumulator lanes({{.+}}) rows(%{{.+}} : tensor<1x5xi32>)
#a3 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 3]>
#w3 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8 x 3]>
func.func @no_gain(%x: tensor<1x3x1x9xi8, #a3>) -> tensor<1x1x1x3xi32> {
  %w = arith.constant dense<1> : tensor<1x3x1x5xi8, #w3>
  %acc = hetprec.conv_2d %x, %w strides = [2, 2] : tensor<1x3x1x9xi8, #a3>, tensor<1x3x1x5xi8, #w3> -> tensor<1x1x1x3xi32>
  return %acc : tensor<1x1x1x3xi32>
}

// Seven pixels are 21 bytes: six words, three planes twice. Byte i of weights of
// the 21 is i + 1; what is behind them is 0.
// CHECK-LABEL: @three_planes
// CHECK-DAG: arith.constant dense<{{\[\[}}67305985, 269422093, 134678021, 336794129, 202050057, 21]]> : tensor<1x6xi32>
// CHECK: hetprec.pack_lanes {{.+}} phases = array<i64: 0, 1>
// CHECK-COUNT-3: linalg.generic
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<3x{{[0-9]+}}xi32>)
// CHECK-SAME: taps = array<i64: 0, 2>
func.func @three_planes(%x: tensor<1x3x1x9xi8, #a3>) -> tensor<1x1x1x2xi32> {
  %w = arith.constant dense<[[[[1, 4, 7, 10, 13, 16, 19]], [[2, 5, 8, 11, 14, 17, 20]], [[3, 6, 9, 12, 15, 18, 21]]]]> : tensor<1x3x1x7xi8, #w3>
  %acc = hetprec.conv_2d %x, %w strides = [2, 2] : tensor<1x3x1x9xi8, #a3>, tensor<1x3x1x7xi8, #w3> -> tensor<1x1x1x2xi32>
  return %acc : tensor<1x1x1x2xi32>
}

// The last word of a row of three pixels has one byte of three columns' nine. With
// enough outputs that plane is folded, a byte of each of the three rows side by
// side: 1 + 2 * 256 + 3 * 65536 is 197121; the other two planes are read for each row.
// CHECK-LABEL: @folded
// CHECK-DAG: %[[REST:.+]] = arith.constant dense<197121> : tensor<16x1xi32>
// CHECK: %[[F:.+]] = hetprec.fold_taps %{{.+}} : tensor<1x{{[0-9]+}}xi32> {{.+}} {channels = array<i64: 1, 1, 1>, {{.+}}level = 8 : i64
// CHECK: hetprec.contract accumulator lanes(%{{.+}}, %[[F]] : tensor<2x{{[0-9]+}}xi32>, tensor<1x{{[0-9]+}}xi32>) rows(%{{.+}}, %[[REST]] : tensor<16x6xi32>, tensor<16x1xi32>)
// CHECK-SAME: folded = array<i1: false, true>
#f = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 3]>
#g = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8 x 3]>
func.func @folded(%x: tensor<1x3x3x3xi8, #f>) -> tensor<1x16x1x1xi32> {
  %w = arith.constant dense<[[[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]],
    [[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[9, 9, 1], [9, 9, 2], [9, 9, 3]]]]> : tensor<16x3x3x3xi8, #g>
  %acc = hetprec.conv_2d %x, %w : tensor<1x3x3x3xi8, #f>, tensor<16x3x3x3xi8, #g> -> tensor<1x16x1x1xi32>
  return %acc : tensor<1x16x1x1xi32>
}
