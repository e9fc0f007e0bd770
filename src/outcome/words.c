/* SPDX-License-Identifier: Apache-2.0 */
/* words: what the reports say, in both languages. */
#include "outcome/private.h"

enum { LANGUAGES = 2 };

static const struct text causes[OUTCOME_CAUSES][LANGUAGES] = {
    [OUTCOME_CAUSE_OTHER] = {[SETTINGS_ENGLISH] = TEXT_INIT("The message could not be delivered."),
                             [SETTINGS_ITALIAN] = TEXT_INIT("Non è stato possibile consegnare il messaggio.")},
    [OUTCOME_CAUSE_WRONG_ADDRESS] = {[SETTINGS_ENGLISH] =
                                         TEXT_INIT("The address does not exist there. Check how it is spelled."),
                                     [SETTINGS_ITALIAN] =
                                         TEXT_INIT("L'indirizzo non esiste. Controllare come è scritto.")},
    [OUTCOME_CAUSE_NO_SUCH_DOMAIN] =
        {[SETTINGS_ENGLISH] =
             TEXT_INIT("The part of the address behind the @ does not exist. Check how it is spelled."),
         [SETTINGS_ITALIAN] = TEXT_INIT("La parte dell'indirizzo dopo la @ non esiste. Controllare come è scritta.")},
    [OUTCOME_CAUSE_NO_MAIL_DOMAIN] = {[SETTINGS_ENGLISH] = TEXT_INIT("This domain declares that it accepts no mail."),
                                      [SETTINGS_ITALIAN] = TEXT_INIT("Questo dominio dichiara di non ricevere posta.")},
    [OUTCOME_CAUSE_MAILBOX_FULL] = {[SETTINGS_ENGLISH] = TEXT_INIT("The recipient's mailbox is full."),
                                    [SETTINGS_ITALIAN] = TEXT_INIT("La casella del destinatario è piena.")},
    [OUTCOME_CAUSE_MAILBOX_DISABLED] = {[SETTINGS_ENGLISH] =
                                            TEXT_INIT("The recipient's mailbox does not accept mail at present."),
                                        [SETTINGS_ITALIAN] =
                                            TEXT_INIT("La casella del destinatario al momento non riceve posta.")},
    [OUTCOME_CAUSE_TOO_BIG] = {[SETTINGS_ENGLISH] = TEXT_INIT("The message is larger than the receiving side accepts."),
                               [SETTINGS_ITALIAN] =
                                   TEXT_INIT("Il messaggio è più grande di quanto il destinatario accetti.")},
    [OUTCOME_CAUSE_REFUSED] =
        {[SETTINGS_ENGLISH] = TEXT_INIT("The receiving side refused the message; what it said stands below."),
         [SETTINGS_ITALIAN] =
             TEXT_INIT("Il server di destinazione ha rifiutato il messaggio; la sua risposta è qui sotto.")},
    [OUTCOME_CAUSE_CONTENT] = {[SETTINGS_ENGLISH] = TEXT_INIT(
                                   "The receiving side does not accept the content or the form of the message."),
                               [SETTINGS_ITALIAN] = TEXT_INIT(
                                   "Il server di destinazione non accetta il contenuto o la forma del messaggio.")},
    [OUTCOME_CAUSE_UNREACHABLE] = {[SETTINGS_ENGLISH] = TEXT_INIT("The receiving server could not be reached."),
                                   [SETTINGS_ITALIAN] =
                                       TEXT_INIT("Non è stato possibile raggiungere il server di destinazione.")},
    [OUTCOME_CAUSE_TLS] = {[SETTINGS_ENGLISH] = TEXT_INIT(
                               "An encrypted connection (TLS) is demanded for this destination and could not be made."),
                           [SETTINGS_ITALIAN] = TEXT_INIT("Per questa destinazione è richiesta una connessione cifrata "
                                                          "(TLS), che non è stato possibile stabilire.")},
    [OUTCOME_CAUSE_LOOP] = {[SETTINGS_ENGLISH] =
                                TEXT_INIT("The message would go round in a circle: its destination leads back here."),
                            [SETTINGS_ITALIAN] = TEXT_INIT(
                                "Il messaggio girerebbe in tondo: la sua destinazione riporta a questo server.")},
    [OUTCOME_CAUSE_NEEDS_UTF8] =
        {[SETTINGS_ENGLISH] =
             TEXT_INIT("The message uses international addresses, and the receiving server can not take them."),
         [SETTINGS_ITALIAN] =
             TEXT_INIT("Il messaggio usa indirizzi internazionali, che il server di destinazione non può ricevere.")},
    [OUTCOME_CAUSE_BUSY] = {[SETTINGS_ENGLISH] = TEXT_INIT("The receiving server asked to try again later."),
                            [SETTINGS_ITALIAN] =
                                TEXT_INIT("Il server di destinazione ha chiesto di riprovare più tardi.")},
};

