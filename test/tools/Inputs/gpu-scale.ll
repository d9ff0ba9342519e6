; out[i] = in[i] * factor, a thread each.
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()

define ptx_kernel void @scale(ptr addrspace(1) %in, ptr addrspace(1) %out, i32 %factor) {
  %i = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %p = getelementptr i32, ptr addrspace(1) %in, i32 %i
  %q = getelementptr i32, ptr addrspace(1) %out, i32 %i
  %x = load i32, ptr addrspace(1) %p, align 4
  %y = mul i32 %x, %factor
  store i32 %y, ptr addrspace(1) %q, align 4
  ret void
}
