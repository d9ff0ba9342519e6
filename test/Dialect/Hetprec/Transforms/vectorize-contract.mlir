// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s
// RUN: sysmol-opt %s --hetprec-vectorize-lanes=dot-sums=4 --canonicalize --cse | FileCheck %s --check-prefix=FEW

// A vector of lanes is loaded once for both rows, two columns of row words at
// once. Byte sums are widened once: into the sum of all bits and that of the odd
// lanes (the high bytes), which leave for scratch memory as even and odd lanes. A
// loop over the rows writes them out.
// CHECK-LABEL: @registers
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<2x64xi8>, %[[W:[a-z0-9]+]]: memref<2x2xi8>, %[[OUT:[a-z0-9]+]]: memref<2x64xi32>
// CHECK-DAG: %[[ZERO:.+]] = arith.constant dense<0> : vector<64xi8>
// CHECK-DAG: %[[EIGHT:.+]] = arith.constant dense<8> : vector<32xi16>
// CHECK-DAG: %[[SIX:.+]] = arith.constant dense<6> : vector<32xi16>
// CHECK: %[[SCRATCH:.+]] = memref.alloca() {alignment = 64 : i64} : memref<256xi8>
// CHECK: %[[SUMS:.+]] = memref.view %[[SCRATCH]][%c0][] : memref<256xi8> to memref<2x64xi16>
// CHECK: %[[L0:.+]] = vector.load %[[A]][%c0, %c0]
// CHECK: %[[L1:.+]] = vector.load %[[A]][%c1, %c0]
// CHECK: vector.load %[[W]][%c0, %c0] : memref<2x2xi8>, vector<2xi8>
// CHECK: %[[S0:.+]] = hetprec.mac %[[ZERO]], %[[L0]], %{{.+}} level = 2
// CHECK: %[[T0:.+]] = hetprec.mac %[[S0]], %[[L1]], %{{.+}} level = 2
// CHECK: vector.load %[[W]][%c1, %c0] : memref<2x2xi8>, vector<2xi8>
// CHECK-COUNT-2: hetprec.mac
// CHECK: %[[ALL:.+]] = vector.bitcast %[[T0]] : vector<64xi8> to vector<32xi16>
// CHECK: %[[ODD:.+]] = arith.shrui %[[ALL]], %[[EIGHT]]
// CHECK: %[[HIGH:.+]] = arith.shli %[[ODD]], %[[EIGHT]]
// CHECK: %[[EVEN:.+]] = arith.subi %[[ALL]], %[[HIGH]]
// CHECK: vector.store %[[EVEN]], %[[SUMS]][%c0, %c0]
// CHECK: vector.store %[[ODD]], %[[SUMS]][%c0, %c32]
// CHECK: scf.for %[[ROW:.+]] = %c0 to %c2
// CHECK: %[[E:.+]] = vector.load %[[SUMS]][%[[ROW]], %c0]
// CHECK: %[[O:.+]] = vector.load %[[SUMS]][%[[ROW]], %c32]
// CHECK-DAG: %[[E6:.+]] = arith.muli %[[E]], %[[SIX]]
// CHECK-DAG: %[[O6:.+]] = arith.muli %[[O]], %[[SIX]]
// CHECK-DAG: %[[E32:.+]] = arith.extsi %[[E6]] : vector<32xi16> to vector<32xi32>
// CHECK-DAG: %[[O32:.+]] = arith.extsi %[[O6]] : vector<32xi16> to vector<32xi32>
// CHECK-DAG: vector.store %[[E32]], %[[OUT]][%[[ROW]], %c0]
// CHECK-DAG: vector.store %[[O32]], %[[OUT]][%[[ROW]], %c32]
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

// What is known of the rows allows more: 19 words, of which 18 in bodies of three.
// Rows are what is centred.
// CHECK-LABEL: @known_rows
// CHECK: scf.for %{{.+}} = %c0 to %c36 step %c18
// CHECK: scf.for %{{.+}} = %c0 to %c18 step %c3
// CHECK-COUNT-3: hetprec.mac {{.+}} level = 2 {centred = #hetprec.centred<row>}
func.func @known_rows(%a: memref<40x64xi8>, %w: memref<1x40xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<40x64xi8>) rows(%w : memref<1x40xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, centred, byte_words = array<i64: 19>, lane_begin = 0, lane_count = 64}
  return
}

// Nothing known of them: 14 centred words (14 * 18 = 252), of which 12 in bodies.
// CHECK-LABEL: @fourteen_centred
// CHECK: scf.for %{{.+}} = %c0 to %c36 step %c12
// CHECK: scf.for %{{.+}} = %c0 to %c12 step %c3
func.func @fourteen_centred(%a: memref<40x64xi8>, %w: memref<1x40xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<40x64xi8>) rows(%w : memref<1x40xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, centred, lane_begin = 0, lane_count = 64}
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

