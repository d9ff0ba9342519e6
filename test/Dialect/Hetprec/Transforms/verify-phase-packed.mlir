// RUN: sysmol-opt %s --hetprec-verify-phase=phase=packed --split-input-file --verify-diagnostics

#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @good(%x: tensor<1x3x4x4xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  %p = hetprec.pack_lanes %x : tensor<1x3x4x4xi8> outs(%init : tensor<1x64xi8>)
    {channels = array<i64: 0, 1, 2>, layout = #lanes, level = 2 : i64} -> tensor<1x64xi8>
  return %p : tensor<1x64xi8>
}

// -----

#carrier = #hetprec.carrier<delta = 0.5>
func.func @model_op(%x: tensor<1x2xi16, #carrier>) -> tensor<1x2xi16, #carrier> {
  // expected-error @+1 {{'hetprec.add' op contract of phase packed: no model op may be left}}
  %r = hetprec.add %x, %x : tensor<1x2xi16, #carrier>
  return %r : tensor<1x2xi16, #carrier>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @encoding(%x: tensor<1x2xi8, #act>) -> tensor<1x2xi8, #act> {
  // expected-error @+1 {{contract of phase packed: no encoding may be left}}
  return %x : tensor<1x2xi8, #act>
}
