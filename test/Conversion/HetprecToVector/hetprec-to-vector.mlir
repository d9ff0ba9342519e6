// RUN: sysmol-opt %s --convert-hetprec-to-vector | FileCheck %s
// Words of constants fold to sums that can be checked by hand.
// RUN: sysmol-opt %s --convert-hetprec-to-vector --canonicalize | FileCheck %s --check-prefix=FOLDED

// AND and a population count.
// CHECK-LABEL: @one
// CHECK-SAME: %[[ACC:.+]]: vector<64xi8>, %[[A:.+]]: vector<64xi8>, %[[W:.+]]: i8
// CHECK-NEXT: %[[B:.+]] = vector.broadcast %[[W]] : i8 to vector<64xi8>
// CHECK-NEXT: %[[P:.+]] = arith.andi %[[A]], %[[B]] : vector<64xi8>
// CHECK-NEXT: %[[N:.+]] = math.ctpop %[[P]] : vector<64xi8>
// CHECK-NEXT: %[[S:.+]] = arith.addi %[[ACC]], %[[N]] : vector<64xi8>
// CHECK-NEXT: return %[[S]]
func.func @one(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 1 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Any number of lanes; plain arith and vector only.
// CHECK-LABEL: @few_lanes
// CHECK-NOT: hetprec.mac
// CHECK-NOT: llvm
// CHECK: return
func.func @few_lanes(%acc: vector<8xi8>, %a: vector<8xi8>, %w: i8, %c: vector<4xi32>, %v: i32, %u: i16) -> (vector<8xi8>, vector<4xi32>, vector<4xi32>) {
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<8xi8>, vector<8xi8>, i8
  %t = hetprec.mac %c, %c, %v level = 8 : vector<4xi32>, vector<4xi32>, i32
  %r = hetprec.mac %c, %c, %u level = 4 : vector<4xi32>, vector<4xi32>, i16
  return %s, %t, %r : vector<8xi8>, vector<4xi32>, vector<4xi32>
}

// 0b10110111 and 0b11010101 share four ones; 3 + 4.
// FOLDED-LABEL: @level1
// FOLDED-NEXT: arith.constant dense<7> : vector<64xi8>
func.func @level1() -> vector<64xi8> {
  %acc = arith.constant dense<3> : vector<64xi8>
  %a = arith.constant dense<0xB7> : vector<64xi8>
  %w = arith.constant 0xD5 : i8
  %s = hetprec.mac %acc, %a, %w level = 1 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Codes 3, 1, 2 times 1, 2, 3: 100 + 3 + 2 + 6.
// FOLDED-LABEL: @level2
// FOLDED-NEXT: arith.constant dense<111> : vector<64xi8>
func.func @level2() -> vector<64xi8> {
  %acc = arith.constant dense<100> : vector<64xi8>
  %a = arith.constant dense<0x27> : vector<64xi8>
  %w = arith.constant 0x39 : i8
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Codes 3, 0, 2 of the row count from 1: 2 * 1 + (3 - 2) + 1 * 3. Bits 6 and 7
// of lanes mean nothing.
// FOLDED-LABEL: @level2_centred_row
// FOLDED-NEXT: arith.constant dense<106> : vector<64xi8>
func.func @level2_centred_row() -> vector<64xi8> {
  %acc = arith.constant dense<100> : vector<64xi8>
  %a = arith.constant dense<0xF9> : vector<64xi8>
  %w = arith.constant 0x23 : i8
  %s = hetprec.mac %acc, %a, %w level = 2 {centred = #hetprec.centred<row>} : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Codes 1, 2, 3 of the lanes do: 0 * 3 + 1 * 0 + 2 * 2.
// FOLDED-LABEL: @level2_centred_lanes
// FOLDED-NEXT: arith.constant dense<104> : vector<64xi8>
func.func @level2_centred_lanes() -> vector<64xi8> {
  %acc = arith.constant dense<100> : vector<64xi8>
  %a = arith.constant dense<0x39> : vector<64xi8>
  %w = arith.constant 0x23 : i8
  %s = hetprec.mac %acc, %a, %w level = 2 {centred = #hetprec.centred<lanes>} : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// The largest sum is 27.
// FOLDED-LABEL: @level2_largest
// FOLDED-NEXT: arith.constant dense<27> : vector<64xi8>
func.func @level2_largest() -> vector<64xi8> {
  %acc = arith.constant dense<0> : vector<64xi8>
  %a = arith.constant dense<0x3F> : vector<64xi8>
  %w = arith.constant 0x3F : i8
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// Bytes 1, 2, 3, 15 times nibbles 15, 4, 2, 9, two products at a time in 16 bits:
// 0x00030001 by 0x0002000F and 0x000F0002 by 0x00090004; the halves' sum.
// FOLDED-LABEL: @level4
// FOLDED-DAG: %[[ACC:.+]] = arith.constant dense<-1> : vector<16xi32>
// FOLDED-DAG: %[[CA0:.+]] = arith.constant dense<196609> : vector<16xi32>
// FOLDED-DAG: %[[CW0:.+]] = arith.constant dense<131087> : vector<16xi32>
// FOLDED-DAG: %[[CA1:.+]] = arith.constant dense<983042> : vector<16xi32>
// FOLDED-DAG: %[[CW1:.+]] = arith.constant dense<589828> : vector<16xi32>
// FOLDED: %[[A0:.+]] = vector.bitcast %[[CA0]] : vector<16xi32> to vector<32xi16>
// FOLDED: %[[W0:.+]] = vector.bitcast %[[CW0]] : vector<16xi32> to vector<32xi16>
// FOLDED: %[[P0:.+]] = arith.muli %[[A0]], %[[W0]]
// FOLDED: %[[A1:.+]] = vector.bitcast %[[CA1]] : vector<16xi32> to vector<32xi16>
// FOLDED: %[[W1:.+]] = vector.bitcast %[[CW1]] : vector<16xi32> to vector<32xi16>
// FOLDED: %[[P1:.+]] = arith.muli %[[A1]], %[[W1]]
// FOLDED: %[[P:.+]] = arith.addi %[[P0]], %[[P1]] : vector<32xi16>
// FOLDED: %[[BOTH:.+]] = vector.bitcast %[[P]] : vector<32xi16> to vector<16xi32>
// FOLDED-DAG: %[[EVEN:.+]] = arith.andi %[[BOTH]]
// FOLDED-DAG: %[[ODD:.+]] = arith.shrui %[[BOTH]]
// FOLDED: %[[SUM:.+]] = arith.addi %[[EVEN]], %[[ODD]]
// FOLDED: arith.addi %[[SUM]], %[[ACC]]
func.func @level4() -> vector<16xi32> {
  %acc = arith.constant dense<-1> : vector<16xi32>
  %a = arith.constant dense<0x0F030201> : vector<16xi32>
  %w = arith.constant 0x924F : i16
  %s = hetprec.mac %acc, %a, %w level = 4 : vector<16xi32>, vector<16xi32>, i16
  return %s : vector<16xi32>
}

// Unsigned bytes 255, 0, 128, 1 times signed bytes -1, 5, -127, 127:
// -255 + 0 - 16256 + 127.
// FOLDED-LABEL: @level8
// FOLDED-NEXT: arith.constant dense<-16384> : vector<16xi32>
func.func @level8() -> vector<16xi32> {
  %acc = arith.constant dense<0> : vector<16xi32>
  %a = arith.constant dense<0x018000FF> : vector<16xi32>
  %w = arith.constant 0x7F8105FF : i32
  %s = hetprec.mac %acc, %a, %w level = 8 : vector<16xi32>, vector<16xi32>, i32
  return %s : vector<16xi32>
}

// Signed bytes -1, 5, -127, 127 of lanes times unsigned ones of the row.
// FOLDED-LABEL: @level8_signed_lanes
// FOLDED-NEXT: arith.constant dense<-16384> : vector<16xi32>
func.func @level8_signed_lanes() -> vector<16xi32> {
  %acc = arith.constant dense<0> : vector<16xi32>
  %a = arith.constant dense<0x7F8105FF> : vector<16xi32>
  %w = arith.constant 0x018000FF : i32
  %s = hetprec.mac %acc, %a, %w level = 8 {signed_lanes} : vector<16xi32>, vector<16xi32>, i32
  return %s : vector<16xi32>
}

// Codes are clamped to their level: 0 of -1, 255, 255 of 256, 255.
// FOLDED-LABEL: @join8
// FOLDED-NEXT: arith.constant dense<-256> : vector<16xi32>
func.func @join8() -> vector<16xi32> {
  %a = arith.constant dense<-1> : vector<16xi32>
  %b = arith.constant dense<255> : vector<16xi32>
  %c = arith.constant dense<256> : vector<16xi32>
  %w = hetprec.join_codes %a, %b, %c, %b level = 8 : vector<16xi32> -> vector<16xi32>
  return %w : vector<16xi32>
}

// 15 of 16, 0 of -9, 7, 1.
// FOLDED-LABEL: @join4
// FOLDED-NEXT: arith.constant dense<5903> : vector<16xi16>
func.func @join4() -> vector<16xi16> {
  %a = arith.constant dense<16> : vector<16xi32>
  %b = arith.constant dense<-9> : vector<16xi32>
  %c = arith.constant dense<7> : vector<16xi32>
  %d = arith.constant dense<1> : vector<16xi32>
  %w = hetprec.join_codes %a, %b, %c, %d level = 4 : vector<16xi32> -> vector<16xi16>
  return %w : vector<16xi16>
}

// Even lanes first, saturated: 0, 2, 4, 6 of 40000, 1, 2, 3 and -40000, 5, 6, 7.
// FOLDED-LABEL: @narrow
// FOLDED-NEXT: arith.constant dense<[32767, 2, -32768, 6, 1, 3, 5, 7]> : vector<8xi16>
func.func @narrow() -> vector<8xi16> {
  %a = arith.constant dense<[40000, 1, 2, 3]> : vector<4xi32>
  %b = arith.constant dense<[-40000, 5, 6, 7]> : vector<4xi32>
  %w = hetprec.narrow_lanes %a, %b : vector<4xi32> -> vector<8xi16>
  return %w : vector<8xi16>
}

// Bits 6 and 7 of each byte; what 16-bit shifts bring from the neighbour is
// masked: 771 is 0x0303.
// CHECK-LABEL: @spare
// CHECK-SAME: %[[A:.+]]: vector<8xi8>, %[[B:.+]]: vector<8xi8>, %[[C:.+]]: vector<8xi8>
// CHECK: %[[A16:.+]] = vector.bitcast %[[A]] : vector<8xi8> to vector<4xi16>
// CHECK: %[[BY6:.+]] = arith.constant dense<6> : vector<4xi16>
// CHECK: %[[X:.+]] = arith.shrui %[[A16]], %[[BY6]]
// CHECK: %[[LOW:.+]] = arith.constant dense<771> : vector<4xi16>
// CHECK: %[[X0:.+]] = arith.andi %[[X]], %[[LOW]]
// CHECK: %[[B16:.+]] = vector.bitcast %[[B]]
// CHECK: %[[BY4:.+]] = arith.constant dense<4> : vector<4xi16>
// CHECK: %[[Y:.+]] = arith.shrui %[[B16]], %[[BY4]]
// CHECK: %[[MIDDLE:.+]] = arith.constant dense<3084> : vector<4xi16>
// CHECK: %[[Y0:.+]] = arith.andi %[[Y]], %[[MIDDLE]]
// CHECK: %[[XY:.+]] = arith.ori %[[X0]], %[[Y0]]
// CHECK: %[[C16:.+]] = vector.bitcast %[[C]]
// CHECK: %[[BY2:.+]] = arith.constant dense<2> : vector<4xi16>
// CHECK: %[[Z:.+]] = arith.shrui %[[C16]], %[[BY2]]
// CHECK: %[[HIGH:.+]] = arith.constant dense<12336> : vector<4xi16>
// CHECK: %[[Z0:.+]] = arith.andi %[[Z]], %[[HIGH]]
// CHECK: %[[XYZ:.+]] = arith.ori %[[XY]], %[[Z0]]
// CHECK: %[[W:.+]] = vector.bitcast %[[XYZ]] : vector<4xi16> to vector<8xi8>
// CHECK: return %[[W]]
func.func @spare(%a: vector<8xi8>, %b: vector<8xi8>, %c: vector<8xi8>) -> vector<8xi8> {
  %w = hetprec.spare_word %a, %b, %c : vector<8xi8>
  return %w : vector<8xi8>
}
