/* See cipher.h: for builds without libcrypto. */
#include "source/cipher.h"

rf_status rf_cipher_new(const char *variable, rf_cipher **cipher_out, rf_err *err)
{
    (void)variable;
    *cipher_out = NULL;
    return rf_fail(err, RF_ERR_USAGE,
                   "--cipher-key-env: this build has no libcrypto, so it cannot decrypt");
}

void rf_cipher_free(rf_cipher *cipher)
{
    RF_ASSERT(!cipher);
}

rf_status rf_cipher_decrypt(rf_cipher *cipher, rf_slice sealed, rf_buf *out, rf_err *err)
{
    (void)cipher;
    (void)sealed;
    (void)out;
    return rf_fail(err, RF_ERR_USAGE, "this build has no libcrypto, so it cannot decrypt");
}
