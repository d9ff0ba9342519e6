// RUN: sysmol-opt %s --split-input-file --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// 40 words of level 1 and two blocks: 31 words fill a byte, then 9.
// CHECK-LABEL: @one_bit
// CHECK-SAME: %[[ROWS:.+]]: memref<1x40xi8>, %[[W:.+]]: memref<1x5120xi8>
// CHECK: %[[FULL:.+]]:2 = scf.for %[[I:.+]] = %c0 to %c31 step %c1
// CHECK:   %[[AT:.+]] = arith.muli %[[I]], %c128
// CHECK:   %[[ROW:.+]] = memref.load %[[ROWS]][%c0, %[[I]]]
// CHECK:   %[[L0:.+]] = vector.load %[[W]][%c0, %[[AT]]] : memref<1x5120xi8>, vector<64xi8>
// CHECK:   hetprec.mac %{{.+}}, %[[L0]], %[[ROW]] level = 1
// CHECK:   %[[NEXT:.+]] = arith.addi %[[AT]], %c64
// CHECK:   %[[L1:.+]] = vector.load %[[W]][%c0, %[[NEXT]]]
// CHECK:   hetprec.mac %{{.+}}, %[[L1]], %[[ROW]] level = 1
// Even bytes are outputs 0 to 31, odd ones 32 to 63.
// CHECK: %[[BOTH:.+]] = vector.bitcast %[[FULL]]#0 : vector<64xi8> to vector<32xi16>
// CHECK: arith.shrui %[[BOTH]]
// CHECK: scf.for %{{.+}} = %c31 to %c40 step %c1
// CHECK: arith.shli
// CHECK: arith.subi
// 100 outputs: three halves of blocks whole, four outputs of the last.
// CHECK-COUNT-3: vector.store
// CHECK: vector.maskedstore %{{.+}}[%c0, %c96], %{{.+}}, %{{.+}} : memref<1x100xi32>, vector<32xi1>, vector<32xi32>
// CHECK-NOT: vector.store
func.func @one_bit(%r: memref<1x40xi8>, %w: memref<1x5120xi8>, %out: memref<1x100xi32>) {
  hetprec.gemv accumulator rows(%r : memref<1x40xi8>) weights(%w : memref<1x5120xi8>) outs(%out : memref<1x100xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 2}
  return
}

// -----