// Level 8: four registers a block, whose sums are put in order behind the loop.
// Rounding is an addition; saturation at -32767, not -32768 (HP17).
// CHECK-LABEL: @carrier_add
// CHECK-DAG: %[[LOWEST:.+]] = arith.constant dense<-32767> : vector<32xi16>
// CHECK-DAG: %[[MAGIC:.+]] = arith.constant dense<0x4B400000> : vector<32xf32>
// CHECK-COUNT-4: hetprec.mac {{.+}} level = 8 : vector<16xi32>, vector<16xi32>, i32
// CHECK-NOT: hetprec.mac
// CHECK: vector.shuffle
// CHECK: %[[SCALED:.+]] = arith.mulf
// CHECK: %[[LOW:.+]] = arith.maxnumf %[[SCALED]], {{.+}} fastmath<nnan>
// CHECK: %[[CLAMPED:.+]] = arith.minnumf %[[LOW]], {{.+}} fastmath<nnan>
// CHECK: arith.addf %[[CLAMPED]], %[[MAGIC]]
// CHECK: %[[SUM:.+]] = llvm.intr.sadd.sat
// CHECK: %[[RESULT:.+]] = arith.maxsi %[[SUM]], %[[LOWEST]]
// CHECK: vector.store
func.func @carrier_add(%a: memref<2x64xi32>, %w: memref<1x2xi32>, %out: memref<1x64xi16>, %m: memref<1xf32>) {
  hetprec.contract carrier_add lanes(%a : memref<2x64xi32>) rows(%w : memref<1x2xi32>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Codes: each threshold one compare, even lanes and odd ones, which counts in the
// row's slot; lanes that are no pixel stay zero.
// CHECK-LABEL: @codes
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<64xi8>, %[[OUT:[a-z0-9]+]]: memref<1x64xi8>
// CHECK: %[[WORDS:.+]]:2 = scf.for %[[SLOT:.+]] = %c0 to %c3
// CHECK: %[[SHIFT:.+]] = arith.muli %{{.+}}, %c2_i16
// CHECK: arith.shli %c1_i16, %[[SHIFT]]
// CHECK-COUNT-6: arith.cmpi sgt
// CHECK-NOT: arith.cmpi
// CHECK: scf.yield
// CHECK: %[[MASK:.+]] = vector.load %[[M]]
// CHECK: %[[CODES:.+]] = arith.andi %{{.+}}, %[[MASK]] : vector<64xi8>
// CHECK: vector.store %[[CODES]], %[[OUT]][%c0, %c0]
func.func @codes(%a: memref<1x64xi8>, %w: memref<3x1xi8>, %t: memref<3x3xi16>, %m: memref<64xi8>, %out: memref<1x64xi8>) {
  hetprec.contract codes lanes(%a : memref<1x64xi8>) rows(%w : memref<3x1xi8>) thresholds(%t : memref<3x3xi16>) mask(%m : memref<64xi8>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2, sum_bits = 16}
  return
}

// Eight rows of level 4 in bytes: half a block at a time, from registers to a
// wide plane.
// CHECK-LABEL: @nibbles_in_turn
// CHECK-NOT: memref.view
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-COUNT-16: hetprec.mac {{.+}} level = 8
// CHECK-NOT: hetprec.mac
// CHECK: vector.shuffle {{.+}} [0, 2, 4, {{.+}}, 30, 1, 3, {{.+}}, 31]
// CHECK-COUNT-16: vector.store {{.+}} : memref<8x64xi32>, vector<16xi32>
// CHECK-NOT: vector.store
// With four registers: a quarter of a block at a time for four rows, by way of
// memory.
// FEW-LABEL: @nibbles_in_turn
// FEW: scf.for %{{.+}} = %c0 to %c4
// FEW-COUNT-4: hetprec.mac {{.+}} level = 8
// FEW-NOT: hetprec.mac
// FEW: vector.store {{.+}} : memref<8x64xi16>, vector<16xi16>
// FEW: scf.for %{{.+}} = %c0 to %c4
// FEW-COUNT-4: hetprec.mac {{.+}} level = 8
// FEW-NOT: hetprec.mac
// FEW: return
func.func @nibbles_in_turn(%a: memref<1x64xi32>, %w: memref<8x1xi32>, %out: memref<8x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x64xi32>) rows(%w : memref<8x1xi32>) outs(%out : memref<8x64xi32>)
    {levels = array<i64: 4>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// The words of the next tile's rows are asked for.
// CHECK-LABEL: @prefetched
// CHECK: memref.prefetch %{{.+}}[%c2, %{{.+}}], read, locality<3>, data
// CHECK: memref.prefetch %{{.+}}[%c3, %{{.+}}], read, locality<3>, data
func.func @prefetched(%a: memref<1x64xi8>, %w: memref<2x1xi8>, %out: memref<2x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x64xi8>) rows(%w : memref<2x1xi8>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, prefetch_rows}
  return
}

// The scratch memory of a parallel loop's body is its own.
// CHECK-LABEL: @parallel
// CHECK: scf.forall
// CHECK: memref.alloca() {alignment = 64 : i64} : memref<128xi8>
func.func @parallel(%a: memref<1x64xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  scf.forall (%i) in (2) {
    hetprec.contract accumulator lanes(%a : memref<1x64xi8>) rows(%w : memref<1x1xi8>) outs(%out : memref<1x64xi32>)
      {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  }
  return
}

// A grouped row sums a segment only where it has channels of it.
// CHECK-LABEL: @not_read
// CHECK: %[[START:.+]] = memref.load %{{.+}}[%c0] : memref<1xi32>
// CHECK: %[[AT:.+]] = arith.index_cast %[[START]]
// CHECK: %[[READ:.+]] = arith.cmpi sge, %[[AT]], %c0
// CHECK: scf.if %[[READ]]
// CHECK: hetprec.mac {{.+}} level = 1
// CHECK: else
// CHECK-COUNT-2: vector.store %cst{{.*}}, %{{.+}} : memref<1x64xi16>
// CHECK: scf.if
// CHECK: hetprec.mac {{.+}} level = 2
func.func @not_read(%a: memref<2x64xi8>, %b: memref<2x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %s: memref<1xi32>, %t: memref<1xi32>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<2x64xi8>, memref<2x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>)
    starts(%s, %t : memref<1xi32>, memref<1xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 6, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, sum_bits = 16}
  return
}

// Sums that are there already: only the rest is done, in 16 bits here.
// CHECK-LABEL: @from_sums
// CHECK-SAME: %[[S:[a-z0-9]+]]: memref<1x64xi32>, %[[B:[a-z0-9]+]]: memref<1x64xi16>
// CHECK-NOT: hetprec.mac
// CHECK: %[[LOW:.+]] = vector.load %[[S]][%c0, %c0] : memref<1x64xi32>, vector<32xi32>
// CHECK: %[[HIGH:.+]] = vector.load %[[S]][%c0, %c32] : memref<1x64xi32>, vector<32xi32>
// CHECK: %[[EVEN:.+]] = vector.shuffle %[[LOW]], %[[HIGH]] [0, 2, 4
// CHECK: arith.trunci %[[EVEN]] : vector<32xi32> to vector<32xi16>
func.func @from_sums(%s: memref<1x64xi32>, %b: memref<1x64xi16>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator sums(%s : memref<1x64xi32>) lane_bias(%b : memref<1x64xi16>) outs(%out : memref<1x64xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_begin = 0, lane_count = 64, sum_bits = 16}
  return
}

// Sums of levels 1 and 2 that fit are one in 16 bits: 12 a + 2 b is 2 times
// 6 a + b. Both parts of the first are multiplied before the second's are added.
// CHECK-LABEL: @narrow_sums
// CHECK-DAG: %[[SIX:.+]] = arith.constant dense<6> : vector<32xi16>
// CHECK-DAG: %[[TWO:.+]] = arith.constant dense<2> : vector<32xi32>
// CHECK: hetprec.mac {{.+}} level = 1
// CHECK: %[[ALL:.+]] = arith.muli %{{.+}}, %[[SIX]] : vector<32xi16>
// CHECK: %[[ODD:.+]] = arith.muli %{{.+}}, %[[SIX]] : vector<32xi16>
// CHECK: hetprec.mac {{.+}} level = 2
// CHECK: arith.addi %[[ALL]], %{{.+}} : vector<32xi16>
// CHECK: arith.addi %[[ODD]], %{{.+}} : vector<32xi16>
// CHECK-COUNT-2: vector.store
// CHECK: %[[WIDE:.+]] = arith.extui %{{.+}} : vector<32xi16> to vector<32xi32>
// CHECK: arith.muli %[[WIDE]], %[[TWO]] : vector<32xi32>
func.func @narrow_sums(%a: memref<1x64xi8>, %b: memref<1x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x64xi8>, memref<1x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 12, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Not where they could overflow (2000 * 27 > 65535 / 2), nor where one is
// subtracted; where both are, as in a bias, they are one.
// CHECK-LABEL: @wide_sums
// CHECK-NOT: arith.muli %{{.+}} : vector<32xi16>
// CHECK: arith.extui %{{.+}} : vector<32xi16> to vector<32xi32>
// CHECK: arith.extui %{{.+}} : vector<32xi16> to vector<32xi32>
// CHECK-LABEL: @other_sign
// CHECK-NOT: arith.muli %{{.+}} : vector<32xi16>
// CHECK-LABEL: @negative_sums
// CHECK: arith.muli %{{.+}} : vector<32xi16>
// CHECK: return
func.func @wide_sums(%a: memref<1000x64xi8>, %b: memref<2000x64xi8>, %u: memref<1x1000xi8>, %w: memref<1x2000xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1000x64xi8>, memref<2000x64xi8>) rows(%u, %w : memref<1x1000xi8>, memref<1x2000xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 12, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}
func.func @other_sign(%a: memref<1x64xi8>, %b: memref<1x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x64xi8>, memref<1x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 12, -2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}
func.func @negative_sums(%a: memref<1x64xi8>, %b: memref<1x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x64xi8>, memref<1x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: -12, -2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, uniform_rows}
  return
}

// What is known to stay in range is rounded first and clamped by a saturating
// truncation; else clamped first.
// CHECK-LABEL: @carrier_in_range
// CHECK: %[[R:.+]] = llvm.intr.lrint(%{{.+}}) : (vector<32xf32>) -> vector<32xi32>
// CHECK: arith.maxsi %[[R]], %cst
// CHECK: arith.minsi
// CHECK: arith.trunci
// CHECK: arith.maxsi %{{.+}} : vector<32xi16>
// CHECK-LABEL: @carrier_any
// CHECK-NOT: llvm.intr.lrint
// CHECK: arith.maxnumf
// CHECK: arith.minnumf
func.func @carrier_in_range(%a: memref<1x64xi8>, %u: memref<1x1xi8>, %m: memref<1xf32>, %out: memref<1x64xi16>) {
  hetprec.contract carrier lanes(%a : memref<1x64xi8>) rows(%u : memref<1x1xi8>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, in_range}
  return
}
func.func @carrier_any(%a: memref<1x64xi8>, %u: memref<1x1xi8>, %m: memref<1xf32>, %out: memref<1x64xi16>) {
  hetprec.contract carrier lanes(%a : memref<1x64xi8>) rows(%u : memref<1x1xi8>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Planes of bytes: four loads of 64 bytes, a byte apart, are the words of 64
// lanes, every fourth in a register. Nothing goes through scratch memory. Two
// lanes of 16 bits are the halves of 32: no shuffle.
// CHECK-LABEL: @bytes
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<2x67xi8>, %[[W:[a-z0-9]+]]: memref<2x1xi32>, %[[S:[a-z0-9]+]]: memref<2xi32>
// CHECK-NOT: memref.alloca
// CHECK: scf.for %[[ROW:.+]] = %c0 to %c2
// CHECK: %[[START:.+]] = memref.load %[[S]][%[[ROW]]]
// CHECK: %[[PLANE:.+]] = arith.index_cast %[[START]] : i32 to index
// CHECK-NOT: scf.if
// CHECK: %[[WORD:.+]] = memref.load %[[W]][%[[ROW]], %c0]
// CHECK: %[[L0:.+]] = vector.load %[[A]][%[[PLANE]], %c0] : memref<2x67xi8>, vector<64xi8>
// CHECK: %[[B0:.+]] = vector.bitcast %[[L0]] : vector<64xi8> to vector<16xi32>
// CHECK: %[[M0:.+]] = hetprec.mac %{{.+}}, %[[B0]], %[[WORD]] level = 8
// CHECK: vector.load %[[A]][%[[PLANE]], %c1]
// CHECK: vector.load %[[A]][%[[PLANE]], %c2]
// CHECK: vector.load %[[A]][%[[PLANE]], %c3]
// CHECK: arith.shli
// CHECK: arith.ori
// CHECK: vector.bitcast %{{.+}} : vector<16xi32> to vector<32xi16>
func.func @bytes(%a: memref<2x67xi8>, %w: memref<2x1xi32>, %s: memref<2xi32>, %out: memref<2x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2x67xi8>) rows(%w : memref<2x1xi32>) starts(%s : memref<2xi32>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64, sum_bits = 16}
  return
}

// Two bytes a lane: 64 bytes and the next 64, and both again a lane on.
// CHECK-LABEL: @two_bytes
// CHECK: vector.load %{{.+}}[%{{.+}}, %c0]
// CHECK: vector.load %{{.+}}[%{{.+}}, %c64]
// CHECK: vector.load %{{.+}}[%{{.+}}, %c2]
// CHECK: vector.load %{{.+}}[%{{.+}}, %c66]
func.func @two_bytes(%a: memref<1x130xi8>, %w: memref<1x1xi32>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x130xi8>) rows(%w : memref<1x1xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 2, tap_bytes = array<i64: 3>, lane_begin = 0, lane_count = 64}
  return
}

// Codes of 8 bits are put in order when a word is full, not slot by slot.
// CHECK-LABEL: @bytes_to_codes
// CHECK-COUNT-4: hetprec.mac
// CHECK: vector.shuffle %{{.+}}, %{{.+}} [0, 1, 2, 3
// CHECK-NOT: [0, 16, 1, 17
// CHECK-COUNT-12: hetprec.mac
// CHECK: vector.shuffle %{{.+}}, %{{.+}} [0, 16, 1, 17
// CHECK: vector.shuffle %{{.+}}, %{{.+}} [0, 16, 1, 17
// CHECK: vector.interleave
func.func @bytes_to_codes(%a: memref<4x67xi8>, %w: memref<4x1xi32>, %s: memref<4xi32>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %out: memref<1x64xi32>) {
  hetprec.contract codes lanes(%a : memref<4x67xi8>) rows(%w : memref<4x1xi32>) starts(%s : memref<4xi32>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64, out_level = 8}
  return
}

// A row reads one of two segments.
// CHECK-LABEL: @bytes_of_two
// CHECK: scf.if %{{.+}} -> (vector<32xi32>, vector<32xi32>)
// CHECK: hetprec.mac
// CHECK: scf.if %{{.+}} -> (vector<32xi32>, vector<32xi32>)
// CHECK: hetprec.mac
func.func @bytes_of_two(%a: memref<1x67xi8>, %b: memref<1x67xi8>, %w: memref<2x1xi32>, %u: memref<2x1xi32>, %s: memref<2xi32>, %t: memref<2xi32>, %out: memref<2x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x67xi8>, memref<1x67xi8>) rows(%w, %u : memref<2x1xi32>, memref<2x1xi32>) starts(%s, %t : memref<2xi32>, memref<2xi32>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 8, 8>, coefficients = array<i64: 2720, 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64}
  return
}

// Three bytes of a word leave room for the next lane: a load serves two, with the
// row's word a byte on.
// CHECK-LABEL: @shared_loads
// CHECK-DAG: %[[BY:.+]] = arith.constant 8 : i32
// CHECK-DAG: %[[WORD:.+]] = memref.load
// CHECK-DAG: %[[L0:.+]] = vector.load %{{.+}}[%{{.+}}, %c0]
// CHECK: hetprec.mac %{{.+}}, %[[B0:.+]], %[[WORD]] level = 8
// CHECK: %[[NEXT:.+]] = arith.shli %[[WORD]], %[[BY]]
// CHECK: hetprec.mac %{{.+}}, %[[B0]], %[[NEXT]] level = 8
// CHECK: %[[L2:.+]] = vector.load %{{.+}}[%{{.+}}, %c2]
// CHECK-COUNT-2: hetprec.mac
// CHECK-NOT: hetprec.mac
func.func @shared_loads(%a: memref<1x67xi8>, %w: memref<1x1xi32>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x67xi8>) rows(%w : memref<1x1xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 3>, lane_begin = 0, lane_count = 64}
  return
}

