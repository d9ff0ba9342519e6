// RUN: sysmol-opt %s --convert-hetprec-to-avx2 --split-input-file | FileCheck %s

// Words 0 to 3 of the table of 2 bits: with the low nibble, whose first code
// counts 0, 1, 2 or 3 times; the upper bits' entries are zero.
// CHECK: memref.global "private" constant @__hetprec_nibble_products_2 : memref<64x32xi8> =
// CHECK-SAME: dense<"0x{{((00){32}(00010203){4}(00){16}(00020406){4}(00){16}(00030609){4}(00){16})}}
// CHECK-SAME: alignment = 64

// Two lookups for each half of the lanes; the entries are loaded once.
// CHECK-LABEL: @two
// CHECK-SAME: %[[ACC:.+]]: vector<64xi8>, %[[A:.+]]: vector<64xi8>, %[[W:.+]]: i8
// CHECK: %[[TABLE:.+]] = memref.get_global @__hetprec_nibble_products_2
// CHECK: %[[ROW:.+]] = arith.index_castui %[[W]] : i8 to index
// CHECK: %[[E:.+]] = vector.load %[[TABLE]][%[[ROW]], %c0] : memref<64x32xi8>, vector<16xi8>
// CHECK: %[[LOW:.+]] = vector.shuffle %[[E]], %[[E]] [0, 1, {{.+}}, 15, 0, 1, {{.+}}, 15]
// CHECK: %[[F:.+]] = vector.load %[[TABLE]][%[[ROW]], %c16] : memref<64x32xi8>, vector<16xi8>
// CHECK: %[[HIGH:.+]] = vector.shuffle %[[F]], %[[F]]
// CHECK: %[[H:.+]] = vector.extract_strided_slice %[[A]] {offsets = [0], sizes = [32], strides = [1]}
// CHECK: %[[FIFTEEN:.+]] = arith.constant dense<15> : vector<32xi8>
// CHECK: %[[N:.+]] = arith.andi %[[H]], %[[FIFTEEN]]
// CHECK: %[[P:.+]] = vector.bitcast %[[H]] : vector<32xi8> to vector<16xi16>
// CHECK: %[[FOUR:.+]] = arith.constant dense<4> : vector<16xi16>
// CHECK: %[[S:.+]] = arith.shrui %[[P]], %[[FOUR]]
// CHECK: %[[ABOVE:.+]] = arith.constant dense<771> : vector<16xi16>
// CHECK: %[[M:.+]] = arith.andi %[[S]], %[[ABOVE]]
// CHECK: %[[O:.+]] = vector.bitcast %[[M]]
// CHECK: %[[B:.+]] = vector.extract_strided_slice %[[ACC]] {offsets = [0], sizes = [32], strides = [1]}
// CHECK: %[[X:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pshuf.b"(%[[LOW]], %[[N]])
// CHECK: %[[T:.+]] = arith.addi %[[B]], %[[X]]
// CHECK: %[[Y:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pshuf.b"(%[[HIGH]], %[[O]])
// CHECK: arith.addi %[[T]], %[[Y]]
// CHECK: vector.extract_strided_slice %[[A]] {offsets = [32], sizes = [32], strides = [1]}
// CHECK-COUNT-2: pshuf.b
// CHECK-NOT: pshuf.b
func.func @two(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

// Codes that count from 1: word 0 (codes 0, 0, 0) gives 6 - a - b of the low
// nibble and 3 - c of the two bits above it, word 1 leaves out the first.
// CHECK: memref.global "private" constant @__hetprec_nibble_products_2_centred_lanes
// CHECK: memref.global "private" constant @__hetprec_nibble_products_2_centred_row : memref<64x32xi8> =
// CHECK-SAME: dense<"0x{{(06050403050403020403020103020100(03020100){4}03030303020202020101010100000000(03020100){4})}}
// CHECK-NOT: memref.global
// CHECK-LABEL: @centred
// CHECK: memref.get_global @__hetprec_nibble_products_2_centred_row
// CHECK: memref.get_global @__hetprec_nibble_products_2_centred_lanes
func.func @centred(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 {centred = #hetprec.centred<row>} : vector<64xi8>, vector<64xi8>, i8
  %t = hetprec.mac %s, %a, %w level = 2 {centred = #hetprec.centred<lanes>} : vector<64xi8>, vector<64xi8>, i8
  return %t : vector<64xi8>
}

// -----

// Of 1 bit: words 0 to 3, and 16, whose upper nibble is the word 1 again.
// CHECK-NOT: @__hetprec_nibble_products_2
// CHECK: memref.global "private" constant @__hetprec_nibble_products_1 : memref<256x32xi8> =
// CHECK-SAME: dense<"0x{{((00){32}(0001){8}(00){16}(00000101){4}(00){16}(00010102){4}(00){16}([0-9A-F]{64}){12}(00){16}(0001){8})}}

// All bits of a lane's word count.
// CHECK-LABEL: @one
// CHECK: dense<3855> : vector<16xi16>
// CHECK-COUNT-4: pshuf.b
func.func @one(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 1 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

// Any bytes: lanes without sign, rows with it, two products at a time.
// CHECK-NOT: memref.global
// CHECK-LABEL: @eight
// CHECK-SAME: %[[ACC:.+]]: vector<16xi32>, %[[A:.+]]: vector<16xi32>, %[[W:.+]]: i32
// CHECK: %[[ALL:.+]] = vector.broadcast %[[W]] : i32 to vector<8xi32>
// CHECK: %[[R:.+]] = vector.bitcast %[[ALL]] : vector<8xi32> to vector<16xi16>
// CHECK: %[[L:.+]] = arith.shli %[[R]], %[[EIGHT:.+]] :
// CHECK: %[[EVEN:.+]] = arith.shrsi %[[L]], %[[EIGHT]]
// CHECK: %[[ODD:.+]] = arith.shrsi %[[R]], %[[EIGHT]]
// CHECK: %[[H:.+]] = vector.extract_strided_slice %[[A]] {offsets = [0], sizes = [8], strides = [1]}
// CHECK: %[[P:.+]] = vector.bitcast %[[H]] : vector<8xi32> to vector<16xi16>
// CHECK: %[[LOW:.+]] = arith.andi %[[P]],
// CHECK: %[[HIGH:.+]] = arith.shrui %[[P]], %[[EIGHT]]
// CHECK: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[LOW]], %[[EVEN]])
// CHECK: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[HIGH]], %[[ODD]])
// CHECK-COUNT-2: pmadd.wd
// CHECK-NOT: pmadd
func.func @eight(%acc: vector<16xi32>, %a: vector<16xi32>, %w: i32) -> vector<16xi32> {
  %s = hetprec.mac %acc, %a, %w level = 8 : vector<16xi32>, vector<16xi32>, i32
  return %s : vector<16xi32>
}

// Signed lanes: the signs change sides.
// CHECK-LABEL: @signed_lanes
// CHECK: vector.broadcast
// CHECK: arith.andi
// CHECK: arith.shrui
// CHECK: arith.shli
// CHECK: arith.shrsi
// CHECK: arith.shrsi
// CHECK: pmadd.wd
func.func @signed_lanes(%acc: vector<8xi32>, %a: vector<8xi32>, %w: i32) -> vector<8xi32> {
  %s = hetprec.mac %acc, %a, %w level = 8 {signed_lanes} : vector<8xi32>, vector<8xi32>, i32
  return %s : vector<8xi32>
}

// Small products: three macs are widened once, by ones. A fourth would not fit
// into 16 bits, and is widened by itself.
// CHECK-LABEL: @chain
// CHECK-SAME: %[[ACC:.+]]: vector<8xi32>, %[[A:.+]]: vector<8xi32>, %[[W:.+]]: i32
// CHECK: %[[ONES:.+]] = arith.constant dense<1> : vector<16xi16>
// CHECK: %[[P:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// CHECK: %[[D:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[P]], %{{.+}})
// CHECK: %[[FIRST:.+]] = arith.addi %[[ACC]], %[[D]]
// CHECK: %[[X:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// CHECK: %[[Y:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// CHECK: %[[XY:.+]] = arith.addi %[[X]], %[[Y]] : vector<16xi16>
// CHECK: %[[Z:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// CHECK: %[[XYZ:.+]] = arith.addi %[[XY]], %[[Z]] : vector<16xi16>
// CHECK: %[[WIDE:.+]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[XYZ]],
// CHECK: %[[LAST:.+]] = arith.addi %[[FIRST]], %[[WIDE]]
// CHECK: return %[[LAST]]
func.func @chain(%acc: vector<8xi32>, %a: vector<8xi32>, %w: i32) -> vector<8xi32> {
  %0 = hetprec.mac %acc, %a, %w level = 8 {pair_bound = 8928 : i64} : vector<8xi32>, vector<8xi32>, i32
  %1 = hetprec.mac %0, %a, %w level = 8 {pair_bound = 8928 : i64} : vector<8xi32>, vector<8xi32>, i32
  %2 = hetprec.mac %1, %a, %w level = 8 {pair_bound = 8928 : i64} : vector<8xi32>, vector<8xi32>, i32
  %3 = hetprec.mac %2, %a, %w level = 8 {pair_bound = 8928 : i64} : vector<8xi32>, vector<8xi32>, i32
  return %3 : vector<8xi32>
}

// A sum that something else reads is not part of a chain. What may be larger
// than 16 bits is as any bytes.
// CHECK-LABEL: @no_chain
// CHECK-COUNT-2: pmadd.ub.sw
// CHECK: pmadd.wd
// CHECK-NOT: pmadd.ub
func.func @no_chain(%acc: vector<8xi32>, %a: vector<8xi32>, %w: i32) -> (vector<8xi32>, vector<8xi32>, vector<8xi32>) {
  %0 = hetprec.mac %acc, %a, %w level = 8 {pair_bound = 450 : i64} : vector<8xi32>, vector<8xi32>, i32
  %1 = hetprec.mac %0, %a, %w level = 8 {pair_bound = 450 : i64} : vector<8xi32>, vector<8xi32>, i32
  %2 = hetprec.mac %acc, %a, %w level = 8 {pair_bound = 40000 : i64} : vector<8xi32>, vector<8xi32>, i32
  return %0, %1, %2 : vector<8xi32>, vector<8xi32>, vector<8xi32>
}

// -----

// What has no lowering of its own: as for any target.
// CHECK-LABEL: @others
// CHECK-NOT: call_intrinsic
// CHECK: arith.minsi
func.func @others(%a: vector<16xi32>, %b: vector<16xi32>, %c: vector<8xi8>, %w: i8) -> (vector<32xi16>, vector<8xi8>) {
  %0 = hetprec.narrow_lanes %a, %b : vector<16xi32> -> vector<32xi16>
  %1 = hetprec.mac %c, %c, %w level = 1 : vector<8xi8>, vector<8xi8>, i8
  return %0, %1 : vector<32xi16>, vector<8xi8>
}
