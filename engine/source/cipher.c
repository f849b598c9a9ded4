/* See cipher.h. */
#include "source/cipher.h"

#include "base/base64.h"
#include "base/library.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

/* libcrypto is loaded with the first key: it takes a process longer to start with than the rest. */
#define FUNCTIONS(F) \
    F(EVP_CIPHER_CTX_ctrl) \
    F(EVP_CIPHER_CTX_free) \
    F(EVP_CIPHER_CTX_new) \
    F(EVP_DecryptFinal_ex) \
    F(EVP_DecryptInit_ex) \
    F(EVP_DecryptUpdate) \
    F(EVP_aes_128_gcm) \
    F(EVP_aes_192_gcm) \
    F(EVP_aes_256_gcm) \
    F(OPENSSL_cleanse)

#define POINTER(name) __typeof__(name) *name##_;
#define NAME(name) #name,

static struct {
    FUNCTIONS(POINTER)
} functions; /* fixed after load */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static rf_err fault; /* of the load; fixed after it */

static void load(void)
{
    static const char *const names[] = {FUNCTIONS(NAME)};

    (void)rf_library_load("libcrypto.so.3", names, sizeof names / sizeof names[0], &functions,
                          &fault);
}

#define EVP_CIPHER_CTX_ctrl functions.EVP_CIPHER_CTX_ctrl_
#define EVP_CIPHER_CTX_free functions.EVP_CIPHER_CTX_free_
#define EVP_CIPHER_CTX_new functions.EVP_CIPHER_CTX_new_
#define EVP_DecryptFinal_ex functions.EVP_DecryptFinal_ex_
#define EVP_DecryptInit_ex functions.EVP_DecryptInit_ex_
#define EVP_DecryptUpdate functions.EVP_DecryptUpdate_
#define EVP_aes_128_gcm functions.EVP_aes_128_gcm_
#define EVP_aes_192_gcm functions.EVP_aes_192_gcm_
#define EVP_aes_256_gcm functions.EVP_aes_256_gcm_
#define OPENSSL_cleanse functions.OPENSSL_cleanse_

enum { NONCE_SIZE = 12, TAG_SIZE = 16, KEY_SIZE_MAX = 32 };

struct rf_cipher {
    EVP_CIPHER_CTX *context;
    const EVP_CIPHER *kind;
    unsigned char key[KEY_SIZE_MAX];
};

/* Base64 with its padding; 0 where it is none, or no key. */
static size_t key_read(const char *text, unsigned char key_out[KEY_SIZE_MAX])
{
    rf_buf key;
    size_t size = 0;

    rf_buf_init(&key, 2 * KEY_SIZE_MAX);
    if (rf_base64_decode(rf_slice_of(text), &key) &&
        (key.size == 16 || key.size == 24 || key.size == KEY_SIZE_MAX)) {
        size = key.size;
        memcpy(key_out, key.data, size);
    }
    if (key.data)
        OPENSSL_cleanse(key.data, key.capacity);
    rf_buf_free(&key);
    return size;
}

rf_status rf_cipher_new(const char *variable, rf_cipher **cipher_out, rf_err *err)
{
    const char *text = getenv(variable);

    (void)pthread_once(&once, load);
    if (fault.status != RF_OK)
        return rf_fail(err, fault.status, "%s", fault.message);
    rf_cipher *cipher = calloc(1, sizeof *cipher);
    if (!cipher || !(cipher->context = EVP_CIPHER_CTX_new())) {
        rf_cipher_free(cipher);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for decrypting");
    }
    size_t size = text ? key_read(text, cipher->key) : 0;
    if (size == 0) {
        rf_cipher_free(cipher);
        if (!text)
            return rf_fail(err, RF_ERR_USAGE,
                           "--cipher-key-env: the environment has no variable %.80s", variable);
        return rf_fail(err, RF_ERR_USAGE,
                       "--cipher-key-env: %.80s is no key; a key is 16, 24 or 32 bytes in base64",
                       variable);
    }
    cipher->kind = size == 16   ? EVP_aes_128_gcm()
                   : size == 24 ? EVP_aes_192_gcm()
                                : EVP_aes_256_gcm();
    *cipher_out = cipher;
    return RF_OK;
}

void rf_cipher_free(rf_cipher *cipher)
{
    if (!cipher)
        return;
    EVP_CIPHER_CTX_free(cipher->context);
    OPENSSL_cleanse(cipher->key, sizeof cipher->key);
    free(cipher);
}

rf_status rf_cipher_decrypt(rf_cipher *cipher, rf_slice sealed, rf_buf *out, rf_err *err)
{
    EVP_CIPHER_CTX *context = cipher->context;
    unsigned char tag[TAG_SIZE];
    int written = 0;
    int rest = 0;

    if (sealed.size < NONCE_SIZE + TAG_SIZE || sealed.size > INT_MAX)
        return rf_fail(err, RF_ERR_INPUT,
                       "the state has %zu bytes, an encrypted one has at least %d", sealed.size,
                       NONCE_SIZE + TAG_SIZE);
    const unsigned char *bytes = (const unsigned char *)sealed.data;
    int size = (int)(sealed.size - NONCE_SIZE - TAG_SIZE);
    unsigned char *plain = (unsigned char *)rf_buf_reserve(out, (size_t)size + TAG_SIZE);
    if (!plain)
        return rf_buf_check(out, "a decrypted state", err);
    memcpy(tag, bytes + NONCE_SIZE, TAG_SIZE);
    bool is_right =
        EVP_DecryptInit_ex(context, cipher->kind, NULL, cipher->key, bytes) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
        EVP_DecryptUpdate(context, plain, &written, bytes + NONCE_SIZE + TAG_SIZE, size) == 1 &&
        EVP_DecryptFinal_ex(context, plain + written, &rest) == 1;
    if (!is_right)
        return rf_fail(err, RF_ERR_INPUT,
                       "the state cannot be decrypted: another key encrypted it, or none did, or it "
                       "was changed");
    out->size += (size_t)(written + rest);
    return RF_OK;
}
