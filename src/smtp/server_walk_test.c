/* SPDX-License-Identifier: Apache-2.0 */
/* T20: random walks of the server machine beside a model of RFC 5321 section 4.1.4. PORTIERE_SEED chooses others. */
#include "smtp/server_stub.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct model {
    bool has_hello, has_mail, has_recipient, is_chunked, is_logged_in, is_encrypted, is_ended;
};

enum walk {
    WALK_EHLO,
    WALK_MAIL,
    WALK_RCPT,
    WALK_DATA,
    WALK_BDAT,
    WALK_BDAT_LAST,
    WALK_RSET,
    WALK_AUTH,
    WALK_STARTTLS,
    WALK_VRFY,
    WALK_QUIT,
    WALK_STEPS
};

static const struct text walk_lines[] = {
    [WALK_EHLO] = TEXT_INIT("EHLO c\r\n"),
    [WALK_MAIL] = TEXT_INIT("MAIL FROM:<a@b.example>\r\n"),
    [WALK_RCPT] = TEXT_INIT("RCPT TO:<user@local.example>\r\n"),
    [WALK_DATA] = TEXT_INIT("DATA\r\n"),
    [WALK_BDAT] = TEXT_INIT("BDAT 6\r\nQUIT\r\n"),
    [WALK_BDAT_LAST] = TEXT_INIT("BDAT 3 LAST\r\na\r\n"),
    [WALK_RSET] = TEXT_INIT("RSET\r\n"),
    [WALK_AUTH] = TEXT_INIT("AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n"),
    [WALK_STARTTLS] = TEXT_INIT("STARTTLS\r\n"),
    [WALK_VRFY] = TEXT_INIT("VRFY user\r\n"),
    [WALK_QUIT] = TEXT_INIT("QUIT\r\n"),
};

static void end_transaction(struct model *m)
{
    m->has_mail = m->has_recipient = m->is_chunked = false;
}

static unsigned model_text(struct model *m, enum walk step)
{
    bool is_data = step == WALK_DATA;
    if (!m->has_hello || !m->has_recipient || (is_data && m->is_chunked))
        return 503;
    m->is_chunked = !is_data;
    if (step == WALK_BDAT_LAST)
        end_transaction(m);
    return is_data ? 354 : 250;
}

static unsigned model_mail(struct model *m, enum walk step)
{
    if (!m->has_hello || (step == WALK_MAIL && m->has_mail) || (step == WALK_RCPT && (!m->has_mail || m->is_chunked)))
        return 503;
    m->has_mail = true;
    m->has_recipient = m->has_recipient || step == WALK_RCPT;
    return 250;
}

static unsigned model_login(struct model *m)
{
    if (!m->has_hello || m->is_logged_in || m->has_mail)
        return 503;
    m->is_logged_in = true;
    return 235;
}

static unsigned model_tls(struct model *m)
{
    if (m->is_encrypted || m->has_mail)
        return 503;
    *m = (struct model){.is_encrypted = true};
    return 220;
}

static unsigned model_step(struct model *m, enum walk step)
{
    switch (step) {
    case WALK_EHLO:
        end_transaction(m);
        m->has_hello = true;
        return 250;
    case WALK_MAIL:
    case WALK_RCPT:
        return model_mail(m, step);
    case WALK_DATA:
    case WALK_BDAT:
    case WALK_BDAT_LAST:
        return model_text(m, step);
    case WALK_RSET:
        end_transaction(m);
        return 250;
    case WALK_AUTH:
        return model_login(m);
    case WALK_STARTTLS:
        return model_tls(m);
    case WALK_VRFY:
        return m->has_hello ? 252 : 503;
    case WALK_QUIT:
        m->is_ended = true;
        return 221;
    case WALK_STEPS:
        break;
    }
    return 0;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void walk(uint64_t *seed, const struct smtp_server_options *options)
{
    struct stub stub;
    struct model model = {0};
    stub_init(&stub, options);
    size_t messages = 0;
    uint64_t start = *seed;
    if (next_random(seed) % 4) { /* most walks get past the greeting */
        stub_feed(&stub, walk_lines[WALK_EHLO]);
        model_step(&model, WALK_EHLO);
    }
    for (size_t i = 0; i < 6 && !model.is_ended; i++) {
        enum walk step = (enum walk)(next_random(seed) % WALK_STEPS);
        stub_forget_replies(&stub);
        unsigned expected = model_step(&model, step);
        stub_feed(&stub, walk_lines[step]);
        if (stub_last_code(&stub) != expected)
            fail_msg("seed %llu: %.*s: %u, not %u", (unsigned long long)start, TEXT_ARGUMENTS(walk_lines[step]),
                     stub_last_code(&stub), expected);
        if (expected == 354) {
            stub_feed(&stub, TEXT("MAIL FROM:<x@y>\r\n.\r\n"));
            assert_int_equal(stub_last_code(&stub), 250);
            end_transaction(&model);
        }
        messages += expected == 354 || (step == WALK_BDAT_LAST && expected == 250);
        assert_int_equal(stub.message_count, messages);
        assert_int_equal(smtp_server_is_in_transaction(&stub.machine), model.has_mail && !model.is_ended);
    }
    assert_int_equal(stub.is_closed, model.is_ended);
    stub_done(&stub);
}

static void random_walks_agree_with_the_model(void **state not_used)
{
    const char *given = getenv("PORTIERE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 5321;
    struct smtp_server_options options = stub_options();
    options.max_bad_commands = 0;
    for (size_t i = 0; i < 100000; i++)
        walk(&seed, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_walks_agree_with_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