// Coefficients of zero are no unit.
// CHECK-LABEL: @no_coefficients
// CHECK-NOT: arith.muli %{{.+}} : vector<32xi16>
// CHECK: return
func.func @no_coefficients(%a: memref<1x64xi8>, %b: memref<1x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x64xi8>, memref<1x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 0, 0>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Levels whose coefficients are alike share totals, but not bytes: a product of
// level 2 counts three times as much, so bytes are widened between them.
// CHECK-LABEL: @alike
// CHECK: hetprec.mac {{.+}} level = 2
// CHECK: arith.shrui {{.+}} : vector<32xi16>
// CHECK: %[[ZERO:.+]] = hetprec.mac %{{cst.*}}, %{{.+}} level = 1
func.func @alike(%a: memref<1x64xi8>, %b: memref<1x64xi8>, %u: memref<1x1xi8>, %w: memref<1x1xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a, %b : memref<1x64xi8>, memref<1x64xi8>) rows(%u, %w : memref<1x1xi8>, memref<1x1xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2, 1>, coefficients = array<i64: 1, 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Sums of one level stay in registers, where they begin as the rows' biases.
// Codes that are in range are clamped where four rows become words.
// CHECK-LABEL: @dots_to_codes
// CHECK-SAME: %[[BIAS:[a-z0-9]+]]: memref<4xi32>
// CHECK-NOT: memref.alloca
// CHECK: %[[B:.+]] = memref.load %[[BIAS]][%c0]
// CHECK: %[[FIRST:.+]] = vector.broadcast %[[B]] : i32 to vector<16xi32>
// CHECK: %[[SUM:.+]] = hetprec.mac %[[FIRST]], %{{.+}}, %{{.+}} level = 8
// CHECK: %[[BOTH:.+]] = vector.shuffle %[[SUM]],
// CHECK: arith.sitofp %[[BOTH]] : vector<32xi32>
// CHECK-COUNT-4: llvm.intr.lrint
// CHECK: %[[WORDS:.+]] = hetprec.join_codes %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}} level = 8 : vector<32xi32> -> vector<32xi32>
// CHECK: %[[M:.+]] = vector.load %{{.+}}[%c0] : memref<64xi8>, vector<32xi8>
// CHECK: %[[MASK:.+]] = arith.extsi %[[M]]
// CHECK: %[[CODES:.+]] = arith.andi %[[WORDS]], %[[MASK]]
// CHECK: vector.store %[[CODES]], %{{.+}}[%c0, %c0]
// CHECK: hetprec.join_codes
// CHECK: vector.store %{{.+}}, %{{.+}}[%c0, %c32]
func.func @dots_to_codes(%bias: memref<4xi32>, %a: memref<1x64xi32>, %w: memref<4x1xi32>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %out: memref<1x64xi32>) {
  hetprec.contract codes lanes(%a : memref<1x64xi32>) rows(%w : memref<4x1xi32>) row_bias(%bias : memref<4xi32>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 8, in_range}
  return
}

// Six rows of bytes for half a block at a time: the lanes' biases come from
// even and odd lanes. The second word has two codes.
// CHECK-LABEL: @dots_with_lane_bias
// CHECK-SAME: %[[LB:[a-z0-9]+]]: memref<1x128xi32>
// CHECK: scf.for
// CHECK: %[[EVEN:.+]] = vector.load %[[LB]][%c0, %[[AT:.+]]] : memref<1x128xi32>, vector<16xi32>
// CHECK: %[[ON:.+]] = arith.addi %[[AT]], %c32
// CHECK: %[[ODD:.+]] = vector.load %[[LB]][%c0, %[[ON]]]
// CHECK: %[[LANES:.+]] = vector.interleave %[[EVEN]], %[[ODD]] : vector<16xi32> -> vector<32xi32>
// CHECK: %[[LOW:.+]] = vector.extract_strided_slice %[[LANES]] {offsets = [0]
// CHECK: hetprec.mac %[[LOW]]
// CHECK: hetprec.join_codes
// CHECK: hetprec.join_codes %{{.+}}, %{{.+}}, %[[NONE:.+]], %[[NONE]] level = 8
func.func @dots_with_lane_bias(%lb: memref<1x128xi32>, %a: memref<1x128xi32>, %w: memref<6x1xi32>, %m: memref<6xf32>, %o: memref<6xf32>, %mask: memref<128xi8>, %out: memref<2x128xi32>) {
  hetprec.contract codes lanes(%a : memref<1x128xi32>) rows(%w : memref<6x1xi32>) lane_bias(%lb : memref<1x128xi32>) multiplier(%m : memref<6xf32>) offset(%o : memref<6xf32>) mask(%mask : memref<128xi8>) outs(%out : memref<2x128xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 128, out_level = 8, in_range}
  return
}

// Nibbles come as even and odd lanes, which words put in turn. The coefficient
// counts before the bias, in 16 bits; signed codes of 4 bits are rounded down.
// CHECK-LABEL: @nibbles_to_codes
// CHECK-SAME: %[[LB:[a-z0-9]+]]: memref<1x64xi16>
// CHECK: %[[SUM:.+]] = hetprec.mac
// CHECK: vector.load %[[LB]][%c0, %c48] : memref<1x64xi16>, vector<16xi16>
// CHECK: %[[TWICE:.+]] = arith.muli %[[SUM]], %cst
// CHECK: %[[ALL:.+]] = arith.addi %[[TWICE]],
// CHECK: %[[BOTH:.+]] = vector.shuffle %[[ALL]],
// CHECK: arith.trunci %[[BOTH]] : vector<32xi32> to vector<32xi16>
// CHECK: arith.fptosi
// CHECK-NOT: llvm.intr.lrint
// CHECK: %[[EVEN:.+]] = hetprec.join_codes {{.+}} level = 4 : vector<32xi32> -> vector<32xi16>
// CHECK: %[[ODD:.+]] = hetprec.join_codes {{.+}} level = 4 : vector<32xi32> -> vector<32xi16>
// CHECK: vector.interleave %[[EVEN]], %[[ODD]]
func.func @nibbles_to_codes(%lb: memref<1x64xi16>, %a: memref<1x64xi16>, %w: memref<2x1xi16>, %m: memref<2xf32>, %o: memref<2xf32>, %mask: memref<64xi8>, %out: memref<1x64xi16>) {
  hetprec.contract codes lanes(%a : memref<1x64xi16>) rows(%w : memref<2x1xi16>) lane_bias(%lb : memref<1x64xi16>) multiplier(%m : memref<2xf32>) offset(%o : memref<2xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 4>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 4, out_signed = true, sum_bits = 16, in_range}
  return
}

// Sums of bytes come with even lanes first, and words put them in turn. Codes of
// 8 bits with a sign have 128 added, and no -128.
// CHECK-LABEL: @bytes_to_words
// CHECK: memref.alloca
// CHECK: %[[ROUNDED:.+]] = llvm.intr.lrint
// CHECK: %[[SYMMETRIC:.+]] = arith.maxsi %[[ROUNDED]]
// CHECK: arith.addi %[[SYMMETRIC]]
// CHECK: %[[EVEN:.+]] = hetprec.join_codes
// CHECK: %[[ODD:.+]] = hetprec.join_codes
// CHECK: vector.interleave %[[EVEN]], %[[ODD]]
func.func @bytes_to_words(%a: memref<1x64xi8>, %w: memref<4x1xi8>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %out: memref<1x64xi32>) {
  hetprec.contract codes lanes(%a : memref<1x64xi8>) rows(%w : memref<4x1xi8>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 8, out_signed = true, in_range}
  return
}

// Sums of outputs that were lanes are in turn, and stay so.
// CHECK-LABEL: @sums_to_codes
// CHECK-NOT: vector.interleave
// CHECK: hetprec.join_codes
// CHECK: vector.store %{{.+}}, %{{.+}}[%c0, %c32] : memref<1x64xi32>, vector<32xi32>
func.func @sums_to_codes(%s: memref<4x64xi32>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %out: memref<1x64xi32>) {
  hetprec.contract codes sums(%s : memref<4x64xi32>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 8, in_range}
  return
}

// What may leave the range of an i32 is clamped first.
// CHECK-LABEL: @out_of_range
// CHECK: arith.maxnumf
// CHECK-NOT: hetprec.join_codes
func.func @out_of_range(%a: memref<1x64xi32>, %w: memref<4x1xi32>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %out: memref<1x64xi32>) {
  hetprec.contract codes lanes(%a : memref<1x64xi32>) rows(%w : memref<4x1xi32>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 8}
  return
}

// Carriers of one level from registers: they are narrowed, even lanes first, and
// added where a wide plane has them.
// CHECK-LABEL: @dots_to_carrier
// CHECK-NOT: memref.alloca
// CHECK: hetprec.mac
// CHECK: %[[EVEN:.+]] = vector.load %[[OUT:.+]][%c0, %c0] : memref<1x64xi16>, vector<16xi16>
// CHECK: %[[ODD:.+]] = vector.load %[[OUT]][%c0, %c32]
// CHECK: %[[ONTO:.+]] = vector.shuffle %[[EVEN]], %[[ODD]]
// CHECK: llvm.intr.lrint
// CHECK: %[[NARROW:.+]] = hetprec.narrow_lanes %{{.+}}, %{{.+}} : vector<16xi32> -> vector<32xi16>
// CHECK: %[[CARRIER:.+]] = arith.maxsi %[[NARROW]]
// CHECK: llvm.intr.sadd.sat(%[[ONTO]], %[[CARRIER]])
// CHECK: vector.store %{{.+}}, %[[OUT]][%c0, %c0] : memref<1x64xi16>, vector<16xi16>
// CHECK: vector.store %{{.+}}, %[[OUT]][%c0, %c32]
// CHECK: hetprec.narrow_lanes
// CHECK: vector.store %{{.+}}, %[[OUT]][%c0, %c16]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c0, %c48]
func.func @dots_to_carrier(%a: memref<1x64xi32>, %w: memref<1x1xi32>, %m: memref<1xf32>, %out: memref<1x64xi16>) {
  hetprec.contract carrier_add lanes(%a : memref<1x64xi32>) rows(%w : memref<1x1xi32>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, in_range}
  return
}

// Byte sums come from memory in turn, and dot products begin as theirs times the
// quotient of coefficients; thresholds count in bytes. Six rows, three a word.
// CHECK-LABEL: @mixed_to_thresholds
// CHECK: %[[SCRATCH:.+]] = memref.view
// CHECK: %[[INTURN:.+]] = vector.interleave %{{.+}}, %{{.+}} : vector<32xi16> -> vector<64xi16>
// CHECK: vector.store %[[INTURN]], %[[SCRATCH]][%c0, %c0]
// CHECK: %[[PART:.+]] = vector.load %[[SCRATCH]][%c0, %{{.+}}] : memref<6x64xi16>, vector<16xi16>
// CHECK: %[[WIDE:.+]] = arith.extsi %[[PART]]
// CHECK: %[[FIRST:.+]] = arith.muli %[[WIDE]], %[[TEN:.+]] : vector<16xi32>
// CHECK: hetprec.mac %[[FIRST]], %{{.+}}, %{{.+}} level = 4
// CHECK: arith.cmpi sgt, %{{.+}}, %{{.+}} : vector<32xi32>
// CHECK: arith.select %{{.+}}, %{{.+}}, %{{.+}} : vector<32xi1>, vector<32xi8>
// CHECK: vector.store %{{.+}}, %{{.+}}[%c0, %{{.+}}] : memref<2x64xi8>, vector<32xi8>
// CHECK: vector.store %{{.+}}, %{{.+}}[%c1, %{{.+}}] : memref<2x64xi8>, vector<32xi8>
func.func @mixed_to_thresholds(%a: memref<1x64xi8>, %a4: memref<1x64xi32>, %w: memref<6x1xi8>, %w4: memref<6x1xi16>, %t: memref<6x3xi32>, %mask: memref<64xi8>, %out: memref<2x64xi8>) {
  hetprec.contract codes lanes(%a, %a4 : memref<1x64xi8>, memref<1x64xi32>) rows(%w, %w4 : memref<6x1xi8>, memref<6x1xi16>) thresholds(%t : memref<6x3xi32>) mask(%mask : memref<64xi8>) outs(%out : memref<2x64xi8>)
    {levels = array<i64: 1, 4>, coefficients = array<i64: 20, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2}
  return
}

// 40,000 channels of 1 bit leave no room for a sign in 16 bits.
// CHECK-LABEL: @no_room_for_a_sign
// CHECK: %[[PART:.+]] = vector.load %{{.+}} : memref<3x64xi16>, vector<16xi16>
// CHECK: arith.extui %[[PART]]
func.func @no_room_for_a_sign(%a: memref<5000x64xi8>, %a4: memref<1x64xi32>, %w: memref<3x5000xi8>, %w4: memref<3x1xi16>, %t: memref<3x3xi32>, %mask: memref<64xi8>, %out: memref<1x64xi8>) {
  hetprec.contract codes lanes(%a, %a4 : memref<5000x64xi8>, memref<1x64xi32>) rows(%w, %w4 : memref<3x5000xi8>, memref<3x1xi16>) thresholds(%t : memref<3x3xi32>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 1, 4>, coefficients = array<i64: 20, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2}
  return
}

// In 16 bits byte sums and dot products are added in memory's order, two lanes
// in 32 bits.
// CHECK-LABEL: @mixed_in_16_bits
// CHECK-NOT: vector.interleave
// CHECK: arith.cmpi sgt, %{{.+}}, %{{.+}} : vector<32xi16>
func.func @mixed_in_16_bits(%a: memref<1x64xi8>, %a4: memref<1x64xi32>, %w: memref<3x1xi8>, %w4: memref<3x1xi16>, %t: memref<3x3xi16>, %mask: memref<64xi8>, %out: memref<1x64xi8>) {
  hetprec.contract codes lanes(%a, %a4 : memref<1x64xi8>, memref<1x64xi32>) rows(%w, %w4 : memref<3x1xi8>, memref<3x1xi16>) thresholds(%t : memref<3x3xi16>) mask(%mask : memref<64xi8>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 1, 4>, coefficients = array<i64: 20, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2, sum_bits = 16}
  return
}

// A wide plane of mixed levels has even lanes and odd ones, as byte sums have. The
// others' sums have 16 bits in turn: 32 bits hold an even lane and an odd one.
// CHECK-LABEL: @mixed_to_carrier
// CHECK-COUNT-2: memref.view %{{.+}} to memref<1x64xi16>
// CHECK-NOT: vector.interleave
// CHECK-NOT: hetprec.narrow_lanes
// CHECK: arith.andi %{{.+}} : vector<16xi32>
// CHECK: arith.shrui %{{.+}} : vector<16xi32>
func.func @mixed_to_carrier(%a: memref<1x64xi8>, %a4: memref<1x64xi32>, %w: memref<1x1xi8>, %w4: memref<1x1xi16>, %m: memref<1xf32>, %out: memref<1x64xi16>) {
  hetprec.contract carrier lanes(%a, %a4 : memref<1x64xi8>, memref<1x64xi32>) rows(%w, %w4 : memref<1x1xi8>, memref<1x1xi16>) multiplier(%m : memref<1xf32>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 1, 4>, coefficients = array<i64: 20, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, in_range}
  return
}

// A window of 7x7, stride 2: three pairs of rows, one of each phase, and a row
// that is left over. A byte holds nine products.
// CHECK-LABEL: @strided
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<4x192xi8>, %[[W:[a-z0-9]+]]: memref<1x49xi8>
// CHECK: scf.for %[[PAIR:.+]] = %c0 to %c3
// CHECK-DAG: %[[COLUMN:.+]] = arith.muli %[[PAIR]], %c14
// CHECK-DAG: %[[LANE:.+]] = arith.muli %[[PAIR]], %c16
// CHECK: vector.load %[[A]][%c0, %[[LANE]]]
// CHECK: vector.load %[[W]][%c0, %[[COLUMN]]]
// CHECK-COUNT-14: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: scf.yield
// CHECK: vector.load %[[A]][%c0, %c48]
// CHECK: vector.load %[[W]][%c0, %c42]
// CHECK-COUNT-7: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @strided(%a: memref<4x192xi8>, %w: memref<1x49xi8>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<4x192xi8>) rows(%w : memref<1x49xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>,
     taps = array<i64: 0, 0, 1, 1, 2, 2, 3, 0, 0, 1, 1, 2, 2, 3, 16, 16, 17, 17, 18, 18, 19, 16, 16, 17, 17, 18, 18, 19, 32, 32, 33, 33, 34, 34, 35, 32, 32, 33, 33, 34, 34, 35, 48, 48, 49, 49, 50, 50, 51>,
     tap_phases = array<i64: 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0>,
     phases = 4, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// The same of dot products.
// CHECK-LABEL: @strided_dots
// CHECK: scf.for %{{.+}} = %c0 to %c3
// CHECK-COUNT-56: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: scf.yield
// CHECK-COUNT-28: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @strided_dots(%a: memref<4x192xi32>, %w: memref<1x49xi32>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<4x192xi32>) rows(%w : memref<1x49xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>,
     taps = array<i64: 0, 0, 1, 1, 2, 2, 3, 0, 0, 1, 1, 2, 2, 3, 16, 16, 17, 17, 18, 18, 19, 16, 16, 17, 17, 18, 18, 19, 32, 32, 33, 33, 34, 34, 35, 32, 32, 33, 33, 34, 34, 35, 48, 48, 49, 49, 50, 50, 51>,
     tap_phases = array<i64: 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0>,
     phases = 4, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// The same of bytes, 21 rows of seven: words of four bytes and of three. Five times
// four rows, and one that is left over.
// CHECK-LABEL: @strided_bytes
// CHECK: scf.for %{{.+}} = %c0 to %c5
// CHECK-COUNT-32: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: scf.yield
// CHECK-COUNT-8: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @strided_bytes(%a: memref<2x259xi8>, %w: memref<1x42xi32>, %out: memref<1x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2x259xi8>) rows(%w : memref<1x42xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>,
     taps = array<i64: 0, 4, 0, 4, 16, 20, 16, 20, 32, 36, 32, 36, 48, 52, 48, 52, 64, 68, 64, 68, 80, 84, 80, 84, 96, 100, 96, 100, 112, 116, 112, 116, 128, 132, 128, 132, 144, 148, 144, 148, 160, 164>,
     tap_phases = array<i64: 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0>,
     phases = 2, origin = 0, lane_bytes = 1,
     tap_bytes = array<i64: 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3>,
     lane_begin = 0, lane_count = 64}
  return
}

