/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/credential.h"
#include "accounts/sasl.h"
#include "mail/base64.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <crypt.h>
#include <string.h>

static const struct text salts = TEXT_INIT("0123456789abcdefFEDCBA9876543210");

static void make(struct buffer *b, struct text password)
{
    assert_true(credential_make(password, salts, b));
}

static void a_credential_fits_its_password_alone(void **state not_used)
{
    static const struct text others[] = {TEXT_INIT(""), TEXT_INIT("segreto"), TEXT_INIT("Segreto-di-prova"),
                                         TEXT_INIT("segreto-di-prova\0x"), TEXT_INIT("segreto-di-prova ")};
    struct buffer b released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    make(&b, TEXT("segreto-di-prova"));
    assert_true(credential_verify(buffer_text(&b), TEXT("segreto-di-prova")));
    for (size_t i = 0; i < length_of(others); i++)
        assert_false(credential_verify(buffer_text(&b), others[i]));
    assert_false(credential_needs_renewal(buffer_text(&b)));
    assert_true(text_starts_with(buffer_text(&b), TEXT("$y$")));
}

/* RFC 7677 section 3's password; keys for our number of iterations were computed with Python's hashlib and hmac. */
static void the_scram_keys_are_those_of_rfc_5802(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    struct buffer salt released_by(buffer_done) = buffer_new(64);
    assert_true(base64_append_decoded(&salt, TEXT("W22ZaJ0SNY7soEsUEjb6gQ==")));
    struct buffer both released_by(buffer_done) = buffer_new(64);
    buffer_append(&both, text_first(salts, 16));
    buffer_append(&both, buffer_text(&salt));
    assert_true(credential_make(TEXT("pencil"), buffer_text(&both), &b));
    assert_true(text_ends_with(buffer_text(&b),
                               TEXT(" SCRAM-SHA-256$100000:W22ZaJ0SNY7soEsUEjb6gQ==$DrV7xy/qKHIOj+YKWfow7KE6edXL/"
                                    "2q4lAqKIspiBqY=:LG0R4sd2Si2JCO3krs1YC+dGK3pojC6G4jjnVbvxuqc=")));
}

static void passwords_are_compared_after_saslprep(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    make(&b, TEXT("p\xc3\xa4ss\xc2\xadwort")); /* with a soft hyphen, which is mapped to nothing */
    assert_true(credential_verify(buffer_text(&b), TEXT("p\xc3\xa4sswort")));
    assert_true(credential_verify(buffer_text(&b), TEXT("pa\xcc\x88sswort"))); /* a decomposed */
    assert_false(credential_verify(buffer_text(&b), TEXT("passwort")));
    assert_false(credential_verify(buffer_text(&b), TEXT("p\xe4sswort"))); /* not UTF-8 */
}

static void what_is_no_text_can_not_become_a_password(void **state not_used)
{
    static char long_one[CREDENTIAL_PASSWORD_LIMIT + 1];
    memset(long_one, 'x', sizeof long_one);
    const struct text bad[] = {TEXT(""), TEXT("\xff\xfe"), TEXT("a\nb"), TEXT("a\0b"),
                               text_of(long_one, sizeof long_one)};
    struct buffer b released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    for (size_t i = 0; i < length_of(bad); i++) {
        assert_false(credential_make(bad[i], salts, &b));
        assert_int_equal(b.length, 0);
    }
    struct buffer small released_by(buffer_done) = buffer_new(100);
    assert_false(credential_make(TEXT("segreto-di-prova"), salts, &small));
    assert_int_equal(small.length, 0);
}

static void imported_hashes_verify_and_ask_to_be_renewed(void **state not_used)
{
    static const char *const prefixes[] = {"$2b$", "$6$", "$5$", "$y$"};
    for (size_t i = 0; i < length_of(prefixes); i++) {
        char setting[CRYPT_GENSALT_OUTPUT_SIZE];
        struct crypt_data data;
        memset(&data, 0, sizeof data);
        assert_non_null(crypt_gensalt_rn(prefixes[i], 5, salts.bytes, 16, setting, (int)sizeof setting));
        struct text hash = text_of_terminated(crypt_rn("segreto-di-prova", setting, &data, (int)sizeof data));
        assert_true(credential_verify(hash, TEXT("segreto-di-prova")));
        assert_false(credential_verify(hash, TEXT("segreto-di-prove")));
        assert_true(credential_needs_renewal(hash));
    }
}

static void a_broken_credential_fits_nothing(void **state not_used)
{
    static const struct text broken[] = {TEXT_INIT(""),
                                         TEXT_INIT("*"),
                                         TEXT_INIT("*0"),
                                         TEXT_INIT("*1"),
                                         TEXT_INIT("!"),
                                         TEXT_INIT("$y$"),
                                         TEXT_INIT("$y$j9T$"),
                                         TEXT_INIT(" SCRAM-SHA-256$"),
                                         TEXT_INIT("$nosuch$x$y"),
                                         TEXT_INIT("x\0y")};
    for (size_t i = 0; i < length_of(broken); i++)
        assert_false(credential_verify(broken[i], TEXT("segreto-di-prova")));
}

