// Codes and reals to words, a register at a time.
// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

#lanes = #hetprec.lanes<2 x 4 x 3, row_stride = 4, image_stride = 20, base = 64, size = 128>
#row = #hetprec.lanes<1 x 1 x 40, row_stride = 40, image_stride = 40, base = 0, size = 64>
#half = #hetprec.lanes<1 x 1 x 20, row_stride = 20, image_stride = 20, base = 0, size = 64>

// Rows of three pixels, two and the last two; a word's codes at 2 bits each, the
// missing one zero. HP24: bits outside a code's level are dropped.
// CHECK-LABEL: @pack
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x2x4x3xi8>, %[[P:[a-z0-9]+]]: memref<1x128xi8>
// CHECK-DAG: %[[THREE:.+]] = arith.constant dense<3> : vector<2xi8>
// CHECK-DAG: %[[TWO:.+]] = arith.constant dense<2> : vector<2xi8>
// CHECK: scf.for %[[N:.+]] = %c0 to %c2
// CHECK: scf.for %[[Y:.+]] = %c0 to %c4
// CHECK: %[[A:.+]] = vector.load %[[X]][%[[N]], %c1, %[[Y]], %c0]
// CHECK: %[[A2:.+]] = arith.andi %[[A]], %[[THREE]]
// CHECK: %[[B:.+]] = vector.load %[[X]][%[[N]], %c0, %[[Y]], %c0]
// CHECK: %[[B2:.+]] = arith.andi %[[B]], %[[THREE]]
// CHECK: %[[B3:.+]] = arith.shli %[[B2]], %[[TWO]]
// CHECK: %[[W:.+]] = arith.ori %[[A2]], %[[B3]]
// CHECK: vector.store %[[W]], %[[P]][%c0, %{{.+}}] : memref<1x128xi8>, vector<2xi8>
// CHECK: vector.load %[[X]][%[[N]], %c1, %[[Y]], %c1]
// CHECK: vector.store {{.+}} vector<2xi8>
// CHECK: return
func.func @pack(%x: memref<2x2x4x3xi8>, %p: memref<1x128xi8>) {
  hetprec.pack_lanes %x : memref<2x2x4x3xi8> outs(%p : memref<1x128xi8>)
    {channels = array<i64: 1, 0, -1>, layout = #lanes, level = 2 : i64}
  return
}

// The symmetric level is stored with 128 added.
// CHECK-LABEL: @pack_signed
// HP24: -128 from outside is -127.
// CHECK-DAG: %[[LEAST:.+]] = arith.constant dense<-127> : vector<2xi8>
// CHECK-DAG: %[[MOVE:.+]] = arith.constant dense<-128> : vector<2xi8>
// CHECK: %[[A:.+]] = arith.maxsi %{{.+}}, %[[LEAST]]
// CHECK: %[[B:.+]] = arith.xori %[[A]], %[[MOVE]]
// CHECK: arith.extui %[[B]] : vector<2xi8> to vector<2xi32>
// CHECK: return
func.func @pack_signed(%x: memref<2x1x4x3xi8>, %p: memref<1x128xi32>) {
  hetprec.pack_lanes %x : memref<2x1x4x3xi8> outs(%p : memref<1x128xi32>)
    {channels = array<i64: 0, -1, -1, -1>, is_signed = true, layout = #lanes, level = 8 : i64}
  return
}

// HP7: times the multiplier, clamped so that NaN is 0, rounded half to even by what
// has no fraction; the low bits are the code. Three slots of 16 words, twice and for
// the last 16; lines are asked for ahead.
// CHECK-LABEL: @reals
// CHECK-DAG: %[[MOST:.+]] = arith.constant dense<2.550000e+02> : vector<16xf32>
// CHECK-DAG: %[[LEAST:.+]] = arith.constant dense<0.000000e+00> : vector<16xf32>
// CHECK-DAG: %[[FAR:.+]] = arith.constant dense<0x4B400000> : vector<16xf32>
// CHECK-DAG: %[[BYTE:.+]] = arith.constant dense<255> : vector<16xi32>
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK: memref.prefetch
// CHECK: %[[X:.+]] = vector.load {{.+}} vector<16xf32>
// CHECK: %[[Y:.+]] = arith.mulf %[[X]], %[[MOST]]
// CHECK: %[[ABOVE:.+]] = arith.cmpf ogt, %[[Y]], %[[LEAST]]
// CHECK: %[[Z:.+]] = arith.select %[[ABOVE]], %[[Y]], %[[LEAST]]
// CHECK: %[[BELOW:.+]] = arith.cmpf olt, %[[Z]], %[[MOST]]
// CHECK: %[[C:.+]] = arith.select %[[BELOW]], %[[Z]], %[[MOST]]
// CHECK: %[[R:.+]] = arith.addf %[[C]], %[[FAR]]
// CHECK: %[[I:.+]] = arith.bitcast %[[R]]
// CHECK: arith.andi %[[I]], %[[BYTE]]
// CHECK-COUNT-2: arith.shli {{.+}} vector<16xi32>
// CHECK: vector.store {{.+}} vector<16xi32>
// CHECK: hetprec.parallel
// CHECK-COUNT-3: vector.load {{.+}} vector<16xf32>
// CHECK: vector.store {{.+}}[%c0, %c24]
// CHECK: vector.store {{.+}}[%c0, %c40]
// CHECK: vector.store {{.+}}[%c0, %c48]
// CHECK: return
func.func @reals(%x: memref<1x3x1x40xf32>, %p: memref<1x64xi32>) {
  hetprec.pack_lanes %x : memref<1x3x1x40xf32> outs(%p : memref<1x64xi32>)
    {channels = array<i64: 0, 1, 2, -1>, layout = #row, level = 8 : i64, multiplier = 255.0 : f32}
  return
}

// HP8: -2 to 1, rounded down; codes count from 0, in bytes at last.
// CHECK-LABEL: @midrise
// CHECK-DAG: arith.constant dense<-2.000000e+00> : vector<32xf32>
// CHECK-DAG: arith.constant dense<1.000000e+00> : vector<32xf32>
// CHECK-DAG: %[[LOW:.+]] = arith.constant dense<-2> : vector<32xi32>
// CHECK: %[[CUT:.+]] = arith.fptosi {{.+}} : vector<32xf32> to vector<32xi32>
// CHECK: %[[BACK:.+]] = arith.sitofp %[[CUT]]
// CHECK: arith.cmpf ogt, %[[BACK]],
// CHECK: %[[CODE:.+]] = arith.addi %[[CUT]],
// CHECK: arith.subi %[[CODE]], %[[LOW]]
// CHECK: arith.trunci {{.+}} : vector<32xi32> to vector<32xi8>
// CHECK: return
func.func @midrise(%x: memref<1x3x1x40xf32>, %p: memref<1x64xi8>) {
  hetprec.pack_lanes %x : memref<1x3x1x40xf32> outs(%p : memref<1x64xi8>)
    {channels = array<i64: 0, 1, 2>, is_signed = true, layout = #row, level = 2 : i64, multiplier = 2.0 : f32}
  return
}

// HP9: NaN is 0, and 128 is added.
// CHECK-LABEL: @symmetric
// CHECK-DAG: %[[ZERO:.+]] = arith.constant dense<0.000000e+00> : vector<16xf32>
// CHECK-DAG: arith.constant dense<-1.270000e+02> : vector<16xf32>
// CHECK-DAG: %[[MOVE:.+]] = arith.constant dense<128> : vector<16xi32>
// CHECK: %[[NUMBER:.+]] = arith.cmpf oeq, %[[X:.+]], %[[X]]
// CHECK: arith.select %[[NUMBER]], %[[X]], %[[ZERO]]
// CHECK: arith.addi {{.+}}, %[[MOVE]]
// CHECK: return
func.func @symmetric(%x: memref<1x1x1x40xf32>, %p: memref<1x64xi32>) {
  hetprec.pack_lanes %x : memref<1x1x1x40xf32> outs(%p : memref<1x64xi32>)
    {channels = array<i64: 0, -1, -1, -1>, is_signed = true, layout = #row, level = 8 : i64, multiplier = 64.0 : f32}
  return
}

// Even pixels to one plane and odd ones to the next: 16 of a row's 20, and the last
// 16.
// CHECK-LABEL: @phases
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<1x1x1x40xi8>, %[[P:[a-z0-9]+]]: memref<2x64xi32>
// CHECK: %[[A:.+]] = vector.load %[[X]][%c0, %c0, %c0, %c0]
// CHECK: %[[B:.+]] = vector.load %[[X]][%c0, %c0, %c0, %c15]
// CHECK: vector.shuffle %[[A]], %[[B]] [0, 2, 4,
// CHECK: vector.store {{.+}}, %[[P]][%c0, %c0]
// CHECK: vector.load %[[X]][%c0, %c0, %c0, %c8]
// CHECK: vector.store {{.+}}, %[[P]][%c0, %c4]
// CHECK: vector.load %[[X]][%c0, %c0, %c0, %c1]
// CHECK: vector.store {{.+}}, %[[P]][%c1, %c0]
// CHECK: return
func.func @phases(%x: memref<1x1x1x40xi8>, %p: memref<2x64xi32>) {
  hetprec.pack_lanes %x : memref<1x1x1x40xi8> outs(%p : memref<2x64xi32>)
    {channels = array<i64: 0, -1, -1, -1>, layout = #half, level = 8 : i64,
     strides = array<i64: 1, 2>, pads = array<i64: 0, 0>, phases = array<i64: 0, 1>}
  return
}

// Images of one pixel, one at a time.
// CHECK-LABEL: @rows
// CHECK: scf.for %[[N:.+]] = %c0 to %c2
// CHECK: vector.load %{{.+}}[%[[N]], %c0] : memref<2x2xi8>, vector<1xi8>
// CHECK: vector.load %{{.+}}[%[[N]], %c1] : memref<2x2xi8>, vector<1xi8>
// CHECK: vector.store {{.+}}[%c0, %[[N]]] : memref<1x64xi8>, vector<1xi8>
// CHECK: return
func.func @rows(%x: memref<2x2xi8>, %p: memref<1x64xi8>) {
  hetprec.pack_lanes %x : memref<2x2xi8> outs(%p : memref<1x64xi8>)
    {channels = array<i64: 0, 1, -1>, level = 2 : i64,
     layout = #hetprec.lanes<2 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 64>}
  return
}
