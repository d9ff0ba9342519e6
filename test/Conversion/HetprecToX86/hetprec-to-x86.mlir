// RUN: sysmol-opt %s --convert-hetprec-to-x86 --split-input-file | FileCheck %s

// Rows 0 to 3 of the table: the first code 0, 1, 2 or 3 times the first code of
// the lanes (the low two bits of the column).
// CHECK: memref.global "private" constant @__hetprec_products_2x2x3 : memref<64x64xi8> =
// CHECK-SAME: dense<"0x{{((00){64}(00010203){16}(00020406){16}(00030609){16})}}
// CHECK-SAME: alignment = 64

// One VPERMB looks up three products in each lane.
// CHECK-LABEL: @two
// CHECK-SAME: %[[ACC:.+]]: vector<64xi8>, %[[A:.+]]: vector<64xi8>, %[[W:.+]]: i8
// CHECK-DAG: %[[TABLE:.+]] = memref.get_global @__hetprec_products_2x2x3
// CHECK-DAG: %[[ROW:.+]] = arith.index_castui %[[W]] : i8 to index
// CHECK: %[[PRODUCTS:.+]] = vector.load %[[TABLE]][%[[ROW]], %c0] : memref<64x64xi8>, vector<64xi8>
// CHECK: %[[SUMS:.+]] = llvm.call_intrinsic "llvm.x86.avx512.permvar.qi.512"(%[[PRODUCTS]], %[[A]])
// CHECK: arith.addi %[[ACC]], %[[SUMS]] : vector<64xi8>
func.func @two(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// One table for all.
// CHECK-LABEL: @two_again
// CHECK-NOT: memref.global
// CHECK: get_global @__hetprec_products_2x2x3
func.func @two_again(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

// Codes that count from 1 have tables of their own: row 0 (codes 0, 0, 0) gives
// 9 - a - b - c, row 1 (1, 0, 0) leaves out the first, row 2 adds it. Where lanes
// count from 1, entries 0 to 3 of rows 0 and 1 are 9, 6, 6, 6 and 8, 6, 7, 8.
// CHECK: memref.global "private" constant @__hetprec_products_2x2x3_centred_lanes : memref<64x64xi8> =
// CHECK-SAME: dense<"0x09060606{{([0-9A-F]{120})}}08060708
// CHECK: memref.global "private" constant @__hetprec_products_2x2x3_centred_row : memref<64x64xi8> =
// CHECK-SAME: dense<"0x0908070608070605{{([0-9A-F]{112})}}0606060605050505{{([0-9A-F]{112})}}0607080905060708
// CHECK-NOT: memref.global
// CHECK-LABEL: @centred
// CHECK-SAME: %[[ACC:.+]]: vector<64xi8>, %[[A:.+]]: vector<64xi8>, %[[W:.+]]: i8
// CHECK: memref.get_global @__hetprec_products_2x2x3_centred_row
// CHECK: memref.get_global @__hetprec_products_2x2x3_centred_lanes
func.func @centred(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 {centred = #hetprec.centred<row>} : vector<64xi8>, vector<64xi8>, i8
  %t = hetprec.mac %s, %a, %w level = 2 {centred = #hetprec.centred<lanes>} : vector<64xi8>, vector<64xi8>, i8
  return %t : vector<64xi8>
}

// -----

// No table without a 2-bit mac.
// CHECK-NOT: memref.global

// One bit: what is right for any target is best here, too.
// CHECK-LABEL: @one
// CHECK: arith.andi
// CHECK: math.ctpop
// CHECK-NOT: call_intrinsic
func.func @one(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 1 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Unsigned lanes, signed rows: in this order.
// CHECK-LABEL: @eight
// CHECK-SAME: %[[ACC:.+]]: vector<16xi32>, %[[A:.+]]: vector<16xi32>, %[[W:.+]]: i32
// CHECK-DAG: %[[LANES:.+]] = vector.bitcast %[[A]] : vector<16xi32> to vector<64xi8>
// CHECK-DAG: %[[ALL:.+]] = vector.broadcast %[[W]] : i32 to vector<16xi32>
// CHECK-DAG: %[[ROW:.+]] = vector.bitcast %[[ALL]] : vector<16xi32> to vector<64xi8>
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%[[ACC]], %[[LANES]], %[[ROW]])
func.func @eight(%acc: vector<16xi32>, %a: vector<16xi32>, %w: i32) -> vector<16xi32> {
  %s = hetprec.mac %acc, %a, %w level = 8 : vector<16xi32>, vector<16xi32>, i32
  return %s : vector<16xi32>
}

// The first factor is the unsigned one: the row, where lanes are signed.
// CHECK-LABEL: @signed_lanes
// CHECK-SAME: %[[ACC:.+]]: vector<16xi32>, %[[A:.+]]: vector<16xi32>, %[[W:.+]]: i32
// CHECK-DAG: %[[LANES:.+]] = vector.bitcast %[[A]] : vector<16xi32> to vector<64xi8>
// CHECK-DAG: %[[ALL:.+]] = vector.broadcast %[[W]] : i32 to vector<16xi32>
// CHECK-DAG: %[[ROW:.+]] = vector.bitcast %[[ALL]] : vector<16xi32> to vector<64xi8>
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%[[ACC]], %[[ROW]], %[[LANES]])
func.func @signed_lanes(%acc: vector<16xi32>, %a: vector<16xi32>, %w: i32) -> vector<16xi32> {
  %s = hetprec.mac %acc, %a, %w level = 8 {signed_lanes} : vector<16xi32>, vector<16xi32>, i32
  return %s : vector<16xi32>
}

// Nibbles become bytes by PDEP.
// CHECK-LABEL: @four
// CHECK: %[[PLACES:.+]] = arith.constant 252645135 : i32
// CHECK: llvm.call_intrinsic "llvm.x86.bmi.pdep.32"(%{{.+}}, %[[PLACES]])
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
func.func @four(%acc: vector<16xi32>, %a: vector<16xi32>, %w: i16) -> vector<16xi32> {
  %s = hetprec.mac %acc, %a, %w level = 4 : vector<16xi32>, vector<16xi32>, i16
  return %s : vector<16xi32>
}

// Registers of another width: the generic lowering.
// CHECK-LABEL: @narrow
// CHECK-NOT: hetprec.mac
// CHECK-NOT: call_intrinsic
// CHECK: return
func.func @narrow(%acc: vector<8xi32>, %w: i32) -> vector<8xi32> {
  %s = hetprec.mac %acc, %acc, %w level = 8 : vector<8xi32>, vector<8xi32>, i32
  return %s : vector<8xi32>
}

// -----

// Narrowing clamps. Byte 4p + s of 128 bits is pixel p's code of slot s.
// CHECK-LABEL: @join8
// CHECK-SAME: %[[A:.+]]: vector<16xi32>, %[[B:.+]]: vector<16xi32>, %[[C:.+]]: vector<16xi32>, %[[D:.+]]: vector<16xi32>
// CHECK-DAG: %[[AB:.+]] = llvm.call_intrinsic "llvm.x86.avx512.packssdw.512"(%[[A]], %[[B]])
// CHECK-DAG: %[[CD:.+]] = llvm.call_intrinsic "llvm.x86.avx512.packssdw.512"(%[[C]], %[[D]])
// CHECK: %[[ALL:.+]] = llvm.call_intrinsic "llvm.x86.avx512.packuswb.512"(%[[AB]], %[[CD]])
// CHECK: vector.shuffle %[[ALL]], %[[ALL]] [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 16, 20,
func.func @join8(%a: vector<16xi32>, %b: vector<16xi32>, %c: vector<16xi32>, %d: vector<16xi32>) -> vector<16xi32> {
  %w = hetprec.join_codes %a, %b, %c, %d level = 8 : vector<16xi32> -> vector<16xi32>
  return %w : vector<16xi32>
}

// More words than a register has: one after the other, in order.
// CHECK-LABEL: @join8_twice
// CHECK-COUNT-4: vector.extract_strided_slice %{{.+}} {offsets = [0], sizes = [16], strides = [1]}
// CHECK-COUNT-2: llvm.x86.avx512.packssdw.512
// CHECK: %[[FIRST:.+]] = llvm.call_intrinsic "llvm.x86.avx512.packuswb.512"
// CHECK-COUNT-4: vector.extract_strided_slice %{{.+}} {offsets = [16], sizes = [16], strides = [1]}
// CHECK-COUNT-2: llvm.x86.avx512.packssdw.512
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.packuswb.512"
// CHECK-NOT: arith.trunci
// CHECK: return
func.func @join8_twice(%a: vector<32xi32>, %b: vector<32xi32>, %c: vector<32xi32>, %d: vector<32xi32>) -> vector<32xi32> {
  %w = hetprec.join_codes %a, %b, %c, %d level = 8 : vector<32xi32> -> vector<32xi32>
  return %w : vector<32xi32>
}

// Two registers' nibbles to one register of 16-bit words, four lanes of each in
// turn, which are put in order.
// CHECK-LABEL: @join4
// CHECK: %[[COUNTS:.+]] = arith.constant dense<[1, 16, 1, 16, 1, 16,
// CHECK: %[[MOST:.+]] = arith.constant dense<15> : vector<64xi8>
// CHECK: arith.minui %{{.+}}, %[[MOST]]
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.pmaddubs.w.512"(%{{.+}}, %[[COUNTS]])
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.pmaddubs.w.512"(%{{.+}}, %[[COUNTS]])
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.packuswb.512"
// CHECK: vector.shuffle %{{.+}}, %{{.+}} [0, 2, 4, 6, 1, 3, 5, 7] : vector<8xi64>
func.func @join4(%a: vector<32xi32>, %b: vector<32xi32>, %c: vector<32xi32>, %d: vector<32xi32>) -> vector<32xi16> {
  %w = hetprec.join_codes %a, %b, %c, %d level = 4 : vector<32xi32> -> vector<32xi16>
  return %w : vector<32xi16>
}

// Half a register of words: the generic lowering.
// CHECK-LABEL: @join4_narrow
// CHECK-NOT: call_intrinsic
// CHECK: arith.trunci
func.func @join4_narrow(%a: vector<16xi32>) -> vector<16xi16> {
  %w = hetprec.join_codes %a, %a, %a, %a level = 4 : vector<16xi32> -> vector<16xi16>
  return %w : vector<16xi16>
}

// VPACKSSDW gives four lanes of the one, then four of the other, in each 128
// bits: lane 2 is its third, lane 4 its ninth, lane 16 its fifth.
// CHECK-LABEL: @narrow_lanes
// CHECK-SAME: %[[A:.+]]: vector<16xi32>, %[[B:.+]]: vector<16xi32>
// CHECK: %[[P:.+]] = llvm.call_intrinsic "llvm.x86.avx512.packssdw.512"(%[[A]], %[[B]])
// CHECK: vector.shuffle %[[P]], %[[P]] [0, 2, 8, 10, 16, 18, 24, 26, 4, 6, 12, 14, 20, 22, 28, 30, 1, 3, 9,
func.func @narrow_lanes(%a: vector<16xi32>, %b: vector<16xi32>) -> vector<32xi16> {
  %w = hetprec.narrow_lanes %a, %b : vector<16xi32> -> vector<32xi16>
  return %w : vector<32xi16>
}

// -----

// Row 7 - i of the matrix gives bit i: bits 6 and 7 go to 0 and 1, to 2 and 3, to
// 4 and 5.
// CHECK-LABEL: @spare_word
// CHECK-SAME: %[[A:.+]]: vector<64xi8>, %[[B:.+]]: vector<64xi8>, %[[C:.+]]: vector<64xi8>
// CHECK-DAG: %[[NONE:.+]] = arith.constant 0 : i8
// CHECK-DAG: %[[TO0:.+]] = arith.constant dense<[0, 0, 0, 0, 0, 0, -128, 64, 0, 0, 0, 0, 0, 0, -128, 64, {{.+}}> : vector<64xi8>
// CHECK: %[[X:.+]] = llvm.call_intrinsic "llvm.x86.vgf2p8affineqb.512"(%[[A]], %[[TO0]], %[[NONE]])
// CHECK: %[[TO2:.+]] = arith.constant dense<[0, 0, 0, 0, -128, 64, 0, 0, 0, 0, 0, 0, -128, 64, {{.+}}> : vector<64xi8>
// CHECK: %[[Y:.+]] = llvm.call_intrinsic "llvm.x86.vgf2p8affineqb.512"(%[[B]], %[[TO2]], %[[NONE]])
// CHECK: %[[XY:.+]] = arith.ori %[[X]], %[[Y]]
// CHECK: %[[TO4:.+]] = arith.constant dense<[0, 0, -128, 64, 0, 0, 0, 0, 0, 0, -128, 64, {{.+}}> : vector<64xi8>
// CHECK: %[[Z:.+]] = llvm.call_intrinsic "llvm.x86.vgf2p8affineqb.512"(%[[C]], %[[TO4]], %[[NONE]])
// CHECK: %[[W:.+]] = arith.ori %[[XY]], %[[Z]]
// CHECK: return %[[W]]
func.func @spare_word(%a: vector<64xi8>, %b: vector<64xi8>, %c: vector<64xi8>) -> vector<64xi8> {
  %w = hetprec.spare_word %a, %b, %c : vector<64xi8>
  return %w : vector<64xi8>
}

// -----

// Half a register: the shifts that any machine has.
// CHECK-LABEL: @narrow_spare_word
// CHECK-NOT: gf2p8
// CHECK: arith.shrui %{{.+}}, %{{.+}} : vector<16xi16>
// CHECK-NOT: gf2p8
// CHECK: return
func.func @narrow_spare_word(%a: vector<32xi8>, %b: vector<32xi8>, %c: vector<32xi8>) -> vector<32xi8> {
  %w = hetprec.spare_word %a, %b, %c : vector<32xi8>
  return %w : vector<32xi8>
}
