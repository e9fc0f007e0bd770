/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/login.h"

static const struct text mechanism_words[] = {
    [LOGIN_MECHANISM_NONE] = TEXT_INIT("none"),
    [LOGIN_MECHANISM_PLAIN] = TEXT_INIT("PLAIN"),
    [LOGIN_MECHANISM_LOGIN] = TEXT_INIT("LOGIN"),
};

struct text login_mechanism_word(enum login_mechanism mechanism)
{
    return mechanism_words[mechanism];
}

void login_done(struct login *login)
{
    buffer_done(&login->name);
    buffer_wipe_done(&login->response);
    login->mechanism = LOGIN_MECHANISM_NONE;
}

/* message = [authzid] NUL authcid NUL passwd; nobody acts as somebody else. */
static enum login_outcome take_plain(struct login *login, struct text response)
{
    struct text rest = response;
    struct text acts_as = text_take_until(&rest, 0);
    if (acts_as.length == response.length)
        return LOGIN_MALFORMED;
    struct text behind = rest, name = text_take_until(&rest, 0);
    if (name.length == behind.length || name.length == 0 || text_has_octet(rest, 0))
        return LOGIN_MALFORMED;
    if (acts_as.length && !text_equals(acts_as, name))
        return LOGIN_WRONG;
    if (rest.length == 0 || name.length > LOGIN_NAME_LIMIT)
        return LOGIN_WRONG;
    return buffer_append(&login->name, name) && buffer_append(&login->response, response) ? LOGIN_CHECK : LOGIN_WRONG;
}

static enum login_outcome take_name(struct login *login, struct text response, struct text *ret_challenge)
{
    if (text_has_octet(response, 0) || response.length > LOGIN_NAME_LIMIT)
        return LOGIN_MALFORMED;
    if (!buffer_append(&login->name, response))
        return LOGIN_MALFORMED;
    *ret_challenge = TEXT("Password:");
    return LOGIN_CHALLENGE;
}

static enum login_outcome take_password(struct login *login, struct text response)
{
    if (text_has_octet(response, 0))
        return LOGIN_MALFORMED;
    if (response.length == 0 || login->name.length == 0)
        return LOGIN_WRONG;
    return buffer_append(&login->response, buffer_text(&login->name)) && buffer_append_octet(&login->response, 0) &&
                   buffer_append(&login->response, response)
               ? LOGIN_CHECK
               : LOGIN_WRONG;
}

enum login_outcome login_continue(struct login *login, struct text response, struct text *ret_challenge)
{
    login->steps++;
    switch (login->mechanism) {
    case LOGIN_MECHANISM_PLAIN:
        return login->steps == 1 ? take_plain(login, response) : LOGIN_MALFORMED;
    case LOGIN_MECHANISM_LOGIN:
        if (login->steps == 1)
            return take_name(login, response, ret_challenge);
        return login->steps == 2 ? take_password(login, response) : LOGIN_MALFORMED;
    case LOGIN_MECHANISM_NONE:
        break;
    }
    return LOGIN_MALFORMED;
}

enum login_outcome login_begin(struct login *login, struct text mechanism, bool is_encrypted, struct text response,
                               struct text *ret_challenge)
{
    *login = (struct login){.name = buffer_new(LOGIN_NAME_LIMIT),
                            .response = buffer_new(LOGIN_NAME_LIMIT + LOGIN_RESPONSE_LIMIT)};
    if (text_equals_ignoring_case(mechanism, TEXT("PLAIN")))
        login->mechanism = LOGIN_MECHANISM_PLAIN;
    else if (text_equals_ignoring_case(mechanism, TEXT("LOGIN")))
        login->mechanism = LOGIN_MECHANISM_LOGIN;
    if (login->mechanism == LOGIN_MECHANISM_NONE || !is_encrypted)
        return LOGIN_UNSUPPORTED;
    if (response.length)
        return login_continue(login, response, ret_challenge);
    /* clients look at these very words */
    *ret_challenge = login->mechanism == LOGIN_MECHANISM_LOGIN ? TEXT("Username:") : TEXT_NONE;
    return LOGIN_CHALLENGE;
}
