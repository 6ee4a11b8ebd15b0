/* Decimals as whole numbers of 10^-16, 128 bits, little-endian: what NautilusTrader stores. */
#ifndef ORDERFLOW_FIXED_POINT_H
#define ORDERFLOW_FIXED_POINT_H

#include <math.h>
#include <stdint.h>

enum { FIXED_DECIMALS = 16, FIXED_BYTES = 16 };
#define EXACT_DOUBLES 9007199254740992.0 /* 2^53 */

static const double POWERS[FIXED_DECIMALS + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};

/* Return whether `decimals` decimals are enough to say what double this is. */
static inline int fixed_is_exact(double value, int decimals)
{
    double power = POWERS[decimals], units = nearbyint(value * power), whole;
    if (units < EXACT_DOUBLES)
        return units / power == value;
    whole = floor(value);
    return whole + nearbyint((value - whole) * power) / power == value;
}

/* Write a * b + c * d. */
static inline void fixed_write(
    uint64_t a, uint64_t b, uint64_t c, uint64_t d, unsigned char *out)
{
    uint64_t low = 0, high = 0;
    for (int pair = 0; pair < 2; pair++) {
        uint64_t x = pair ? c : a, y = pair ? d : b;
        uint64_t x0 = x & 0xffffffff, x1 = x >> 32, y0 = y & 0xffffffff, y1 = y >> 32;
        uint64_t middle = x1 * y0 + (x0 * y0 >> 32), other = x0 * y1 + (middle & 0xffffffff);
        uint64_t product = (other << 32) | (x0 * y0 & 0xffffffff);
        low += product;
        high += x1 * y1 + (middle >> 32) + (other >> 32) + (low < product);
    }
    for (int i = 0; i < 8; i++) {
        out[i] = (unsigned char)(low >> 8 * i);
        out[8 + i] = (unsigned char)(high >> 8 * i);
    }
}

/* Write a value that is finite, not negative and below 2^53 with at least `*decimals` decimals, or
   as many more as it takes. Return 0 where even the most do not say it exactly. */
static inline int fixed_put(double value, int *decimals, unsigned char *out)
{
    int exact;
    double power, units, whole;
    while (!(exact = fixed_is_exact(value, *decimals)) && *decimals < FIXED_DECIMALS)
        (*decimals)++;
    power = POWERS[*decimals];
    units = nearbyint(value * power);
    if (units < EXACT_DOUBLES) {
        fixed_write((uint64_t)units, (uint64_t)POWERS[FIXED_DECIMALS - *decimals], 0, 0, out);
    } else {
        whole = floor(value);
        fixed_write(
            (uint64_t)whole, (uint64_t)POWERS[FIXED_DECIMALS],
            (uint64_t)nearbyint((value - whole) * power),
            (uint64_t)POWERS[FIXED_DECIMALS - *decimals], out);
    }
    return exact;
}

#endif
