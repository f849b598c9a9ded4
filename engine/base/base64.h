/* Base64 (RFC 4648, the alphabet with + and /, padding due) to bytes. Pure. */
#ifndef RF_BASE_BASE64_H
#define RF_BASE_BASE64_H

#include "base/bytes.h"

/* Appends what `text` stands for; false where it is no base64, and then nothing was appended. */
bool rf_base64_decode(rf_slice text, rf_buf *out);

#endif
