// What follows a dot product is fused into its contract; values get planes.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' | FileCheck %s

#in = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8 x 2]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>
#carrier = #hetprec.carrier<delta = 0.5>

// CHECK-DAG: #[[ONE:.+]] = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
// CHECK-DAG: #[[TWO:.+]] = #hetprec.lanes<2 x 4 x 3, row_stride = 4, image_stride = 20, base = 64, size = 192>

// A residual sum: the first carrier is written, the second added onto it in the
// same planes; reading it by plane number sorts its channels. A negative
// multiplier becomes a sign here (the weights are not ours to turn round).
// CHECK-LABEL: @residual
// CHECK-SAME: (%[[ARG:.+]]: tensor<1x2x4x4xi8>) -> (tensor<1x3x4x4xi8>, tensor<1x3x4x4xf32>)
// CHECK-DAG: %[[HALF:.+]] = arith.constant dense<5.000000e-01> : tensor<3xf32>
// CHECK-DAG: %[[EACH:.+]] = arith.constant dense<[1.000000e+00, 2.000000e+00, 3.000000e+00]> : tensor<3xf32>
// 513 = 1 + 2 * 256: two signed bytes.
// CHECK-DAG: %[[ROWS:.+]] = arith.constant dense<{{\[\[}}513], [1027], [1541]]> : tensor<3x1xi32>
// CHECK-DAG: %[[C1:.+]] = arith.constant dense<[1, 0, 0, 0, 0, 0, 0, 0]> : tensor<8xi16>
// CHECK-DAG: %[[S1:.+]] = arith.constant dense<[-1, 1, 1, 1, 1, 1, 1, 1]> : tensor<8xi16>
// CHECK-DAG: %[[T1:.+]] = arith.constant dense<{{\[\[}}0], [32767], [32767], [32767], [32767], [32767], [32767], [32767]]> : tensor<8x1xi16>
// CHECK-DAG: %[[C2:.+]] = arith.constant dense<[0, 2, 0]> : tensor<3xi16>
// CHECK-DAG: %[[T2:.+]] = arith.constant dense<{{\[\[}}0, 1, 2], [1, 2, 5], [32767, 32767, 32767]]> : tensor<3x3xi16>
// CHECK-DAG: %[[S2:.+]] = arith.constant dense<1> : tensor<3xi16>
// CHECK: %[[X:.+]] = hetprec.pack_lanes %[[ARG]] {{.+}} {channels = array<i64: 0, 1, -1, -1>, layout = #[[ONE]], level = 8 : i64}
// CHECK: %[[A:.+]] = hetprec.contract carrier lanes(%[[X]] : {{.+}}) rows(%[[ROWS]] : {{.+}}) multiplier(%[[HALF]] : tensor<3xf32>)
// CHECK: %[[S:.+]] = hetprec.contract carrier_add {{.+}} multiplier(%[[EACH]] : tensor<3xf32>) outs(%[[A]] : tensor<3x64xi16>) {{.+}} in_range
// CHECK: %[[Q1:.+]] = hetprec.requantize_lanes %[[S]] channels(%[[C1]] : tensor<8xi16>) thresholds(%[[T1]] : tensor<8x1xi16>) signs(%[[S1]] : tensor<8xi16>) mask({{.+}}) outs({{.+}}) {{.+}} out_level = 1
// CHECK: %[[Q2:.+]] = hetprec.requantize_lanes %[[S]] channels(%[[C2]] : tensor<3xi16>) thresholds(%[[T2]] : tensor<3x3xi16>) signs(%[[S2]] : tensor<3xi16>) mask({{.+}}) outs({{.+}}) {{.+}} out_level = 2
// CHECK: %[[R:.+]] = hetprec.contract real
// CHECK: %[[U3:.+]] = hetprec.unpack_lanes %[[R]] {{.+}} level = 0
// CHECK: %[[U1:.+]] = hetprec.unpack_lanes %[[Q1]] {{.+}} {channels = array<i64: 1, -1, -1, -1, -1, -1, -1, -1>
// CHECK: %[[U2:.+]] = hetprec.unpack_lanes %[[Q2]] : tensor<1x64xi8> outs(%[[U1]] : tensor<1x3x4x4xi8>) {channels = array<i64: 0, 2, -1>
// CHECK: return %[[U2]], %[[U3]]
func.func @residual(%x: tensor<1x2x4x4xi8, #in>) -> (tensor<1x3x4x4xi8, #act>, tensor<1x3x4x4xf32>) {
  %w = arith.constant dense<[[[[1]], [[2]]], [[[3]], [[4]]], [[[5]], [[6]]]]> : tensor<3x2x1x1xi8, #w>
  %a = hetprec.conv_2d %x, %w : tensor<1x2x4x4xi8, #in>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x4x4xi32>
  %b = hetprec.conv_2d %x, %w : tensor<1x2x4x4xi8, #in>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x4x4xi32>
  %c = hetprec.conv_2d %x, %w : tensor<1x2x4x4xi8, #in>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x4x4xi32>
  %ca = hetprec.to_carrier %a multiplier = [0.5] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi16, #carrier>
  %cb = hetprec.to_carrier %b multiplier = [1.0, 2.0, 3.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi16, #carrier>
  %s = hetprec.add %ca, %cb : tensor<1x3x4x4xi16, #carrier>
  %q = hetprec.requantize %s multiplier = [1.0, -1.0, 0.5] offset = [0.0] : tensor<1x3x4x4xi16, #carrier> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.to_real %c multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xf32>
  return %q, %r : tensor<1x3x4x4xi8, #act>, tensor<1x3x4x4xf32>
}

// What could leave the range of 32 bits is not marked.
// CHECK-LABEL: @far
// CHECK: hetprec.contract carrier
// CHECK-NOT: in_range
// CHECK: return
func.func @far(%x: tensor<1x2x4x4xi8, #in>) -> tensor<1x3x4x4xi8, #act> {
  %w = arith.constant dense<[[[[1]], [[2]]], [[[3]], [[4]]], [[[5]], [[6]]]]> : tensor<3x2x1x1xi8, #w>
  %a = hetprec.conv_2d %x, %w : tensor<1x2x4x4xi8, #in>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x4x4xi32>
  %c = hetprec.to_carrier %a multiplier = [0.5, 1.0, 1.0e9] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi16, #carrier>
  %q = hetprec.requantize %c multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi16, #carrier> to tensor<1x3x4x4xi8, #act>
  return %q : tensor<1x3x4x4xi8, #act>
}

#two = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#wtwo = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2]>
#out = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 4]>

// Three precisions out of one convolution: three contracts, but the lanes' part
// is made once. Rows and images share their border of zeros.
// CHECK-LABEL: @split_output
// CHECK-COUNT-1: hetprec.contract accumulator
// CHECK-NOT: hetprec.contract accumulator
// CHECK: hetprec.contract codes {{.+}} lane_bias(%[[B:[0-9]+]] : {{.+}} out_level = 1
// CHECK: hetprec.contract codes {{.+}} lane_bias(%[[B]] : {{.+}} out_level = 2
// CHECK: hetprec.contract codes {{.+}} lane_bias(%[[B]] : {{.+}} out_level = 4
// CHECK: hetprec.unpack_lanes {{.+}} {channels = array<i64: 0, -1, -1, -1, -1, -1, -1, -1>, layout = #[[TWO]]
func.func @split_output(%x: tensor<2x2x4x3xi8, #two>) -> tensor<2x3x4x3xi8, #out> {
  %w = arith.constant dense<1> : tensor<3x2x3x3xi8, #wtwo>
  %a = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<2x2x4x3xi8, #two>, tensor<3x2x3x3xi8, #wtwo> -> tensor<2x3x4x3xi32>
  %q = hetprec.requantize %a multiplier = [1.0] offset = [0.0] : tensor<2x3x4x3xi32> to tensor<2x3x4x3xi8, #out>
  return %q : tensor<2x3x4x3xi8, #out>
}

// Strided readers of the same phases share them. A 1x1 window reads one phase of
// four and makes no other; another stride has phases of its own.
// CHECK-LABEL: @shared_phases
// CHECK: hetprec.split_phases {{.+}} phases = array<i64: 0>, strides = array<i64: 3, 3>
// CHECK: hetprec.split_phases {{.+}} phases = array<i64: 0, 1, 2, 3>, strides = array<i64: 2, 2>
// CHECK: hetprec.split_phases {{.+}} phases = array<i64: 0>, strides = array<i64: 3, 3>
// CHECK: hetprec.split_phases {{.+}} phases = array<i64: 0, 1, 2, 3>, strides = array<i64: 2, 2>
// CHECK-NOT: hetprec.split_phases
// CHECK: return
func.func @shared_phases(%x: tensor<1x2x6x6xi8, #two>) -> (tensor<1x1x3x3xi32>, tensor<1x1x3x3xi32>, tensor<1x1x2x2xi32>) {
  %w = arith.constant dense<1> : tensor<1x2x1x1xi8, #wtwo>
  %v = arith.constant dense<1> : tensor<1x2x2x2xi8, #wtwo>
  %a = hetprec.conv_2d %x, %v strides = [2, 2] : tensor<1x2x6x6xi8, #two>, tensor<1x2x2x2xi8, #wtwo> -> tensor<1x1x3x3xi32>
  %b = hetprec.conv_2d %x, %v strides = [2, 2] : tensor<1x2x6x6xi8, #two>, tensor<1x2x2x2xi8, #wtwo> -> tensor<1x1x3x3xi32>
  %c = hetprec.conv_2d %x, %w strides = [3, 3] : tensor<1x2x6x6xi8, #two>, tensor<1x2x1x1xi8, #wtwo> -> tensor<1x1x2x2xi32>
  return %a, %b, %c : tensor<1x1x3x3xi32>, tensor<1x1x3x3xi32>, tensor<1x1x2x2xi32>
}

// An image of reals becomes codes where it is packed (HP7: 3 / alpha), and where
// its only reader is strided, in the phases at once.
// CHECK-LABEL: @image
// CHECK-SAME: %[[X:.+]]: tensor<1x2x6x6xf32>
// CHECK-NOT: linalg
// CHECK: hetprec.pack_lanes %[[X]] {{.+}} level = 1 : i64, multiplier = 1.000000e+00 : f32
// CHECK: hetprec.pack_lanes %[[X]] {{.+}} outs(%{{.+}} : tensor<4x64xi8>)
// CHECK-SAME: level = 2 : i64, multiplier = 3.000000e+00 : f32, pads = array<i64: 0, 0>, phases = array<i64: 0, 1, 2, 3>, strides = array<i64: 2, 2>
// CHECK-NOT: hetprec.split_phases
// CHECK: return
func.func @image(%x: tensor<1x2x6x6xf32>) -> tensor<1x1x3x3xi32> {
  %q = hetprec.quantize %x : tensor<1x2x6x6xf32> to tensor<1x2x6x6xi8, #two>
  %v = arith.constant dense<1> : tensor<1x2x2x2xi8, #wtwo>
  %a = hetprec.conv_2d %q, %v strides = [2, 2] : tensor<1x2x6x6xi8, #two>, tensor<1x2x2x2xi8, #wtwo> -> tensor<1x1x3x3xi32>
  return %a : tensor<1x1x3x3xi32>
}

// Sums with two readers are written as planes of i32 and read by number.
// CHECK-LABEL: @shared_sums
// CHECK: %[[A:.+]] = hetprec.contract accumulator {{.+}} -> tensor<3x64xi32>
// CHECK: hetprec.requantize_lanes %[[A]] {{.+}} thresholds(%{{.+}} : tensor<8x1xi32>) signs(%{{.+}} : tensor<8xi32>)
// CHECK: hetprec.unpack_lanes %[[A]]
func.func @shared_sums(%x: tensor<1x2x4x4xi8, #in>) -> (tensor<1x3x4x4xi8, #act>, tensor<1x3x4x4xi32>) {
  %w = arith.constant dense<1> : tensor<3x2x1x1xi8, #w>
  %a = hetprec.conv_2d %x, %w : tensor<1x2x4x4xi8, #in>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %a multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  return %q, %a : tensor<1x3x4x4xi8, #act>, tensor<1x3x4x4xi32>
}

// A permute of codes renames slots: nothing moves.
// CHECK-LABEL: @permuted
// CHECK: %[[P1:.+]] = hetprec.pack_lanes {{.+}} level = 1
// CHECK: %[[P2:.+]] = hetprec.pack_lanes {{.+}} {channels = array<i64: 0, 2, -1>
// CHECK-NEXT: tensor.empty
// CHECK-NEXT: hetprec.unpack_lanes %[[P1]] {{.+}} {channels = array<i64: 0, -1, -1, -1, -1, -1, -1, -1>
// CHECK-NEXT: hetprec.unpack_lanes %[[P2]] {{.+}} {channels = array<i64: 1, 2, -1>
func.func @permuted(%x: tensor<1x3x4x4xi8, #act>) -> tensor<1x3x4x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 2]>> {
  %p = hetprec.permute %x axis = 1 permutation = [1, 0, 2] : tensor<1x3x4x4xi8, #act> to tensor<1x3x4x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 2]>>
  return %p : tensor<1x3x4x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 2]>>
}

