// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// Two 2-bit channels under two taps, the second in phase 1: slots 0 and 1 of word
// 0 are the first tap's (bits 0 to 3, in both bytes of 16 bits 0x0F0F = 3855),
// slot 2 is channel 0 of the second tap, moved four bits up (0x3030 = 12336), and
// slot 0 of word 1 its channel 1, two down (0x0303 = 771).
// CHECK-LABEL: @two_bits
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x192xi8>, %[[OUT:[a-z0-9]+]]: memref<2x192xi8>
// CHECK-DAG: %[[M0:.+]] = arith.constant dense<3855> : vector<32xi16>
// CHECK-DAG: %[[M1:.+]] = arith.constant dense<12336> : vector<32xi16>
// CHECK-DAG: %[[M2:.+]] = arith.constant dense<771> : vector<32xi16>
// CHECK-DAG: %[[UP:.+]] = arith.constant dense<4> : vector<32xi16>
// CHECK-DAG: %[[DOWN:.+]] = arith.constant dense<2> : vector<32xi16>
// CHECK: scf.for %[[I:.+]] = %c0{{.*}} to %c2{{.*}} step %c1
// CHECK: %[[LANES:.+]] = arith.muli %[[I]], %c64
// CHECK: %[[L:.+]] = arith.addi %[[LANES]], %c6
// CHECK: %[[A:.+]] = vector.load %[[X]][%c0{{.*}}, %[[L]]]
// CHECK: %[[AT:.+]] = arith.addi %[[LANES]], %c13
// CHECK: %[[B:.+]] = vector.load %[[X]][%c1{{.*}}, %[[AT]]]
// CHECK: %[[A16:.+]] = vector.bitcast %[[A]] : vector<64xi8> to vector<32xi16>
// CHECK: %[[FIRST:.+]] = arith.andi %[[A16]], %[[M0]]
// CHECK: %[[B16:.+]] = vector.bitcast %[[B]] : vector<64xi8> to vector<32xi16>
// CHECK: %[[UPPED:.+]] = arith.shli %[[B16]], %[[UP]]
// CHECK: %[[SECOND:.+]] = arith.andi %[[UPPED]], %[[M1]]
// CHECK: %[[WORD:.+]] = arith.ori %[[FIRST]], %[[SECOND]]
// CHECK: %[[BYTES:.+]] = vector.bitcast %[[WORD]] : vector<32xi16> to vector<64xi8>
// CHECK: vector.store %[[BYTES]], %[[OUT]][%c0{{.*}}, %[[L]]]
// CHECK: %[[DOWNED:.+]] = arith.shrui %[[B16]], %[[DOWN]]
// CHECK: arith.andi %[[DOWNED]], %[[M2]]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c1{{.*}}, %[[L]]]
// CHECK: hetprec.parallel
func.func @two_bits(%x: memref<2x192xi8>, %out: memref<2x192xi8>) {
  hetprec.fold_taps %x : memref<2x192xi8> outs(%out : memref<2x192xi8>)
    {level = 2, channels = array<i64: 2, 2>, taps = array<i64: 0, 7>, tap_phases = array<i64: 0, 1>, lane_begin = 6, lane_count = 128}
  return
}

// Nibbles shift in words of 16 bits, bytes in words of 32.
// CHECK-LABEL: @wide_words
// CHECK: arith.shli %{{.+}}, %{{.+}} : vector<64xi16>
// CHECK: arith.shli %{{.+}}, %{{.+}} : vector<64xi32>
func.func @wide_words(%x: memref<1x128xi16>, %out: memref<1x128xi16>, %y: memref<1x128xi32>, %to: memref<1x128xi32>) {
  hetprec.fold_taps %x : memref<1x128xi16> outs(%out : memref<1x128xi16>)
    {level = 4, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64}
  hetprec.fold_taps %y : memref<1x128xi32> outs(%to : memref<1x128xi32>)
    {level = 8, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64}
  return
}
