/* SPDX-License-Identifier: Apache-2.0 */
#include "stack.h"

void stack_paint(size_t n)
{
    (void)n;
}

size_t stack_used(size_t n)
{
    (void)n;
    return 0;
}
