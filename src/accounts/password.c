/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/password.h"

#include "accounts/credential.h"

#include <openssl/crypto.h>
#include <string.h>
#include <zxcvbn.h>

/* NAME_SHORTEST: "al" is part of too many words. GUESSED: zxcvbn's time grows with the square of the length, what is
 * behind adds nothing. */
enum { NAME_SHORTEST = 3, GUESSED = 64 };
static const double common_bits = 33.2; /* 10^10 guesses */

static bool count_characters(struct text password, uint64_t *ret_count)
{
    uint64_t count = 0;
    for (uint32_t character; password.length; count++)
        if (!utf8_take(&password, &character) || character < ' ' || character == 127)
            return false;
    *ret_count = count;
    return true;
}

static bool holds_ignoring_case(struct text t, struct text what)
{
    for (size_t i = 0; i + what.length <= t.length; i++)
        if (text_starts_with_ignoring_case(text_after(t, i), what))
            return true;
    return false;
}

/* The user name is the local part without its quotes and tag. */
static bool has_name(const struct address *account, struct text password)
{
    struct buffer key released_by(buffer_done) = buffer_new(1024);
    struct address bare = {.local = account->local};
    address_append_key(&key, &bare);
    struct text name = buffer_text(&key);
    if (name.length > 2 && name.bytes[0] == '"')
        name = text_after(text_first(name, name.length - 1), 1);
    name = text_first(name, larger(text_find_octet(name, '+'), 1));
    return name.length >= NAME_SHORTEST && holds_ignoring_case(password, name);
}

static bool is_common(struct text password)
{
    char terminated[GUESSED + 1];
    struct text first = text_first(password, GUESSED);
    memcpy(terminated, first.bytes, first.length);
    terminated[first.length] = 0;
    bool common = ZxcvbnMatch(terminated, NULL, NULL) < common_bits;
    OPENSSL_cleanse(terminated, sizeof terminated);
    return common;
}

unsigned password_faults(const struct settings *settings, const struct address *account, struct text password)
{
    uint64_t characters;
    if (password.length > CREDENTIAL_PASSWORD_LIMIT)
        return PASSWORD_LONG;
    if (!count_characters(password, &characters))
        return PASSWORD_NO_TEXT;
    unsigned faults = 0;
    if (characters < settings->security_password_min_length)
        faults |= PASSWORD_SHORT;
    if (settings->security_password_user_name == SETTINGS_PASSWORD_RULE_REFUSE && has_name(account, password))
        faults |= PASSWORD_HAS_NAME;
    if (settings->security_password_common == SETTINGS_PASSWORD_RULE_REFUSE && is_common(password))
        faults |= PASSWORD_COMMON;
    return faults;
}

static const struct {
    unsigned fault;
    struct text words;
} sentences[] = {
    {.fault = PASSWORD_HAS_NAME, .words = TEXT_INIT("It holds the user name (setting security.password_user_name). ")},
    {.fault = PASSWORD_COMMON,
     .words = TEXT_INIT("It is a common password, or made of common words, rows of keys or dates (setting "
                        "security.password_common). ")},
    {.fault = PASSWORD_NO_TEXT, .words = TEXT_INIT("It has control characters, or is not UTF-8. ")},
};

void password_faults_append(struct buffer *b, unsigned faults, const struct settings *settings)
{
    size_t before = b->length;
    if (faults & PASSWORD_SHORT)
        ignored(buffer_append_format(
            b, "The password is too short: at least %llu characters (setting security.password_min_length). ",
            (unsigned long long)settings->security_password_min_length)); /* a cut sentence still refuses */
    if (faults & PASSWORD_LONG)
        ignored(buffer_append_format(b, "The password is too long: at most %d octets. ",
                                     CREDENTIAL_PASSWORD_LIMIT)); /* as above */
    for (size_t i = 0; i < length_of(sentences); i++)
        if (faults & sentences[i].fault) {
            ignored(
                buffer_append(b, b->length == before ? TEXT("The password is refused. ") : TEXT_NONE)); /* as above */
            ignored(buffer_append(b, sentences[i].words));                                              /* as above */
        }
    if (b->length > before)
        b->length--; /* the last blank */
}
