/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a program and its system calls, for qemu-riscv32. */
    .globl _start, read, write, _exit

_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    call main
_exit:
    li a7, 93
    ecall
read:
    li a7, 63
    ecall
    ret
write:
    li a7, 64
    ecall
    ret
