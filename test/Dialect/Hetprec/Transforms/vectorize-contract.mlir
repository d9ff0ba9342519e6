// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// A vector of lanes is loaded once for both rows; byte sums are widened once;
// odd lanes (the high bytes) go to the second half of a wide plane.
// CHECK-LABEL: @registers
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<2x64xi8>, %[[W:[a-z0-9]+]]: memref<2x2xi8>, %[[OUT:[a-z0-9]+]]: memref<2x64xi32>
// CHECK-DAG: %[[ZERO:.+]] = arith.constant dense<0> : vector<64xi8>
// CHECK-DAG: %[[LOW:.+]] = arith.constant dense<255> : vector<32xi16>
// CHECK-DAG: %[[EIGHT:.+]] = arith.constant dense<8> : vector<32xi16>
// CHECK-DAG: %[[SIX:.+]] = arith.constant dense<6> : vector<32xi16>
// CHECK: %[[L0:.+]] = vector.load %[[A]][%c0, %c0]
// CHECK: %[[W00:.+]] = memref.load %[[W]][%c0, %c0]
// CHECK: %[[S0:.+]] = hetprec.mac %[[ZERO]], %[[L0]], %[[W00]] level = 2
// CHECK: %[[W10:.+]] = memref.load %[[W]][%c1, %c0]
// CHECK: %[[S1:.+]] = hetprec.mac %[[ZERO]], %[[L0]], %[[W10]] level = 2
// CHECK: %[[L1:.+]] = vector.load %[[A]][%c1, %c0]
// CHECK: %[[W01:.+]] = memref.load %[[W]][%c0, %c1]
// CHECK: %[[T0:.+]] = hetprec.mac %[[S0]], %[[L1]], %[[W01]] level = 2
// CHECK: %[[B0:.+]] = vector.bitcast %[[T0]] : vector<64xi8> to vector<32xi16>
// CHECK-DAG: %[[EVEN:.+]] = arith.andi %[[B0]], %[[LOW]]
// CHECK-DAG: %[[ODD:.+]] = arith.shrui %[[B0]], %[[EIGHT]]
// CHECK-DAG: %[[E6:.+]] = arith.muli %[[EVEN]], %[[SIX]]
// CHECK-DAG: %[[O6:.+]] = arith.muli %[[ODD]], %[[SIX]]
// CHECK-DAG: %[[E32:.+]] = arith.extsi %[[E6]] : vector<32xi16> to vector<32xi32>
// CHECK-DAG: %[[O32:.+]] = arith.extsi %[[O6]] : vector<32xi16> to vector<32xi32>
// CHECK-DAG: vector.store %[[E32]], %[[OUT]][%c0, %c0]
// CHECK-DAG: vector.store %[[O32]], %[[OUT]][%c0, %c32]
func.func @registers(%a: memref<2x64xi8>, %w: memref<2x2xi8>, %out: memref<2x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2x64xi8>) rows(%w : memref<2x2xi8>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 6>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, sum_bits = 16}
  return
}

// Level 2: a byte holds nine products (9 * 27 = 243), three to a body. 18 of the
// 20 words in two chunks, each widened; then the last two.
// CHECK-LABEL: @nine_products
// CHECK: scf.for %{{.+}} = %c0 to %c18 step %c9 iter_args({{.+}}) -> (vector<32xi16>, vector<32xi16>)
// CHECK: %[[CHUNK:.+]] = scf.for %{{.+}} = %c0 to %c9 step %c3 iter_args({{.+}}) -> (vector<64xi8>)
// CHECK-COUNT-3: hetprec.mac {{.+}} level = 2
// CHECK-NOT: hetprec.mac
// CHECK: vector.bitcast %[[CHUNK]] : vector<64xi8> to vector<32xi16>
// CHECK-COUNT-2: hetprec.mac {{.+}} level = 2
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @nine_products(%a: memref<20x64xi8>, %w: memref<1x20xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<20x64xi8>) rows(%w : memref<1x20xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Level 1: 31 products (31 * 8 = 248), of which 30 in bodies of three.
// CHECK-LABEL: @thirty_one_products
// CHECK: scf.for %{{.+}} = %c0 to %c60 step %c30
// CHECK: scf.for %{{.+}} = %c0 to %c30 step %c3
// CHECK: hetprec.mac {{.+}} level = 1
func.func @thirty_one_products(%a: memref<62x64xi8>, %w: memref<1x62xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<62x64xi8>) rows(%w : memref<1x62xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// 16 bits hold 65535: 2427 words of level 2. One more is summed in 32 bits.
// CHECK-LABEL: @sixteen_bits
// CHECK: scf.for {{.+}} -> (vector<32xi16>, vector<32xi16>)
// CHECK-LABEL: @thirty_two_bits
// CHECK: scf.for {{.+}} -> (vector<32xi32>, vector<32xi32>)
func.func @sixteen_bits(%a: memref<2427x64xi8>, %w: memref<1x2427xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2427x64xi8>) rows(%w : memref<1x2427xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}
func.func @thirty_two_bits(%a: memref<2428x64xi8>, %w: memref<1x2428xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2428x64xi8>) rows(%w : memref<1x2428xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// The rows of a window are a loop, its three taps its body: 9 products a chunk
// is one word.
// CHECK-LABEL: @window
// CHECK: scf.for %{{.+}} = %c0 to %c3 step %c1
// CHECK-COUNT-3: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @window(%a: memref<1x74xi8>, %w: memref<1x9xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x74xi8>) rows(%w : memref<1x9xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0, 1, 2, 4, 5, 6, 8, 9, 10>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Level 8: four registers a block; saturation at -32767, not -32768 (HP17).
// CHECK-LABEL: @carrier_add
// CHECK-DAG: %[[LOWEST:.+]] = arith.constant dense<-32767> : vector<32xi16>
// CHECK-COUNT-4: hetprec.mac {{.+}} level = 8 : vector<16xi32>, vector<16xi32>, i32
// CHECK-NOT: hetprec.mac
// CHECK: %[[SCALED:.+]] = arith.mulf
// CHECK: math.roundeven
// CHECK: %[[SUM:.+]] = llvm.intr.sadd.sat
// CHECK: %[[RESULT:.+]] = arith.maxsi %[[SUM]], %[[LOWEST]]
// CHECK: vector.store
func.func @carrier_add(%a: memref<2x64xi32>, %w: memref<1x2xi32>, %out: memref<1x64xi16>, %m: memref<1xf32>) {
  hetprec.contract carrier_add lanes(%a : memref<2x64xi32>) rows(%w : memref<1x2xi32>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Codes: each threshold one compare; lanes that are no pixel stay zero.
// CHECK-LABEL: @codes
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<64xi8>, %[[OUT:[a-z0-9]+]]: memref<1x64xi8>
// Three rows of three thresholds, even lanes and odd ones.
// CHECK-COUNT-18: arith.cmpi sgt
// CHECK-NOT: arith.cmpi
// CHECK: %[[MASK:.+]] = vector.load %[[M]]
// CHECK: %[[CODES:.+]] = arith.andi %{{.+}}, %[[MASK]] : vector<64xi8>
// CHECK: vector.store %[[CODES]], %[[OUT]][%c0, %c0]
func.func @codes(%a: memref<1x64xi8>, %w: memref<3x1xi8>, %t: memref<3x3xi16>, %m: memref<64xi8>, %out: memref<1x64xi8>) {
  hetprec.contract codes lanes(%a : memref<1x64xi8>) rows(%w : memref<3x1xi8>) thresholds(%t : memref<3x3xi16>) mask(%m : memref<64xi8>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2, sum_bits = 16}
  return
}
