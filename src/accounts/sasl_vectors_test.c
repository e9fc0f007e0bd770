/* SPDX-License-Identifier: Apache-2.0 */
/* T38: the SASL vectors of the corpora, through the dialogue and GNU SASL. Where a vector says ok, the account has the
 * vector's password; where it says anything else, the account has that one too, unless the vector speaks of a password
 * that must never fit. */
#include "accounts/credential.h"
#include "accounts/login.h"
#include "accounts/sasl.h"
#include "mail/base64.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <jansson.h>
#include <cmocka.h>

#include "../../tests/corpora.h"

static const struct text salts = TEXT_INIT("0123456789abcdefFEDCBA9876543210");

static json_t *vectors(void)
{
    struct buffer file released_by(buffer_done) = buffer_new(1 << 20);
    if (!corpora_has("auth/sasl-vectors.json") || !corpora_read("auth/sasl-vectors.json", &file))
        return NULL;
    return json_loadb(file.bytes, file.length, JSON_ALLOW_NUL, NULL);
}

static struct text word(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return text_of(json_string_value(value) ? json_string_value(value) : "", json_string_length(value));
}

/* The outcome as a client would see it: 235, 535, 501, 334. */
static unsigned code_of(struct sasl *sasl, struct login *login, enum login_outcome outcome, struct text credential)
{
    struct buffer renewed released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    switch (outcome) {
    case LOGIN_CHALLENGE:
        return 334;
    case LOGIN_CHECK:
        return sasl_verify(sasl, login_mechanism_word(login->mechanism), credential, buffer_text(&login->response),
                           salts, &renewed)
                   ? 235
                   : 535;
    case LOGIN_MALFORMED:
        return 501;
    case LOGIN_UNSUPPORTED:
        return 504;
    case LOGIN_WRONG:
        return 535;
    }
    return 0;
}

static bool fits(struct text right, unsigned code)
{
    char digits[4];
    snprintf(digits, sizeof digits, "%u", code);
    bool is_ok = text_starts_with(right, TEXT("ok")) || text_starts_with(right, TEXT("one-letter password is legal"));
    return is_ok ? code == 235 : text_find(right, text_of_terminated(digits)) < right.length;
}

static void plain_vectors_end_as_listed(void **state not_used)
{
    json_t *root = vectors();
    if (!root)
        skip();
    struct sasl *sasl released_by(sasl_free) = sasl_new();
    size_t index;
    json_t *vector;
    json_array_foreach(json_object_get(root, "plain"), index, vector)
    {
        struct buffer credential released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT),
                                 response released_by(buffer_done) = buffer_new(1 << 16);
        struct login login released_by(login_done) = {.mechanism = LOGIN_MECHANISM_NONE};
        struct text right = word(vector, "right"), challenge;
        bool is_ok = text_starts_with(right, TEXT("ok")) || text_starts_with(right, TEXT("one-letter"));
        struct text password = is_ok ? word(vector, "password") : TEXT("another one");
        assert_true(credential_make(password, salts, &credential));
        assert_true(base64_append_decoded(&response, word(vector, "b64")));
        enum login_outcome outcome = login_begin(&login, TEXT("PLAIN"), true, buffer_text(&response), &challenge);
        if (outcome == LOGIN_CHALLENGE) /* an empty initial response is none: so it comes as the answer */
            outcome = login_continue(&login, buffer_text(&response), &challenge);
        unsigned code = code_of(sasl, &login, outcome, buffer_text(&credential));
        print_message("# %u for %.*s\n", code, TEXT_ARGUMENTS(right));
        assert_true(fits(right, code));
        if (is_ok)
            assert_true(text_equals(buffer_text(&login.name), word(vector, "authcid")));
    }
    assert_true(index >= 14);
    json_decref(root);
}

static enum login_outcome answer_step(struct login *login, bool *is_begun, struct text response,
                                      struct text *ret_challenge)
{
    if (*is_begun)
        return login_continue(login, response, ret_challenge);
    *is_begun = true;
    return login_begin(login, TEXT("LOGIN"), true, response, ret_challenge);
}

/* What front answers by itself: "*", and what is no base64. */
static bool is_fronts(struct text line)
{
    struct buffer decoded released_by(buffer_done) = buffer_new(1 << 14);
    return text_equals(line, TEXT("*")) || !base64_append_decoded(&decoded, line);
}

static void login_vectors_end_as_listed(void **state not_used)
{
    json_t *root = vectors();
    if (!root)
        skip();
    struct sasl *sasl released_by(sasl_free) = sasl_new();
    struct buffer credential released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    size_t index;
    json_t *vector;
    assert_true(credential_make(TEXT("tanstaaf"), salts, &credential));
    json_array_foreach(json_object_get(root, "login"), index, vector)
    {
        struct login login released_by(login_done) = {.mechanism = LOGIN_MECHANISM_NONE};
        struct text challenge = TEXT_NONE;
        enum login_outcome outcome = LOGIN_CHALLENGE;
        json_t *steps = json_object_get(vector, "steps");
        bool is_begun = false, is_for_front = false;
        for (size_t i = 0; i < json_array_size(steps) && !is_for_front; i++) {
            struct text line = text_of_terminated(json_string_value(json_array_get(steps, i)));
            struct buffer octets released_by(buffer_done) = buffer_new(1 << 14);
            if (text_take_prefix_ignoring_case(&line, TEXT("334 "))) {
                assert_true(base64_append(&octets, challenge));
                assert_true(outcome == LOGIN_CHALLENGE && text_equals(buffer_text(&octets), line));
                continue;
            }
            bool is_command = text_take_prefix_ignoring_case(&line, TEXT("AUTH LOGIN"));
            line = text_trimmed(line);
            bool is_empty = text_equals(line, TEXT("=")); /* a zero-length initial response */
            is_for_front = !is_empty && is_fronts(line);
            if (is_for_front)
                break;
            if (!is_empty)
                assert_true(base64_append_decoded(&octets, line));
            outcome = answer_step(&login, &is_begun, buffer_text(&octets), &challenge);
            if (is_command && is_empty)
                outcome = answer_step(&login, &is_begun, TEXT_NONE, &challenge);
        }
        unsigned code = code_of(sasl, &login, outcome, buffer_text(&credential));
        struct text right = word(vector, "right");
        print_message("# %u%s for %.*s\n", code, is_for_front ? " (front's)" : "", TEXT_ARGUMENTS(right));
        assert_true(is_for_front || fits(right, code));
        if (code == 334 && !is_for_front) { /* "Password:", and what comes after can't be right */
            assert_true(text_equals(challenge, TEXT("Password:")));
            outcome = login_continue(&login, TEXT("x"), &challenge);
            assert_int_equal(code_of(sasl, &login, outcome, buffer_text(&credential)), 535);
        }
    }
    assert_true(index >= 6);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_vectors_end_as_listed),
        cmocka_unit_test(login_vectors_end_as_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
