// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// The sum of all codes under a window, in two steps. A block of pixels is summed
// over its words once; the last block ends with the lanes that windows reach,
// 128 + 18. They lie in turn, in 16 bits, and every tap loads them from there.
// CHECK-LABEL: @two_steps
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<40x146xi8>, %[[W:[a-z0-9]+]]: memref<1x40xi8>, %[[OUT:[a-z0-9]+]]: memref<1x128xi32>
// CHECK: %[[PIXELS:.+]] = memref.view %{{.+}} to memref<1x146xi16>
// CHECK: scf.for %[[AT:.+]] = %c0 to %c192 step %c64 {
// CHECK: %[[LANE:.+]] = arith.minui %[[AT]], %c82
// CHECK: %[[BLOCK:.+]] = memref.subview %[[A]][0, %[[LANE]]] [40, 64] [1, 1]
// CHECK-COUNT-3: hetprec.mac {{.+}} level = 1
// CHECK: %[[BOTH:.+]] = vector.interleave {{.+}} -> vector<64xi16>
// CHECK: vector.store %[[BOTH]], %[[PIXELS]][%c0, %[[LANE]]]
// CHECK: }
// CHECK: scf.for %[[FIRST:.+]] = %c0 to %c128 step %c64 {
// CHECK: scf.for %{{.+}} = %c0 to %c3 step %c1 iter_args
// CHECK-COUNT-6: vector.load %[[PIXELS]][%c0, %{{.+}}] : memref<1x146xi16>, vector<32xi16>
// CHECK-NOT: vector.load
// CHECK: %[[EVEN:.+]] = vector.shuffle {{.+}} [0, 2, 4,
// CHECK: %[[ODD:.+]] = vector.shuffle {{.+}} [1, 3, 5,
// CHECK: vector.store %[[EVEN]], %[[OUT]][%c0, %[[FIRST]]]
// CHECK: %[[SECOND:.+]] = arith.addi %[[FIRST]], %c32
// CHECK: vector.store %[[ODD]], %[[OUT]][%c0, %[[SECOND]]]
// CHECK-NOT: vector.load
// CHECK: return
func.func @two_steps(%a: memref<40x146xi8>, %w: memref<1x40xi8>, %out: memref<1x128xi32>) {
  hetprec.contract accumulator lanes(%a : memref<40x146xi8>) rows(%w : memref<1x40xi8>) outs(%out : memref<1x128xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, origin = 0, lane_begin = 0, lane_count = 128, uniform_rows}
  return
}

// Each phase of a strided window has its pixels; a folded segment, which has whole
// windows in its words, is added block by block.
// CHECK-LABEL: @phases_and_folded
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<80x74xi8>, %[[F:[a-z0-9]+]]: memref<2x74xi8>
// CHECK: %[[PIXELS:.+]] = memref.view %{{.+}} to memref<2x74xi16>
// CHECK: scf.for %[[PHASE:.+]] = %c0 to %c2 step %c1 {
// CHECK: %[[FIRST:.+]] = arith.muli %[[PHASE]], %c40
// CHECK: memref.subview %[[A]][%[[FIRST]], %{{.+}}] [40, 64] [1, 1]
// CHECK: vector.store %{{.+}}, %[[PIXELS]][%[[PHASE]], %{{.+}}]
// CHECK: vector.load %[[PIXELS]][%c0, %{{.+}}]
// CHECK: vector.load %[[PIXELS]][%c1, %{{.+}}]
// CHECK: memref.subview %[[F]][0, 0] [2, 64] [1, 1]
// CHECK-COUNT-2: hetprec.mac
func.func @phases_and_folded(%a: memref<80x74xi8>, %f: memref<2x74xi8>, %w: memref<1x40xi8>, %v: memref<1x2xi8>, %out: memref<1x64xi16>) {
  hetprec.contract accumulator lanes(%a, %f : memref<80x74xi8>, memref<2x74xi8>) rows(%w, %v : memref<1x40xi8>, memref<1x2xi8>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 1, 1>, coefficients = array<i64: -2, -2>, taps = array<i64: 0, 0, 1, 9, 9, 10>, tap_phases = array<i64: 0, 1, 0, 0, 1, 0>, phases = 2, folded = array<i1: false, true>, origin = 0, lane_begin = 0, lane_count = 64, sum_bits = 16, uniform_rows}
  return
}

// What does not fit in 16 bits has 32.
// CHECK-LABEL: @wide
// CHECK: memref.view %{{.+}} to memref<1x66xi32>
func.func @wide(%a: memref<40x66xi8>, %w: memref<1x40xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<40x66xi8>) rows(%w : memref<1x40xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -120>, taps = array<i64: 0, 1, 2>, origin = 0, lane_begin = 0, lane_count = 64, uniform_rows}
  return
}

// Of few words a tap's loads cost no less: one step.
// CHECK-LABEL: @few_words
// CHECK-NOT: vector.interleave
// CHECK: return
func.func @few_words(%a: memref<1x146xi8>, %w: memref<1x1xi8>, %out: memref<1x128xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x146xi8>) rows(%w : memref<1x1xi8>) outs(%out : memref<1x128xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, origin = 0, lane_begin = 0, lane_count = 128, uniform_rows}
  return
}
