/* Decrypts what the Python library eventsourcing encrypted: AES-GCM with a key of 16, 24 or 32 bytes; what is
 * stored is nonce (12 bytes), tag (16), ciphertext.
 *
 * The key comes from the environment, in base64, so that it stands on no command line. It is in no
 * message, and is wiped when the cipher is freed. Without libcrypto rf_cipher_new says that this build
 * cannot decrypt. Confined to one thread.
 */
#ifndef RF_SOURCE_CIPHER_H
#define RF_SOURCE_CIPHER_H

#include "base/bytes.h"

typedef struct rf_cipher rf_cipher;

/* `variable`: the name of the environment's variable. RF_ERR_USAGE where it has no such key. */
rf_status rf_cipher_new(const char *variable, rf_cipher **cipher_out, rf_err *err);
void rf_cipher_free(rf_cipher *cipher); /* takes NULL */
/* Appends the plain text to `out`. RF_ERR_INPUT where key and tag do not fit. */
rf_status rf_cipher_decrypt(rf_cipher *cipher, rf_slice sealed, rf_buf *out, rf_err *err);

#endif
