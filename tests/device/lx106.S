/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a program, its way into Linux, and a look at its stack, for qemu-xtensa: the
 * number of a system call is in a2, what it is told in a6, a3, a4, a5, a8 and a9. */
    .globl _start, system_call, stack_paint, stack_used
    .set PAINT, -1366

    .text
    .literal_position
_start:
    call0 main
    call0 _exit
    .align 4
system_call:
    mov a8, a7
    mov a7, a6
    mov a6, a3
    mov a3, a4
    mov a4, a5
    mov a5, a7
    movi a9, 0
    syscall
    ret
    .align 4
stack_paint:
    sub a3, a1, a2
    movi a4, PAINT
1:
    bgeu a3, a1, 2f
    s32i a4, a3, 0
    addi a3, a3, 4
    j 1b
2:
    ret
    .align 4
stack_used:
    sub a3, a1, a2
    movi a4, PAINT
1:
    bgeu a3, a1, 2f
    l32i a5, a3, 0
    bne a5, a4, 2f
    addi a3, a3, 4
    j 1b
2:
    sub a2, a1, a3
    ret
