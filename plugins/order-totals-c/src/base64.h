// Standard base64 with padding, as events carry the bodies of messages.
#ifndef BASE64_H
#define BASE64_H

#include <stdbool.h>
#include <stddef.h>

// Decodes the text into a buffer of its own, which the caller frees. False when the text is not
// base64.
bool base64_decode(const char *text, char **bytes, size_t *length);

#endif
