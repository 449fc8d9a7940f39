/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a program, its way into Linux, and a look at its stack, for qemu-arm. */
    .syntax unified
    .thumb
    .globl _start, system_call, stack_paint, stack_used
    .type _start, %function
    .type system_call, %function
    .type stack_paint, %function
    .type stack_used, %function
    .set PAINT, 1365 /* of a word: its complement */

_start:
    bl main
    bl _exit
system_call:
    push {r4, r5, r7, lr}
    movs r7, r0
    movs r0, r1
    movs r1, r2
    movs r2, r3
    ldr r3, [sp, 16]
    ldr r4, [sp, 20]
    movs r5, 0
    svc 0
    pop {r4, r5, r7, pc}
stack_paint:
    ldr r1, =PAINT
    mvns r1, r1
    mov r3, sp
    subs r2, r3, r0
1:
    cmp r2, r3
    bhs 2f
    str r1, [r2]
    adds r2, 4
    b 1b
2:
    bx lr
stack_used:
    ldr r1, =PAINT
    mvns r1, r1
    mov r3, sp
    subs r2, r3, r0
1:
    cmp r2, r3
    bhs 2f
    ldr r0, [r2]
    cmp r0, r1
    bne 2f
    adds r2, 4
    b 1b
2:
    subs r0, r3, r2
    bx lr