/* As long as a real one and of the same form, so that it costs the same; it stays the same for a user, so that nobody
 * sees a change. */
static void a_fake_credential_looks_like_a_real_one(void **state not_used)
{
    struct buffer real released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT),
                       fake released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    struct buffer again released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT),
                        other released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    make(&real, TEXT("segreto-di-prova"));
    assert_true(credential_make_fake(salts, TEXT("nessuno@casa.test"), &fake));
    assert_true(credential_make_fake(salts, TEXT("nessuno@casa.test"), &again));
    assert_true(credential_make_fake(salts, TEXT("altro@casa.test"), &other));
    assert_int_equal(fake.length, real.length);
    assert_true(text_equals(buffer_text(&fake), buffer_text(&again)));
    assert_false(text_equals(buffer_text(&fake), buffer_text(&other)));
    for (size_t i = 0; i < real.length; i++)
        if (real.bytes[i] == '$' || real.bytes[i] == ':' || real.bytes[i] == ' ')
            assert_int_equal(fake.bytes[i], real.bytes[i]);
    assert_false(credential_needs_renewal(buffer_text(&fake)));
    assert_false(credential_verify(buffer_text(&fake), TEXT("segreto-di-prova")));
}

static void exchanges_are_right_or_wrong(void **state not_used)
{
    static const struct {
        struct text mechanism, response;
        bool is_right;
    } rows[] = {
        {TEXT_INIT("PLAIN"), TEXT_INIT("\0tim\0segreto-di-prova"), true},
        {TEXT_INIT("PLAIN"), TEXT_INIT("tim\0tim\0segreto-di-prova"), true},
        {TEXT_INIT("PLAIN"), TEXT_INIT("\0tim\0segreto"), false},
        {TEXT_INIT("PLAIN"), TEXT_INIT("\0tim\0"), false},
        {TEXT_INIT("PLAIN"), TEXT_INIT("tim\0segreto-di-prova"), false},
        {TEXT_INIT("PLAIN"), TEXT_INIT(""), false},
        {TEXT_INIT("PLAIN"), TEXT_INIT("\0\xff\xfe\0x"), false},
        {TEXT_INIT("LOGIN"), TEXT_INIT("tim\0segreto-di-prova"), true},
        {TEXT_INIT("LOGIN"), TEXT_INIT("tim\0segreto"), false},
        {TEXT_INIT("LOGIN"), TEXT_INIT("tim\0"), false},
        {TEXT_INIT("LOGIN"), TEXT_INIT("tim"), false},
        {TEXT_INIT("EXTERNAL"), TEXT_INIT("tim"), false},
        {TEXT_INIT("plain"), TEXT_INIT("\0tim\0segreto-di-prova"), false},
        {TEXT_INIT(""), TEXT_INIT(""), false},
    };
    struct sasl *sasl released_by(sasl_free) = sasl_new();
    struct buffer b released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT),
                    renewed released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    assert_non_null(sasl);
    make(&b, TEXT("segreto-di-prova"));
    for (size_t i = 0; i < length_of(rows); i++)
        assert_int_equal(sasl_verify(sasl, rows[i].mechanism, buffer_text(&b), rows[i].response, salts, &renewed),
                         rows[i].is_right);
    assert_int_equal(renewed.length, 0);
}

static void a_right_log_in_renews_an_imported_hash(void **state not_used)
{
    struct sasl *sasl released_by(sasl_free) = sasl_new();
    struct buffer renewed released_by(buffer_done) = buffer_new(CREDENTIAL_LIMIT);
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data;
    memset(&data, 0, sizeof data);
    assert_non_null(crypt_gensalt_rn("$6$", 0, salts.bytes, 16, setting, (int)sizeof setting));
    struct text hash = text_of_terminated(crypt_rn("vecchia-parola", setting, &data, (int)sizeof data));
    assert_false(sasl_verify(sasl, TEXT("PLAIN"), hash, TEXT("\0tim\0altra-parola"), salts, &renewed));
    assert_int_equal(renewed.length, 0);
    assert_true(sasl_verify(sasl, TEXT("PLAIN"), hash, TEXT("\0tim\0vecchia-parola"), salts, &renewed));
    assert_true(credential_verify(buffer_text(&renewed), TEXT("vecchia-parola")));
    assert_false(credential_needs_renewal(buffer_text(&renewed)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_credential_fits_its_password_alone),
        cmocka_unit_test(the_scram_keys_are_those_of_rfc_5802),
        cmocka_unit_test(passwords_are_compared_after_saslprep),
        cmocka_unit_test(what_is_no_text_can_not_become_a_password),
        cmocka_unit_test(imported_hashes_verify_and_ask_to_be_renewed),
        cmocka_unit_test(a_broken_credential_fits_nothing),
        cmocka_unit_test(a_fake_credential_looks_like_a_real_one),
        cmocka_unit_test(exchanges_are_right_or_wrong),
        cmocka_unit_test(a_right_log_in_renews_an_imported_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