// Flattened images of one pixel stay as they are; larger ones are unpacked, and
// packed again where they are read by lanes of pixels.
// CHECK-LABEL: @flattened
// CHECK: %[[P:.+]] = hetprec.pack_lanes
// CHECK-NOT: hetprec.pack_lanes
// CHECK: hetprec.unpack_lanes %[[P]]
// CHECK-LABEL: @flattened_pixels
// CHECK: %[[I:.+]] = hetprec.unpack_lanes
// CHECK: %[[F:.+]] = tensor.collapse_shape %[[I]] {{\[\[}}0], [1, 2, 3]] : tensor<1x2x1x2xi8> into tensor<1x4xi8>
// CHECK: return %[[F]]
func.func @flattened(%x: tensor<1x2x1x1xi8, #in>) -> tensor<1x2xi8, #in> {
  %f = hetprec.flatten %x : tensor<1x2x1x1xi8, #in> to tensor<1x2xi8, #in>
  return %f : tensor<1x2xi8, #in>
}
func.func @flattened_pixels(%x: tensor<1x2x1x2xi8, #in>) -> tensor<1x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 4]>> {
  %f = hetprec.flatten %x : tensor<1x2x1x2xi8, #in> to tensor<1x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 4]>>
  return %f : tensor<1x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 4]>>
}

