/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/ticket.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { VERSION = 1, HEAD = 1 + 8 + 8, MAC = TICKET_LENGTH - HEAD, ACCOUNT_LIMIT = 1024 };

bool ticket_keys_add(struct ticket_keys *keys, struct text key)
{
    if (key.length != TICKET_KEY_LENGTH)
        return false;
    for (size_t i = 0; i < keys->count; i++)
        if (CRYPTO_memcmp(keys->keys[i], key.bytes, TICKET_KEY_LENGTH) == 0)
            return true;
    memmove(keys->keys[1], keys->keys[0], (TICKET_KEYS - 1) * TICKET_KEY_LENGTH);
    memcpy(keys->keys[0], key.bytes, TICKET_KEY_LENGTH);
    keys->count = smaller(keys->count + 1, TICKET_KEYS);
    return true;
}

void ticket_keys_done(struct ticket_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof *keys);
}

static void put_number(uint8_t *at, uint64_t number)
{
    for (size_t i = 0; i < 8; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t number_at(const uint8_t *at)
{
    uint64_t number = 0;
    for (size_t i = 0; i < 8; i++)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

static bool mac_of(const uint8_t *key, const uint8_t *head, struct text account, uint8_t *ret_mac)
{
    uint8_t octets[HEAD + ACCOUNT_LIMIT];
    unsigned length = 0;
    if (account.length > ACCOUNT_LIMIT)
        return false;
    memcpy(octets, head, HEAD);
    memcpy(octets + HEAD, account.bytes, account.length);
    return HMAC(EVP_sha256(), key, TICKET_KEY_LENGTH, octets, HEAD + account.length, ret_mac, &length) && length == MAC;
}

bool ticket_make(const struct ticket_keys *keys, const struct ticket *ticket, struct buffer *b)
{
    must(keys->count > 0);
    uint8_t octets[TICKET_LENGTH] = {VERSION};
    put_number(octets + 1, ticket->session);
    put_number(octets + 9, ticket->expires_ms);
    return mac_of(keys->keys[0], octets, ticket->account, octets + HEAD) &&
           buffer_append(b, text_of((const char *)octets, sizeof octets));
}

enum ticket_result ticket_check(const struct ticket_keys *keys, struct text octets, struct text account,
                                uint64_t now_ms, struct ticket *ret_ticket)
{
    uint8_t mac[MAC];
    const uint8_t *given = (const uint8_t *)octets.bytes;
    if (octets.length != TICKET_LENGTH || given[0] != VERSION)
        return TICKET_FORGED;
    bool is_genuine = false;
    for (size_t i = 0; i < keys->count; i++)
        is_genuine |= mac_of(keys->keys[i], given, account, mac) && CRYPTO_memcmp(mac, given + HEAD, MAC) == 0;
    if (!is_genuine)
        return TICKET_FORGED;
    struct ticket ticket = {.account = account, .session = number_at(given + 1), .expires_ms = number_at(given + 9)};
    if (now_ms >= ticket.expires_ms)
        return TICKET_EXPIRED;
    *ret_ticket = ticket;
    return TICKET_OK;
}

struct text ticket_result_word(enum ticket_result result)
{
    switch (result) {
    case TICKET_OK:
        return TEXT("ok");
    case TICKET_FORGED:
        return TEXT("forged");
    case TICKET_EXPIRED:
        return TEXT("expired");
    }
    return TEXT("?");
}
