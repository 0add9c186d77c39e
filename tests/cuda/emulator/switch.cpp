// The context switch of the block emulator.
#if defined(__x86_64__)
asm(R"(
.text
.globl r4d_emulator_switch
.hidden r4d_emulator_switch
.type r4d_emulator_switch, @function
r4d_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size r4d_emulator_switch, .-r4d_emulator_switch
.section .note.GNU-stack,"",@progbits
)");
#else
#error "the block emulator's context switch is written for x86-64"
#endif