// HP7: 3 / 2 and 255 / 2 as multipliers, the ranges of 2 and 8 bits. HP5: a table
// of what every code of a level means.
// CHECK-LABEL: @reals
// CHECK-DAG: arith.constant dense<[1.500000e+00, 1.275000e+02]> : tensor<2xf32>
// CHECK-DAG: arith.constant dense<[3.000000e+00, 2.550000e+02]> : tensor<2xf32>
// CHECK: linalg.generic {{.+}} ins(%{{.+}}, %{{.+}}, %{{.+}}, %{{.+}} : tensor<1x2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) outs(%{{.+}} : tensor<1x2xi8>)
// CHECK: linalg.generic
// CHECK: tensor.extract %{{.+}} : tensor<260xf32>
#real = #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2, 8]>
func.func @reals(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %q = hetprec.quantize %x : tensor<1x2xf32> to tensor<1x2xi8, #real>
  %r = hetprec.dequantize %q : tensor<1x2xi8, #real> to tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}

// A pool has no weights to turn round: its sums are turned instead.
// CHECK-LABEL: @pool_turned
// CHECK: %[[A:.+]] = hetprec.contract accumulator
// CHECK: hetprec.requantize_lanes %[[A]]
func.func @pool_turned(%x: tensor<1x2x2x2xi8, #in>) -> tensor<1x2x1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 2]>> {
  %a = hetprec.sum_pool_2d %x kernel = [2, 2] : tensor<1x2x2x2xi8, #in> -> tensor<1x2x1x1xi32>
  %q = hetprec.requantize %a multiplier = [0.25, -0.25] offset = [0.0] : tensor<1x2x1x1xi32> to tensor<1x2x1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 2]>>
  return %q : tensor<1x2x1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 2]>>
}

