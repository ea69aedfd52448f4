#include "base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// What a digit stands for, or -1.
static int digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

bool base64_decode(const char *text, char **bytes, size_t *length) {
    size_t digits = strlen(text);
    if (digits % 4 != 0) return false;
    size_t groups = digits / 4;
    size_t padding = 0;
    while (padding < 2 && digits > 0 && text[digits - 1] == '=') {
        digits -= 1;
        padding += 1;
    }
    char *decoded = malloc(groups * 3 + 1);
    if (decoded == NULL) abort();
    uint32_t bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = digit(text[i]);
        if (value < 0) {
            free(decoded);
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        // The first digit of a group of four completes no byte, each of the others does.
        unsigned place = i % 4;
        if (place > 0) decoded[written++] = (char)(bits >> (6 - 2 * place));
    }
    *bytes = decoded;
    *length = written;
    return true;
}
