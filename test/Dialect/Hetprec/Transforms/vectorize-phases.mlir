// Rows to phases and to bytes.
// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// Stride 2, padded by one at the top and the left: the phases (0, 0), (0, 1),
// (1, 0) and (1, 1) of 4 x 5 pixels, all in one loop over rows. The first row of
// phases 0 and 1 and the first column of phase 0 are padding: a row clears what
// lies between it and the next one, the first also what is before it, the last
// what is behind.
// CHECK-LABEL: @split
// CHECK-SAME: %[[P:.+]]: memref<1x128xi8>, %[[Q:.+]]: memref<4x64xi8>
// CHECK: scf.for %[[Y:.+]] = %c0 to %c3
// CHECK: %[[LATER:.+]] = arith.cmpi uge, %[[Y]], %c1
// CHECK: scf.if %[[LATER]]
// CHECK: vector.shuffle {{.+}} [0, 3] : vector<2xi8>
// CHECK: vector.store %{{.+}}, %[[Q]][%c0, %{{.+}}] : memref<4x64xi8>, vector<2xi8>
// CHECK: %[[FIRST:.+]] = arith.cmpi eq, %[[Y]], %c1
// CHECK-NEXT: scf.if %[[FIRST]]
// CHECK-NEXT: vector.store %{{.+}}, %[[Q]][%c0, %c0] : memref<4x64xi8>, vector<4xi8>
// CHECK: %[[LAST:.+]] = arith.cmpi eq, %[[Y]], %c2
// CHECK-NEXT: scf.if %[[LAST]]
// CHECK-COUNT-2: vector.store %{{.+}}, %[[Q]][%c0, %{{.+}}] : memref<4x64xi8>, vector<32xi8>
// CHECK: } else {
// CHECK-NEXT: vector.store %{{.+}}, %[[Q]][%c0, %{{.+}}] : memref<4x64xi8>, vector<1xi8>
// CHECK: scf.if %[[LATER]]
// CHECK: vector.store %{{.+}}, %[[Q]][%c1,
// CHECK: %[[EARLIER:.+]] = arith.cmpi ult, %[[Y]], %c2
// CHECK: scf.if %[[EARLIER]]
// CHECK: vector.store %{{.+}}, %[[Q]][%c2,
// CHECK: scf.if %[[EARLIER]]
// CHECK: vector.store %{{.+}}, %[[Q]][%c3,
// CHECK: hetprec.parallel
// CHECK: return
#from = #hetprec.lanes<1 x 4 x 5, row_stride = 6, image_stride = 30, base = 64, size = 128>
#to = #hetprec.lanes<1 x 3 x 3, row_stride = 3, image_stride = 9, base = 0, size = 64>
func.func @split(%p: memref<1x128xi8>, %q: memref<4x64xi8>) {
  hetprec.split_phases %p : memref<1x128xi8> outs(%q : memref<4x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 0, 0>, phases = array<i64: 0, 1, 2, 3>, from = #from, to = #to}
  return
}

// Rows of 11 words: eight of 16 read, and the last eight. The second load begins
// with the first one's last lane. Rows lie on end, with nothing in between.
// CHECK-LABEL: @split_rows
// CHECK: scf.for %[[G:.+]] = %c0 to %c2
// CHECK: %[[A:.+]] = vector.load %{{.+}}[%[[G]], %{{.+}}] : memref<2x192xi32>, vector<8xi32>
// CHECK: %[[B:.+]] = vector.load %{{.+}}[%[[G]], %{{.+}}] : memref<2x192xi32>, vector<8xi32>
// CHECK: %[[S:.+]] = vector.shuffle %[[A]], %[[B]] [0, 2, 4, 6, 9, 11, 13, 15]
// CHECK: vector.store %[[S]]
// CHECK: vector.load
// CHECK: vector.load
// CHECK: vector.shuffle
// CHECK: vector.store
// CHECK-NEXT: arith.addi
// CHECK-NEXT: arith.cmpi eq
// CHECK-NEXT: scf.if
// CHECK-NOT: else
// CHECK: return
#from_rows = #hetprec.lanes<1 x 4 x 22, row_stride = 22, image_stride = 88, base = 64, size = 192>
#to_rows = #hetprec.lanes<1 x 2 x 11, row_stride = 11, image_stride = 22, base = 0, size = 64>
func.func @split_rows(%p: memref<2x192xi32>, %q: memref<2x64xi32>) {
  hetprec.split_phases %p : memref<2x192xi32> outs(%q : memref<2x64xi32>)
    {strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #from_rows, to = #to_rows}
  return
}

// A phase that no tap reads is not made: phase 2 alone is one plane.
// CHECK-LABEL: @one_phase
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-NOT: arith.cmpi u
// CHECK: vector.store %{{.+}}, %{{.+}}[%c0,
// CHECK-NOT: vector.store %{{.+}}, %{{.+}}[%c1,
// CHECK: return
func.func @one_phase(%p: memref<1x128xi8>, %q: memref<1x64xi8>) {
  hetprec.split_phases %p : memref<1x128xi8> outs(%q : memref<1x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 0, 0>, phases = array<i64: 2>, from = #from, to = #to}
  return
}

// Every third lane is loaded by itself; no more than four are written out.
// CHECK-LABEL: @split_three
// CHECK-COUNT-4: vector.load %{{.+}} : memref<1x192xi8>, vector<1xi8>
// CHECK: vector.from_elements {{.+}} : vector<4xi8>
// CHECK: vector.store {{.+}} vector<4xi8>
// CHECK: return
func.func @split_three(%p: memref<1x192xi8>, %q: memref<1x64xi8>) {
  hetprec.split_phases %p : memref<1x192xi8> outs(%q : memref<1x64xi8>)
    {strides = array<i64: 3, 3>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #from_rows,
     to = #hetprec.lanes<1 x 2 x 8, row_stride = 8, image_stride = 16, base = 0, size = 64>}
  return
}

// Two 2-bit words of two blocks: three slots of the first, one of the second.
// Shifts of pairs, as no code crosses a byte.
// CHECK-LABEL: @spread_two
// CHECK-SAME: %[[P:.+]]: memref<2x128xi8>, %[[Q:.+]]: memref<6x128xi8>
// CHECK-DAG: %[[MASK:.+]] = arith.constant dense<771> : vector<32xi16>
// CHECK-DAG: %[[BY:.+]] = arith.constant dense<2> : vector<32xi16>
// CHECK: scf.for %[[BLOCK:.+]] = %c0 to %c2
// CHECK: %[[X:.+]] = vector.load %[[P]]
// CHECK: %[[PAIRS:.+]] = vector.bitcast %[[X]] : vector<64xi8> to vector<32xi16>
// CHECK: %[[A:.+]] = arith.andi %[[PAIRS]], %[[MASK]]
// CHECK: %[[S:.+]] = arith.shrui %[[PAIRS]], %[[BY]]
// CHECK: %[[B:.+]] = arith.andi %[[S]], %[[MASK]]
// CHECK-COUNT-3: vector.store {{.+}}, %[[Q]]
// CHECK: scf.for
// CHECK: vector.store {{.+}}, %[[Q]]
// CHECK-NOT: vector.store
// CHECK: return
func.func @spread_two(%p: memref<2x128xi8>, %q: memref<6x128xi8>) {
  hetprec.spread_lanes %p : memref<2x128xi8> outs(%q : memref<6x128xi8>) {level = 2, first = 1, channels = 4}
  return
}

// Bytes of 32-bit words come every fourth: bytes 0 and 1 of two registers, and of
// two others, whose halves are byte 0 of all and byte 1 of all.
// CHECK-LABEL: @spread_eight
// CHECK-COUNT-4: vector.load {{.+}} vector<16xi32>
// CHECK: %[[LOW:.+]] = vector.shuffle %{{.+}} [0, 4, 8, 12, {{.+}} 120, 124, 1, 5, 9,
// CHECK: %[[HIGH:.+]] = vector.shuffle %{{.+}} [0, 4, 8, 12, {{.+}} 120, 124, 1, 5, 9,
// CHECK: vector.shuffle %[[LOW]], %[[HIGH]] [0, 1, {{.+}} 30, 31, 64, 65,
// CHECK: vector.shuffle %[[LOW]], %[[HIGH]] [32, 33, {{.+}} 62, 63, 96, 97,
// CHECK: vector.shuffle %{{.+}} [2, 6, 10, {{.+}} 122, 126, 3, 7,
// CHECK-COUNT-3: vector.store
// CHECK-NOT: vector.store
// CHECK: return
func.func @spread_eight(%p: memref<1x64xi32>, %q: memref<3x64xi8>) {
  hetprec.spread_lanes %p : memref<1x64xi32> outs(%q : memref<3x64xi8>) {level = 8, first = 0, channels = 3}
  return
}

// Rows of 80 pixels of two images go to two phases: 64, and the last 64. Of three
// slots each; the second image's first row comes behind the first one's border.
// CHECK-LABEL: @spread_rows
// CHECK-SAME: %[[P:.+]]: memref<1x512xi16>, %[[Q:.+]]: memref<6x448xi8>
// CHECK: scf.for %[[N:.+]] = %c0 to %c2
// CHECK: scf.for %[[Y:.+]] = %c0 to %c2
// CHECK: arith.cmpi uge, %[[Y]], %c1
// CHECK: vector.load %[[P]]{{.+}} vector<64xi16>
// CHECK: vector.store %{{.+}}, %[[Q]][%c0, %{{.+}} vector<64xi8>
// CHECK: vector.store %{{.+}}, %[[Q]][%c1, %{{.+}} vector<64xi8>
// CHECK: vector.store %{{.+}}, %[[Q]][%c2, %{{.+}} vector<64xi8>
// CHECK: vector.load %[[P]]{{.+}} vector<64xi16>
// CHECK-COUNT-3: vector.store %{{.+}}, %[[Q]]{{.+}} vector<64xi8>
// CHECK: arith.cmpi eq, %[[N]], %c0
// CHECK: arith.cmpi eq, %[[N]], %c1
// CHECK: vector.store %{{.+}}, %[[Q]][%c3, %{{.+}} vector<64xi8>
// CHECK: return
#wide = #hetprec.lanes<2 x 3 x 80, row_stride = 80, image_stride = 240, base = 0, size = 512>
#rows = #hetprec.lanes<2 x 2 x 82, row_stride = 82, image_stride = 164, base = 64, size = 448>
func.func @spread_rows(%p: memref<1x512xi16>, %q: memref<6x448xi8>) {
  hetprec.spread_lanes %p : memref<1x512xi16> outs(%q : memref<6x448xi8>)
    {level = 4, first = 0, channels = 3, row_phases = array<i64: 0, 1>, stride = 2, pads = array<i64: 1, 1>, from = #wide, to = #rows}
  return
}

// Of more than 16 phases loops run over those that have as many rows and columns:
// two or one here.
// CHECK-LABEL: @many
// CHECK: scf.for %[[Y:.+]] = %c0 to %c2
// CHECK: scf.for %[[ROW:[^ ]+]] = %c0 to %c2
// CHECK: scf.for %[[COLUMN:[^ ]+]] = %c0 to %c3
// CHECK: %[[ROWS:.+]] = arith.muli %[[ROW]], %c5
// CHECK: %[[PHASE:.+]] = arith.addi %[[ROWS]], %[[COLUMN]]
// CHECK: vector.store %{{.+}}, %{{.+}}[%[[PHASE]],
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-NEXT: scf.for %{{.+}} = %c0 to %c2
// CHECK: scf.for %{{.+}} = %c0 to %c3
// CHECK-NEXT: scf.for %{{.+}} = %c0 to %c3
// CHECK: scf.for %{{.+}} = %c0 to %c3
// CHECK-NEXT: scf.for %{{.+}} = %c0 to %c2
// CHECK: vector.load
// CHECK-NOT: vector.load
// CHECK: return
#from_many = #hetprec.lanes<1 x 7 x 8, row_stride = 8, image_stride = 56, base = 0, size = 64>
#to_many = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>
func.func @many(%p: memref<1x64xi8>, %q: memref<25x64xi8>) {
  hetprec.split_phases %p : memref<1x64xi8> outs(%q : memref<25x64xi8>)
    {strides = array<i64: 5, 5>, pads = array<i64: 0, 0, 0, 0>,
     phases = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24>,
     from = #from_many, to = #to_many}
  return
}
