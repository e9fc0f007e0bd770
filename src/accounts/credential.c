/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/credential.h"

#include "mail/base64.h"

#include <crypt.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { SALT = 16, DIGEST = 32, TERMINATED = CREDENTIAL_LIMIT + 1 };

/* The password as it is hashed, terminated. */
struct prepared {
    char octets[CREDENTIAL_PASSWORD_LIMIT + 1];
    bool is_text; /* SASLprep took it */
};

static void prepared_done(struct prepared *p)
{
    OPENSSL_cleanse(p, sizeof *p);
}

static void terminate(char *room, struct text t)
{
    memcpy(room, t.bytes, t.length);
    room[t.length] = 0;
}

/* False when no password can look so: empty, too long, a NUL inside. */
static bool prepare(struct text password, struct prepared *ret_prepared)
{
    if (password.length == 0 || password.length > CREDENTIAL_PASSWORD_LIMIT || text_has_octet(password, 0))
        return false;
    char *normal = NULL;
    terminate(ret_prepared->octets, password);
    int result = gsasl_saslprep(ret_prepared->octets, GSASL_ALLOW_UNASSIGNED, &normal, NULL);
    struct text text = text_of_terminated(result == GSASL_OK ? normal : NULL);
    ret_prepared->is_text = text.length > 0 && text.length <= CREDENTIAL_PASSWORD_LIMIT;
    if (ret_prepared->is_text)
        terminate(ret_prepared->octets, text);
    if (normal)
        OPENSSL_cleanse(normal, text_of_terminated(normal).length);
    gsasl_free(normal);
    return true;
}

static struct text hash_of(struct text credential)
{
    return text_first(credential, text_find_octet(credential, ' '));
}

static bool hash_fits(struct text hash, const char *password)
{
    char setting[TERMINATED];
    struct crypt_data data;
    if (hash.length < 2 || hash.length > CREDENTIAL_LIMIT)
        return false;
    terminate(setting, hash);
    memset(&data, 0, sizeof data);
    struct text made = text_of_terminated(crypt_rn(password, setting, &data, (int)sizeof data));
    bool fits = made.length == hash.length && CRYPTO_memcmp(made.bytes, hash.bytes, hash.length) == 0;
    OPENSSL_cleanse(&data, sizeof data);
    return fits;
}

bool credential_verify(struct text credential, struct text password)
{
    struct prepared prepared released_by(prepared_done);
    struct text hash = hash_of(credential);
    if (!prepare(password, &prepared))
        return false;
    if (hash_fits(hash, prepared.octets))
        return true;
    /* an imported hash was made of the password as it was typed */
    if (!prepared.is_text || !credential_needs_renewal(credential) ||
        text_equals(text_of_terminated(prepared.octets), password))
        return false;
    terminate(prepared.octets, password);
    return hash_fits(hash, prepared.octets);
}

bool credential_needs_renewal(struct text credential)
{
    struct text rest = credential, hash = text_take_word(&rest), scram = text_take_word(&rest);
    return !text_starts_with(hash, TEXT("$y$")) || !text_starts_with(scram, TEXT("SCRAM-SHA-256$"));
}

static bool append_hash(struct buffer *b, const char *password, struct text salt)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data;
    if (!crypt_gensalt_rn("$y$", 0, salt.bytes, (int)salt.length, setting, (int)sizeof setting))
        return false;
    memset(&data, 0, sizeof data);
    struct text made = text_of_terminated(crypt_rn(password, setting, &data, (int)sizeof data));
    bool done = text_starts_with(made, TEXT("$y$")) && buffer_append(b, made);
    OPENSSL_cleanse(&data, sizeof data);
    return done;
}

static bool append_scram(struct buffer *b, struct text salt, struct text stored, struct text server)
{
    return buffer_append_format(b, " SCRAM-SHA-256$%d:", CREDENTIAL_ITERATIONS) && base64_append(b, salt) &&
           buffer_append_octet(b, '$') && base64_append(b, stored) && buffer_append_octet(b, ':') &&
           base64_append(b, server);
}

/* OpenSSL's PBKDF2 is several times faster than GNU SASL's own; the keys are GNU SASL's. */
static bool append_scram_of(struct buffer *b, struct text password, struct text salt)
{
    char salted[DIGEST], client[DIGEST], server[DIGEST], stored[DIGEST];
    bool done =
        PKCS5_PBKDF2_HMAC(password.bytes, (int)password.length, (const unsigned char *)salt.bytes, (int)salt.length,
                          CREDENTIAL_ITERATIONS, EVP_sha256(), DIGEST, (unsigned char *)salted) == 1 &&
        gsasl_scram_secrets_from_salted_password(GSASL_HASH_SHA256, salted, client, server, stored) == GSASL_OK &&
        append_scram(b, salt, text_of(stored, DIGEST), text_of(server, DIGEST));
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    OPENSSL_cleanse(server, sizeof server);
    return done;
}

bool credential_make(struct text password, struct text salts, struct buffer *b)
{
    must(salts.length == 2 * (size_t)SALT);
    struct prepared prepared released_by(prepared_done);
    size_t before = b->length;
    if (!prepare(password, &prepared) || !prepared.is_text)
        return false;
    if (append_hash(b, prepared.octets, text_first(salts, SALT)) &&
        append_scram_of(b, text_of_terminated(prepared.octets), text_after(salts, SALT)))
        return true;
    b->length = before;
    return false;
}

/* 32 octets that only the key's owner can foretell. */
static bool derive(struct text key, const char *label, struct text user, char *ret_octets)
{
    struct buffer input released_by(buffer_done) = buffer_new(16384);
    unsigned length = 0;
    return buffer_append(&input, text_of_terminated(label)) && buffer_append(&input, user) &&
           HMAC(EVP_sha256(), key.bytes, (int)key.length, (const unsigned char *)input.bytes, input.length,
                (unsigned char *)ret_octets, &length) &&
           length == DIGEST;
}

bool credential_make_fake(struct text key, struct text user, struct buffer *b)
{
    static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"; /* crypt(5)'s */
    enum { HASH_LENGTH = 43 };
    char salts[DIGEST], first[DIGEST], second[DIGEST], setting[CRYPT_GENSALT_OUTPUT_SIZE], hash[HASH_LENGTH];
    if (!derive(key, "salts", user, salts) || !derive(key, "first", user, first) ||
        !derive(key, "second", user, second) || !crypt_gensalt_rn("$y$", 0, salts, SALT, setting, (int)sizeof setting))
        return false;
    for (size_t i = 0; i < HASH_LENGTH; i++)
        hash[i] = digits[(i < DIGEST ? first[i] : second[i - DIGEST]) & 63];
    hash[HASH_LENGTH - 1] = digits[second[HASH_LENGTH - 1 - DIGEST] & 15]; /* 256 bits: the last digit has four */
    return buffer_append(b, text_of_terminated(setting)) && buffer_append_octet(b, '$') &&
           buffer_append(b, text_of(hash, HASH_LENGTH)) &&
           append_scram(b, text_of(salts + SALT, SALT), text_of(first, DIGEST), text_of(second, DIGEST));
}
