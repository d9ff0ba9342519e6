// What pack leaves to linalg: reals to codes and back, sums with several readers.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' | FileCheck %s

#s = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 8]>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>

// HP8, HP9: multipliers 2^(p-2) / d = 2 and 64 / d = 128; ranges -2 to 1 and
// -127 to 127. Codes stay plain, one a byte, where nothing needs planes.
// CHECK-LABEL: @quantize
// CHECK-DAG: %[[M:.+]] = arith.constant dense<[2.000000e+00, 1.280000e+02]> : tensor<2xf32>
// CHECK-DAG: %[[LO:.+]] = arith.constant dense<[-2.000000e+00, -1.270000e+02]> : tensor<2xf32>
// CHECK-DAG: %[[HI:.+]] = arith.constant dense<[1.000000e+00, 1.270000e+02]> : tensor<2xf32>
// CHECK: %[[Q:.+]] = linalg.generic {{.+}} ins(%{{.+}}, %[[M]], %[[LO]], %[[HI]] :
// No call of the C library: x + 1.5 * 2^23 has no fraction, and mid-rise
// channels take one off where that is above x.
// CHECK: %[[UP:.+]] = arith.addf %[[IN:.+]], %{{cst.*}} : f32
// CHECK: %[[EVEN:.+]] = arith.subf %[[UP]], %{{cst.*}} : f32
// CHECK: %[[ABOVE:.+]] = arith.cmpf ogt, %[[EVEN]], %[[IN]] : f32
// CHECK: arith.select %[[ABOVE]]
// CHECK-NOT: math
// CHECK-NOT: hetprec
// CHECK: return %[[Q]] : tensor<1x2xi8>
func.func @quantize(%x: tensor<1x2xf32>) -> tensor<1x2xi8, #s> {
  %q = hetprec.quantize %x : tensor<1x2xf32> to tensor<1x2xi8, #s>
  return %q : tensor<1x2xi8, #s>
}

// One table for all channels, of 4 reals for 2 bits and 256 for 8; only the bits
// of a channel's level are read (HP24).
// CHECK-LABEL: @dequantize
// CHECK-SAME: %[[X:.+]]: tensor<1x2xi8>
// CHECK-DAG: %[[T:.+]] = arith.constant dense<{{.+}}> : tensor<260xf32>
// CHECK-DAG: %[[FIRST:.+]] = arith.constant dense<[0, 4]> : tensor<2xi16>
// CHECK-DAG: %[[MASK:.+]] = arith.constant dense<[3, -1]> : tensor<2xi8>
// CHECK: %[[READ:.+]] = linalg.generic {{.+}} ins(%[[X]], %[[MASK]] : tensor<1x2xi8>, tensor<2xi8>)
// CHECK: arith.andi
// CHECK: arith.maxsi %{{.+}}, %c-127_i8
// CHECK: linalg.generic {{.+}} ins(%[[READ]], %[[FIRST]], %[[MASK]] :
// CHECK: tensor.extract %[[T]]
func.func @dequantize(%x: tensor<1x2xi8, #s>) -> tensor<1x2xf32> {
  %y = hetprec.dequantize %x : tensor<1x2xi8, #s> to tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}

// HP17 and HP18 of sums that both read; their saturating sum.
// CHECK-LABEL: @readers
// CHECK: %[[ACC:.+]] = hetprec.contract accumulator {{.+}} lane_bias(
// CHECK: %[[CARRIER:.+]] = linalg.generic {{.+}} ins(%[[ACC]], %{{.+}} : tensor<2x64xi32>, tensor<2xf32>) outs(%{{.+}} : tensor<2x64xi16>)
// CHECK: arith.maximumf
// CHECK: arith.minimumf
// CHECK: arith.addf
// CHECK: arith.subf
// CHECK: linalg.generic {{.+}} ins(%[[CARRIER]], %[[CARRIER]] : tensor<2x64xi16>, tensor<2x64xi16>)
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: linalg.generic {{.+}} ins(%[[ACC]], %{{.+}}, %{{.+}} : tensor<2x64xi32>, tensor<2xf32>, tensor<2xf32>) outs(%{{.+}} : tensor<2x64xf32>)
// CHECK: arith.addf
func.func @readers(%x: tensor<1x2xi8, #a>) -> (tensor<1x2xi16, #c>, tensor<1x2xf32>) {
  %w = arith.constant dense<1> : tensor<2x2xi8, #w>
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<2x2xi8, #w> -> tensor<1x2xi32>
  %k = hetprec.to_carrier %acc multiplier = [1.0] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  %s = hetprec.add %k, %k : tensor<1x2xi16, #c>
  %y = hetprec.to_real %acc multiplier = [1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xf32>
  return %s, %y : tensor<1x2xi16, #c>, tensor<1x2xf32>
}