// A loop over the rows of a grouped window of many taps, and over the window's.
// CHECK-LABEL: @grouped
// CHECK-SAME: memref<2x192xi8>, %[[W:[a-z0-9]+]]: memref<2x64xi8>, %[[S:[a-z0-9]+]]: memref<2xi32>
// CHECK: scf.for %[[ROW:.+]] = %c0 to %c2
// CHECK: memref.load %[[S]][%[[ROW]]]
// CHECK: scf.for %{{.+}} = %c0 to %c8
// CHECK: vector.load %[[W]][%[[ROW]],
// CHECK-COUNT-8: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
func.func @grouped(%a: memref<2x192xi8>, %w: memref<2x64xi8>, %s: memref<2xi32>, %out: memref<2x64xi32>) {
  hetprec.contract accumulator lanes(%a : memref<2x192xi8>) rows(%w : memref<2x64xi8>) starts(%s : memref<2xi32>) outs(%out : memref<2x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>,
     taps = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36, 37, 38, 39, 48, 49, 50, 51, 52, 53, 54, 55, 64, 65, 66, 67, 68, 69, 70, 71, 80, 81, 82, 83, 84, 85, 86, 87, 96, 97, 98, 99, 100, 101, 102, 103, 112, 113, 114, 115, 116, 117, 118, 119>,
     origin = 0, lane_begin = 0, lane_count = 64}
  return
}
