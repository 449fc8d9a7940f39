/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a program and its system calls, for qemu-arm. */
    .syntax unified
    .thumb
    .globl _start, read, write, _exit
    .type _start, %function
    .type read, %function
    .type write, %function
    .type _exit, %function

_start:
    bl main
_exit:
    movs r7, 1
    svc 0
read:
    push {r7, lr}
    movs r7, 3
    svc 0
    pop {r7, pc}
write:
    push {r7, lr}
    movs r7, 4
    svc 0
    pop {r7, pc}
