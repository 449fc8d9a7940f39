/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a program, its way into Linux, and a look at its stack, for qemu-riscv32. */
    .globl _start, system_call, stack_paint, stack_used
    .set PAINT, -1366

_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    call main
    call _exit
system_call:
    mv a7, a0
    mv a0, a1
    mv a1, a2
    mv a2, a3
    mv a3, a4
    mv a4, a5
    li a5, 0
    ecall
    ret
stack_paint:
    sub t0, sp, a0
    li t1, PAINT
1:
    bgeu t0, sp, 2f
    sw t1, 0(t0)
    addi t0, t0, 4
    j 1b
2:
    ret
stack_used:
    sub t0, sp, a0
    li t1, PAINT
1:
    bgeu t0, sp, 2f
    lw t2, 0(t0)
    bne t2, t1, 2f
    addi t0, t0, 4
    j 1b
2:
    sub a0, sp, t0
    ret