// Sums or carrier with other readers become reals and carrier plane by plane
// (HP17, HP18).
// CHECK-LABEL: @scaled
// CHECK: %[[A:.+]] = hetprec.contract accumulator
// CHECK: linalg.generic {{.+}} ins(%[[A]], %{{.+}} : tensor<2x64xi32>, tensor<2xf32>) outs({{.+}} : tensor<2x64xi16>)
// CHECK: arith.mulf
// CHECK: linalg.generic {{.+}} ins(%{{.+}}, %{{.+}}, %{{.+}} : tensor<2x64xi16>, tensor<2xf32>, tensor<2xf32>) outs({{.+}} : tensor<2x64xf32>)
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf
// CHECK: linalg.generic {{.+}} ins(%[[A]], {{.+}} outs({{.+}} : tensor<2x64xf32>)
func.func @scaled(%x: tensor<1x2xi8, #in>) -> (tensor<1x2xf32>, tensor<1x2xf32>) {
  %w = arith.constant dense<1> : tensor<2x2xi8, #w>
  %a = hetprec.matmul %x, %w : tensor<1x2xi8, #in>, tensor<2x2xi8, #w> -> tensor<1x2xi32>
  %c = hetprec.to_carrier %a multiplier = [2.0] : tensor<1x2xi32> to tensor<1x2xi16, #carrier>
  %r = hetprec.to_real %c multiplier = [1.0, 2.0] offset = [0.5] : tensor<1x2xi16, #carrier> to tensor<1x2xf32>
  %s = hetprec.to_real %a multiplier = [1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xf32>
  return %r, %s : tensor<1x2xf32>, tensor<1x2xf32>
}

// Reals go on into upstream ops, or are quantized again.
// CHECK-LABEL: @upstream
// CHECK: %[[R:.+]] = hetprec.unpack_lanes {{.+}} -> tensor<1x2xf32>
// CHECK: %[[T:.+]] = math.tanh %[[R]]
// CHECK: linalg.generic {{.+}} ins(%[[T]],
#real2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2, 8]>
func.func @upstream(%x: tensor<1x2xi8, #in>) -> tensor<1x2xi8, #real2> {
  %w = arith.constant dense<1> : tensor<2x2xi8, #w>
  %a = hetprec.matmul %x, %w : tensor<1x2xi8, #in>, tensor<2x2xi8, #w> -> tensor<1x2xi32>
  %r = hetprec.to_real %a multiplier = [1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xf32>
  %t = math.tanh %r : tensor<1x2xf32>
  %q = hetprec.quantize %t : tensor<1x2xf32> to tensor<1x2xi8, #real2>
  return %q : tensor<1x2xi8, #real2>
}

// Constant codes are packed like arguments, without their encoding.
// CHECK-LABEL: @constant_codes
// CHECK: %[[C:.+]] = arith.constant dense<{{\[\[}}1, 2]]> : tensor<1x2xi8>
// CHECK: hetprec.pack_lanes %[[C]]
func.func @constant_codes() -> tensor<1x2xi8, #two> {
  %c = arith.constant dense<[[1, 2]]> : tensor<1x2xi8, #two>
  return %c : tensor<1x2xi8, #two>
}

// A value returned twice is two buffers to the caller.
// CHECK-LABEL: @returned_twice
// CHECK: %[[R:.+]] = linalg.generic
// CHECK: %[[COPY:.+]] = bufferization.alloc_tensor() copy(%[[R]])
// CHECK: return %[[R]], %[[COPY]]
func.func @returned_twice(%x: tensor<1x2xi8, #in>) -> (tensor<1x2xf32>, tensor<1x2xf32>) {
  %r = hetprec.dequantize %x : tensor<1x2xi8, #in> to tensor<1x2xf32>
  return %r, %r : tensor<1x2xf32>, tensor<1x2xf32>
}

// Onto a reordered carrier: a dot product writes its rows in that order (2, 0,
// 1, as its multipliers show); planes are found by number.
// CHECK-LABEL: @permuted_carriers
// CHECK-DAG: %[[ORDER:.+]] = arith.constant dense<[3.000000e+00, 1.000000e+00, 2.000000e+00]> : tensor<3xf32>
// CHECK-DAG: %[[BASE:.+]] = hetprec.contract carrier lanes
// CHECK: hetprec.contract carrier_add {{.+}} multiplier(%[[ORDER]] : {{.+}} outs(%[[BASE]] :
// CHECK: tensor.extract %[[BASE]]
func.func @permuted_carriers(%x: tensor<1x2x1x1xi8, #two>) -> (tensor<1x3x1x1xi16, #carrier>, tensor<1x3x1x1xi16, #carrier>) {
  %w = arith.constant dense<1> : tensor<3x2x1x1xi8, #wtwo>
  %b = hetprec.conv_2d %x, %w : tensor<1x2x1x1xi8, #two>, tensor<3x2x1x1xi8, #wtwo> -> tensor<1x3x1x1xi32>
  %c = hetprec.to_carrier %b multiplier = [0.5] : tensor<1x3x1x1xi32> to tensor<1x3x1x1xi16, #carrier>
  %p = hetprec.permute %c axis = 1 permutation = [1, 2, 0] : tensor<1x3x1x1xi16, #carrier> to tensor<1x3x1x1xi16, #carrier>
  %a = hetprec.conv_2d %x, %w : tensor<1x2x1x1xi8, #two>, tensor<3x2x1x1xi8, #wtwo> -> tensor<1x3x1x1xi32>
  %ca = hetprec.to_carrier %a multiplier = [1.0, 2.0, 3.0] : tensor<1x3x1x1xi32> to tensor<1x3x1x1xi16, #carrier>
  %s = hetprec.add %p, %ca : tensor<1x3x1x1xi16, #carrier>
  %t = hetprec.add %c, %p : tensor<1x3x1x1xi16, #carrier>
  return %s, %t : tensor<1x3x1x1xi16, #carrier>, tensor<1x3x1x1xi16, #carrier>
}