// Four words of level 2 are three bytes: the fourth is in their top bits. The
// fifth word has a byte of its own.
// CHECK-LABEL: @two_bits
// CHECK-COUNT-4: memref.load
// CHECK: %[[A:.+]] = vector.load %{{.+}}[%c0, %c0] : memref<1x256xi8>, vector<64xi8>
// CHECK: %[[B:.+]] = vector.load %{{.+}}[%c0, %c64] : memref<1x256xi8>, vector<64xi8>
// CHECK: %[[C:.+]] = vector.load %{{.+}}[%c0, %c128] : memref<1x256xi8>, vector<64xi8>
// CHECK: %[[FOURTH:.+]] = hetprec.spare_word %[[A]], %[[B]], %[[C]] : vector<64xi8>
// CHECK: hetprec.mac %{{.+}}, %[[A]], %{{.+}} level = 2
// CHECK: hetprec.mac %{{.+}}, %[[B]], %{{.+}} level = 2
// CHECK: hetprec.mac %{{.+}}, %[[C]], %{{.+}} level = 2
// CHECK: hetprec.mac %{{.+}}, %[[FOURTH]], %{{.+}} level = 2
// CHECK: vector.load %{{.+}}[%c0, %c192]
// CHECK: hetprec.mac {{.+}} level = 2
// CHECK: vector.maskedstore
func.func @two_bits(%r: memref<1x5xi8>, %w: memref<1x256xi8>, %out: memref<1x10xi32>) {
  hetprec.gemv accumulator rows(%r : memref<1x5xi8>) weights(%w : memref<1x256xi8>) outs(%out : memref<1x10xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

// A byte holds 20 words of these weights, which count from 1: five units.
// CHECK-LABEL: @known_weights
// CHECK: scf.for %{{.+}} = %c0 to %c10 step %c5
// CHECK: scf.for
// CHECK-COUNT-4: hetprec.mac {{.+}} level = 2 {centred = #hetprec.centred<lanes>}
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @known_weights(%r: memref<1x40xi8>, %w: memref<1x1920xi8>, %out: memref<1x64xi32>) {
  hetprec.gemv accumulator rows(%r : memref<1x40xi8>) weights(%w : memref<1x1920xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, centred, byte_words = array<i64: 20>, tile_blocks = 1}
  return
}

// -----

// Two rows read each register of weights; nibbles are bytes in two registers.
// CHECK-LABEL: @nibbles
// CHECK: %[[BYTES:.+]] = vector.load
// CHECK-COUNT-16: hetprec.mac {{.+}} level = 8 {signed_lanes} : vector<16xi32>, vector<16xi32>, i32
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @nibbles(%r: memref<2x2xi32>, %w: memref<1x256xi8>, %out: memref<2x64xi32>) {
  hetprec.gemv accumulator rows(%r : memref<2x2xi32>) weights(%w : memref<1x256xi8>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 4>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

// HP15 for outputs of two precisions: the finer one's clamp, then each its own.
// CHECK-LABEL: @codes
// CHECK: hetprec.mac {{.+}} level = 8 {signed_lanes}
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: arith.addf
// CHECK: arith.bitcast
// CHECK: arith.subi
// CHECK: vector.load %{{.+}} : memref<64xi8>, vector<32xi8>
// CHECK: arith.shli
// CHECK: arith.minsi
// CHECK: arith.trunci {{.+}} to vector<32xi8>
func.func @codes(%r: memref<1x1xi32>, %w: memref<1x256xi8>, %m: memref<64xf32>, %o: memref<64xf32>, %bits: memref<64xi8>, %out: memref<1x64xi8>) {
  hetprec.gemv codes rows(%r : memref<1x1xi32>) weights(%w : memref<1x256xi8>) multiplier(%m : memref<64xf32>) offset(%o : memref<64xf32>) out_bits(%bits : memref<64xi8>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, tile_blocks = 1, out_levels = array<i64: 1, 2>}
  return
}

// -----

// 100 codes in 13 words: slot i of word w is channel 13 i + w; words 9 to 12
// have seven.
// CHECK-LABEL: @pack_rows
// CHECK: scf.for %[[W:.+]] = %c0 to %c9 step %c1
// CHECK-COUNT-8: vector.load %{{.+}} : memref<2x120xi8>, vector<1xi8>
// CHECK: vector.store
// CHECK: scf.for %{{.+}} = %c9 to %c13 step %c1
// CHECK-COUNT-7: vector.load %{{.+}} : memref<2x120xi8>, vector<1xi8>
// CHECK: vector.store
func.func @pack_rows(%x: memref<2x120xi8>, %out: memref<2x13xi8>) {
  hetprec.pack_rows %x : memref<2x120xi8> outs(%out : memref<2x13xi8>) {level = 1, first = 20, count = 100}
  return
}

// -----

// Bytes as they lie, sixteen words at a time; symmetric codes get 128 added.
// CHECK-LABEL: @pack_bytes
// CHECK: vector.load %{{.+}} : memref<1x67xi8>, vector<64xi8>
// CHECK: arith.xori
// CHECK: vector.bitcast %{{.+}} : vector<64xi8> to vector<16xi32>
// CHECK: vector.bitcast %{{.+}} : vector<4xi8> to vector<1xi32>
func.func @pack_bytes(%x: memref<1x67xi8>, %out: memref<1x17xi32>) {
  hetprec.pack_rows %x : memref<1x67xi8> outs(%out : memref<1x17xi32>) {level = 8, is_signed = true, first = 0, count = 67}
  return
}

// -----

// CHECK-LABEL: @sum_rows
// CHECK: %[[ONES:.+]] = arith.constant 16843009 : i32
// CHECK: hetprec.mac %{{.+}}, %{{.+}}, %[[ONES]] level = 8
// CHECK: vector.reduction <add>
// CHECK: arith.extui %{{.+}} : i8 to i32
// CHECK: memref.store
func.func @sum_rows(%x: memref<2x70xi8>, %out: memref<2xi32>) {
  hetprec.sum_rows %x : memref<2x70xi8> outs(%out : memref<2xi32>) {firsts = array<i64: 0>, counts = array<i64: 70>, coefficients = array<i64: -3>}
  return
}
