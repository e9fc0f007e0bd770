/* SPDX-License-Identifier: Apache-2.0 */
/* The first octet says in what pieces the host's words come; the rest is what it says, from the banner on. */
#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_results(const struct smtp_client *c, const struct smtp_client_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        must(smtp_client_recipient(c, i)->is_decided);
}

/* Until the machine waits for the host again; false when the session is over. */
static bool run(struct smtp_client *c, const struct smtp_client_message *message, struct text *input,
                struct buffer *output)
{
    for (;;) {
        switch (smtp_client_step(c, input, output)) {
        case SMTP_CLIENT_NEED_INPUT:
            return true;
        case SMTP_CLIENT_START_TLS:
            smtp_client_tls_started(c, output);
            break;
        case SMTP_CLIENT_READY:
            if (c->message)
                check_results(c, message);
            if (!smtp_client_may_go_on(c) || c->messages >= 3 || (c->message && c->messages == 0))
                return false;
            smtp_client_begin(c, message, output);
            break;
        case SMTP_CLIENT_NEED_BODY:
            must(smtp_client_body(c, TEXT(".a\r\n.\r\nb"), true, output));
            break;
        case SMTP_CLIENT_CLOSE:
            must(c->trouble != SMTP_CLIENT_NO_TROUBLE);
            return false;
        }
        must(!output->is_full);
        buffer_clear(output);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct envelope_recipient rows[] = {
        {.address = {.local = TEXT_INIT("b"), .domain = TEXT_INIT("fuori.test")}, .notify = ENVELOPE_NOTIFY_SUCCESS},
        {.address = {.local = TEXT_INIT("\xe7\x94\xa8"), .domain = TEXT_INIT("fuori.test")},
         .original = TEXT_INIT("utf-8;\xe7\x94\xa8@x")},
        {.address = {.local = TEXT_INIT("c"), .domain = TEXT_INIT("fuori.test")}},
    };
    static const struct envelope_recipient *const chosen[] = {&rows[0], &rows[1], &rows[2]};
    struct smtp_client_options options = {.hostname = TEXT("us.test"),
                                          .host = TEXT("mx"),
                                          .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC,
                                          .user = size > 1 && data[1] % 2 ? TEXT("user") : TEXT_NONE,
                                          .password = TEXT("pw"),
                                          .may_login_in_clear = true};
    struct envelope envelope = {.sender = {.local = TEXT("a"), .domain = TEXT("us.test")}, .is_utf8 = true};
    struct smtp_client_message message = {.envelope = &envelope,
                                          .recipients = chosen,
                                          .recipient_count = length_of(chosen),
                                          .size = 8,
                                          .is_header_ascii = true};
    struct buffer output released_by(buffer_done) = buffer_new(64 * 1024),
                         waiting released_by(buffer_done) = buffer_new(1 << 20);
    struct text wire = size ? text_of((const char *)data + 1, size - 1) : TEXT_NONE;
    size_t pieces = size && data[0] ? data[0] : SIZE_MAX;
    struct smtp_client c;
    smtp_client_init(&c, &options);
    bool goes_on = true;
    while (goes_on && wire.length) {
        buffer_append(&waiting, text_take(&wire, pieces));
        struct text input = buffer_text(&waiting);
        size_t before = input.length;
        goes_on = run(&c, &message, &input, &output);
        buffer_drop_front(&waiting, before - input.length);
    }
    if (goes_on) {
        struct text none = TEXT_NONE;
        smtp_client_lost(&c, true, TEXT("why"));
        must(!run(&c, &message, &none, &output));
    }
    if (c.message)
        check_results(&c, &message);
    smtp_client_done(&c);
    return 0;
}
