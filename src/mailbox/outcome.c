/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/store.h"

/* A mailbox that can't be written is never the sender's fault: all but a full one, where the setting says so, is tried
 * again. */
static const struct {
    struct text word;
    enum result_class class;
    unsigned code;
    struct text enhanced, text;
} rows[] = {
    [MAILBOX_UNDECIDED] = {.word = TEXT_INIT("undecided"),
                           .class = RESULT_DEFERRED,
                           .code = 451,
                           .enhanced = TEXT_INIT("4.3.0"),
                           .text = TEXT_INIT("Delivery was not finished")},
    [MAILBOX_DELIVERED] = {.word = TEXT_INIT("delivered"),
                           .class = RESULT_DELIVERED,
                           .code = 250,
                           .enhanced = TEXT_INIT("2.1.5"),
                           .text = TEXT_INIT("Delivered to the mailbox")},
    [MAILBOX_ALREADY_THERE] = {.word = TEXT_INIT("already-there"),
                               .class = RESULT_DELIVERED,
                               .code = 250,
                               .enhanced = TEXT_INIT("2.1.5"),
                               .text = TEXT_INIT("An earlier try had delivered it to the mailbox")},
    [MAILBOX_DUPLICATE] = {.word = TEXT_INIT("duplicate"),
                           .class = RESULT_DELIVERED,
                           .code = 250,
                           .enhanced = TEXT_INIT("2.1.5"),
                           .text = TEXT_INIT("The same message came within 24 hours; one copy is kept")},
    [MAILBOX_FULL] = {.word = TEXT_INIT("full"),
                      .class = RESULT_DEFERRED,
                      .code = 452,
                      .enhanced = TEXT_INIT("4.2.2"),
                      .text = TEXT_INIT("The mailbox is full")},
    [MAILBOX_DISK_FULL] = {.word = TEXT_INIT("disk-full"),
                           .class = RESULT_DEFERRED,
                           .code = 452,
                           .enhanced = TEXT_INIT("4.3.1"),
                           .text = TEXT_INIT("The disk of the mailboxes is full")},
    [MAILBOX_DISK_QUOTA] = {.word = TEXT_INIT("disk-quota"),
                            .class = RESULT_DEFERRED,
                            .code = 452,
                            .enhanced = TEXT_INIT("4.2.2"),
                            .text = TEXT_INIT("The mailboxes' disk quota is used up")},
    [MAILBOX_DISK_FAILED] = {.word = TEXT_INIT("disk-failed"),
                             .class = RESULT_DEFERRED,
                             .code = 451,
                             .enhanced = TEXT_INIT("4.3.0"),
                             .text = TEXT_INIT("The mailbox can't be written at the moment")},
    [MAILBOX_NOT_SAFE] = {.word = TEXT_INIT("not-safe"),
                          .class = RESULT_DEFERRED,
                          .code = 451,
                          .enhanced = TEXT_INIT("4.3.0"),
                          .text = TEXT_INIT(
                              "The mailbox's folders are not as they must be (link, foreign owner or no folder)")},
    [MAILBOX_BAD_NAME] = {.word = TEXT_INIT("bad-name"),
                          .class = RESULT_DEFERRED,
                          .code = 451,
                          .enhanced = TEXT_INIT("4.3.0"),
                          .text = TEXT_INIT("The account's name can't be a mailbox")},
    [MAILBOX_CUT_SHORT] = {.word = TEXT_INIT("cut-short"),
                           .class = RESULT_DEFERRED,
                           .code = 451,
                           .enhanced = TEXT_INIT("4.3.0"),
                           .text = TEXT_INIT("The message did not come whole from the queue")},
};

enum mailbox_outcome mailbox_delivery_outcome(const struct mailbox_delivery *delivery)
{
    return delivery->outcome;
}

int mailbox_delivery_error(const struct mailbox_delivery *delivery)
{
    return delivery->error;
}

struct text mailbox_delivery_account(const struct mailbox_delivery *delivery)
{
    return delivery->account;
}

void mailbox_delivery_result(const struct mailbox_delivery *delivery, struct result *ret_result)
{
    enum mailbox_outcome outcome = delivery->outcome;
    struct result result = {.class = rows[outcome].class,
                            .code = rows[outcome].code,
                            .enhanced = rows[outcome].enhanced,
                            .host = TEXT_NONE,
                            .stage = TEXT("mailbox"),
                            .text = rows[outcome].text};
    if (outcome == MAILBOX_FULL && delivery->full_is_permanent) {
        result.class = RESULT_FAILED;
        result.code = 552;
        result.enhanced = TEXT("5.2.2");
    }
    *ret_result = result;
}

struct text mailbox_outcome_word(enum mailbox_outcome outcome)
{
    must(outcome < MAILBOX_OUTCOMES);
    return rows[outcome].word;
}
