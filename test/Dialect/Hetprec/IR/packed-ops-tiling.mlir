// A last word that lacks rows can only be tiled alone.
// RUN: not sysmol-opt %s --transform-interpreter 2>&1 | FileCheck %s
// CHECK: error: {{.*}} the last word lacks rows: tile it alone

module attributes {transform.with_named_sequence} {
  func.func @words(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<3x64xi8>, %t: tensor<7x3xi16>, %mask: tensor<64xi8>) -> tensor<3x64xi8> {
    %r = hetprec.contract codes lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) thresholds(%t : tensor<7x3xi16>) mask(%mask : tensor<64xi8>) outs(%init : tensor<3x64xi8>)
      {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2, sum_bits = 16} -> tensor<3x64xi8>
    return %r : tensor<3x64xi8>
  }
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["hetprec.contract"]} in %module : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