struct text outcome_cause_words(enum outcome_cause cause, enum settings_language language)
{
    must(cause < OUTCOME_CAUSES && (size_t)language < LANGUAGES);
    return causes[cause][language];
}

static const struct {
    struct text action; /* RFC 3464 section 2.3.3 */
    struct text subject;
    struct text introduction[LANGUAGES];
} kinds[OUTCOME_REPORT_KINDS] = {
    [OUTCOME_REPORT_NONE] = {.action = TEXT_INIT("")},
    [OUTCOME_REPORT_FAILED] =
        {.action = TEXT_INIT("failed"),
         .subject = TEXT_INIT("Mail not delivered / Posta non consegnata"),
         .introduction =
             {[SETTINGS_ENGLISH] =
                  TEXT_INIT("Your message could not be delivered to the recipients below. It will not be tried again."),
              [SETTINGS_ITALIAN] = TEXT_INIT(
                  "Il messaggio non è stato consegnato ai destinatari qui sotto. Non ci saranno altri tentativi.")}},
    [OUTCOME_REPORT_DELAYED] =
        {.action = TEXT_INIT("delayed"),
         .subject = TEXT_INIT("Mail delayed, still trying / Posta in ritardo, si riprova"),
         .introduction = {[SETTINGS_ENGLISH] = TEXT_INIT("Your message has not reached the recipients below yet. It is "
                                                         "still being tried; you need do nothing."),
                          [SETTINGS_ITALIAN] = TEXT_INIT("Il messaggio non ha ancora raggiunto i destinatari qui "
                                                         "sotto. I tentativi continuano; non occorre fare nulla.")}},
    [OUTCOME_REPORT_DELIVERED] =
        {.action = TEXT_INIT("delivered"),
         .subject = TEXT_INIT("Mail delivered / Posta consegnata"),
         .introduction = {[SETTINGS_ENGLISH] = TEXT_INIT("Your message was delivered to the recipients below."),
                          [SETTINGS_ITALIAN] = TEXT_INIT("Il messaggio è stato consegnato ai destinatari qui sotto.")}},
    [OUTCOME_REPORT_RELAYED] =
        {.action = TEXT_INIT("relayed"),
         .subject = TEXT_INIT("Mail relayed / Posta inoltrata"),
         .introduction = {[SETTINGS_ENGLISH] = TEXT_INIT("Your message was handed to a server that sends no delivery "
                                                         "reports. You may hear nothing more about these recipients."),
                          [SETTINGS_ITALIAN] = TEXT_INIT("Il messaggio è stato affidato a un server che non invia "
                                                         "rapporti di consegna. Per questi destinatari potrebbero non "
                                                         "esserci altre notizie.")}},
    [OUTCOME_REPORT_EXPANDED] =
        {.action = TEXT_INIT("expanded"),
         .subject = TEXT_INIT("Mail delivered to a list / Posta consegnata a una lista"),
         .introduction = {[SETTINGS_ENGLISH] =
                              TEXT_INIT("Your message was handed on to the members of the addresses below."),
                          [SETTINGS_ITALIAN] =
                              TEXT_INIT("Il messaggio è stato inoltrato ai membri degli indirizzi qui sotto.")}},
};

struct text outcome_subject(enum outcome_report_kind kind)
{
    return kinds[kind].subject;
}

struct text outcome_introduction(enum outcome_report_kind kind, enum settings_language language)
{
    return kinds[kind].introduction[language];
}

struct text outcome_action(enum outcome_report_kind kind)
{
    return kinds[kind].action;
}
