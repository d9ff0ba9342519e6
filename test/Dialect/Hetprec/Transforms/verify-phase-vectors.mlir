// RUN: sysmol-opt %s --hetprec-verify-phase=phase=vectors --split-input-file --verify-diagnostics

func.func @good(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @lane_op(%x: memref<1x3x4x4xi8>, %init: memref<1x64xi8>) {
  // expected-error @+1 {{'hetprec.pack_lanes' op contract of phase vectors: only mac may be left}}
  hetprec.pack_lanes %x : memref<1x3x4x4xi8> outs(%init : memref<1x64xi8>)
    {channels = array<i64: 0, 1, 2>, layout = #lanes, level = 2 : i64}
  return
}

// -----

#carrier = #hetprec.carrier<delta = 0.5>
func.func @model_op(%x: tensor<1x2xi16, #carrier>) -> tensor<1x2xi16, #carrier> {
  // expected-error @+1 {{'hetprec.add' op contract of phase vectors: only mac may be left}}
  %r = hetprec.add %x, %x : tensor<1x2xi16, #carrier>
  return %r : tensor<1x2xi16, #carrier>
}
