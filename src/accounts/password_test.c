/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/house_for_tests.h"
#include "accounts/password.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void weak_passwords_are_refused_by_rule_and_setting(void **state)
{
    static const struct {
        struct text password;
        unsigned faults;
    } rows[] = {
        {TEXT_INIT("anna2026"), PASSWORD_SHORT | PASSWORD_HAS_NAME | PASSWORD_COMMON},
        {TEXT_INIT("kx8#vQ2m!zL"), PASSWORD_SHORT},
        {TEXT_INIT("kx8#vQ2m!zLp"), 0},
        {TEXT_INIT("kx8#\xc3\xa4"
                   "Q2m!zL"),
         PASSWORD_SHORT},
        {TEXT_INIT("kx8#\xc3\xa4"
                   "Q2m!zLp"),
         0},
        {TEXT_INIT("password1234"), PASSWORD_COMMON},
        {TEXT_INIT("passwordpassword"), PASSWORD_COMMON},
        {TEXT_INIT("unbelievable"), PASSWORD_COMMON},
        {TEXT_INIT("qwertyuiop12"), PASSWORD_COMMON},
        {TEXT_INIT("123456789012"), PASSWORD_COMMON},
        {TEXT_INIT("aaaaaaaaaaaaaaaa"), PASSWORD_COMMON},
        {TEXT_INIT("segreto-di-prova"), 0},
        {TEXT_INIT("segreto-ANNA-prova"), PASSWORD_HAS_NAME},
        {TEXT_INIT("segreto\ndi-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT("segreto\0di-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT("segreto\xff-di-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT(""), PASSWORD_SHORT | PASSWORD_COMMON},
    };
    struct house *p = *state;
    struct address anna = house_address_of(TEXT("Anna+x@casa.test")), al = house_address_of(TEXT("di@casa.test"));
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer why released_by(buffer_done) = buffer_new(1000);
        assert_int_equal(password_faults(p->settings, &anna, rows[i].password), rows[i].faults);
        password_faults_append(&why, rows[i].faults, p->settings);
        print_message("# %.*s\n", TEXT_ARGUMENTS(buffer_text(&why)));
        assert_int_equal(why.length > 0, rows[i].faults != 0);
        assert_true(rows[i].password.length == 0 || text_find(buffer_text(&why), rows[i].password) == why.length);
    }
    assert_int_equal(password_faults(p->settings, &al, TEXT("segreto-di-prova")), 0);
    struct settings lax = *p->settings;
    lax.security_password_min_length = 4;
    lax.security_password_common = SETTINGS_PASSWORD_RULE_ALLOW;
    lax.security_password_user_name = SETTINGS_PASSWORD_RULE_ALLOW;
    assert_int_equal(password_faults(&lax, &anna, TEXT("anna2026")), 0);
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_set_up, house_tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(weak_passwords_are_refused_by_rule_and_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
