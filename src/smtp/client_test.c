/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A conversation: what the host says and what we must have said before, in turn. The machine is fed whole, and octet by
 * octet. */
enum { TURNS = 24, RECIPIENTS = 4 };

enum turn_kind { TURN_END, TURN_HOST, TURN_CLIENT, TURN_TLS, TURN_TLS_FAILS, TURN_LOST, TURN_TIME_OUT };

struct turn {
    enum turn_kind kind;
    struct text text;
};
#define HOST(words)                                                                                                    \
    {                                                                                                                  \
        .kind = TURN_HOST, .text = TEXT_INIT(words)                                                                    \
    }
#define CLIENT(words)                                                                                                  \
    {                                                                                                                  \
        .kind = TURN_CLIENT, .text = TEXT_INIT(words)                                                                  \
    }

struct expected {
    enum result_class class;
    unsigned code;
    struct text enhanced;
    struct text stage;
    bool may_try_next, wants_again;
};

struct conversation {
    struct text name;
    enum settings_tls_level tls;
    struct text user, password;
    bool may_login_in_clear;
    struct text sender;
    bool is_utf8, is_header_utf8;
    enum envelope_body body;
    enum envelope_return ret;
    struct text envid;
    unsigned notify;
    struct text original;
    struct text recipients[RECIPIENTS];
    struct text message; /* empty: a short one */
    struct turn turns[TURNS];
    enum smtp_client_trouble trouble;
    struct expected results[RECIPIENTS];
    bool goes_on; /* the connection can carry another message */
};

#define GREETED HOST("220 mx ESMTP\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250 mx\r\n")
#define PIPELINED HOST("220 mx ESMTP\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 PIPELINING\r\n")
#define TEXT_SENT CLIENT("Subject: x\r\n\r\nhi\r\n.\r\n")
#define MAIL CLIENT("MAIL FROM:<a@us.test>\r\n")
#define RCPT(who) CLIENT("RCPT TO:<" who ">\r\n")
#define RELAYED(number)                                                                                                \
    {                                                                                                                  \
        .class = RESULT_RELAYED_WITHOUT_DSN, .code = number, .stage = TEXT_INIT("end-of-data")                         \
    }

static const struct conversation conversations[] = {
    {.name = TEXT_INIT("plain"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("250 ok\r\n"), CLIENT("DATA\r\n"),
               HOST("354 go\r\n"), TEXT_SENT, HOST("250 2.0.0 taken\r\n")},
     .results = {{.class = RESULT_RELAYED_WITHOUT_DSN,
                  .code = 250,
                  .enhanced = TEXT_INIT("2.0.0"),
                  .stage = TEXT_INIT("end-of-data")}},
     .goes_on = true},
    {.name = TEXT_INIT("EHLO is not understood"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220-mx\r\n220 ready\r\n"), CLIENT("EHLO us.test\r\n"), HOST("502 what\r\n"),
               CLIENT("HELO us.test\r\n"), HOST("250 mx\r\n"), MAIL, HOST("250\r\n"), RCPT("b@fuori.test"),
               HOST("252 will try\r\n"), CLIENT("DATA\r\n"), HOST("354-go\r\n354 on\r\n"), TEXT_SENT, HOST("250 \r\n")},
     .results = {RELAYED(250)},
     .goes_on = true},
    {.name = TEXT_INIT("T53, C117, C118: pipelined, each recipient has its own answer"),
     .recipients = {TEXT_INIT("b@fuori.test"), TEXT_INIT("c@fuori.test"), TEXT_INIT("d@fuori.test"),
                    TEXT_INIT("e@fuori.test")},
     .turns = {PIPELINED,
               CLIENT("MAIL FROM:<a@us.test>\r\nRCPT TO:<b@fuori.test>\r\nRCPT TO:<c@fuori.test>\r\nRCPT "
                      "TO:<d@fuori.test>\r\nRCPT TO:<e@fuori.test>\r\nDATA\r\n"),
               HOST("250 ok\r\n250 ok\r\n450 4.2.0 later\r\n550 5.1.1 nobody\r\n452 4.5.3 too many\r\n354 go\r\n"),
               TEXT_SENT, HOST("250 ok\r\n")},
     .results = {RELAYED(250),
                 {.class = RESULT_DEFERRED, .code = 450, .enhanced = TEXT_INIT("4.2.0"), .stage = TEXT_INIT("rcpt")},
                 {.class = RESULT_FAILED, .code = 550, .enhanced = TEXT_INIT("5.1.1"), .stage = TEXT_INIT("rcpt")},
                 {.class = RESULT_DEFERRED,
                  .code = 452,
                  .enhanced = TEXT_INIT("4.5.3"),
                  .stage = TEXT_INIT("rcpt"),
                  .wants_again = true}},
     .goes_on = true},
    {.name = TEXT_INIT("pipelined, nobody is taken, and yet 354: an empty text ends it"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {PIPELINED, CLIENT("MAIL FROM:<a@us.test>\r\nRCPT TO:<b@fuori.test>\r\nDATA\r\n"),
               HOST("250 ok\r\n550 no\r\n354 go\r\n"), CLIENT(".\r\n"), HOST("554 nobody\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("pipelined, MAIL is refused: the other replies are read"),
     .recipients = {TEXT_INIT("b@fuori.test"), TEXT_INIT("c@fuori.test")},
     .turns = {PIPELINED,
               CLIENT("MAIL FROM:<a@us.test>\r\nRCPT TO:<b@fuori.test>\r\nRCPT TO:<c@fuori.test>\r\nDATA\r\n"),
               HOST("451 4.3.0 later\r\n503 no MAIL\r\n503 no MAIL\r\n503 no RCPT\r\n")},
     .results = {{.class = RESULT_DEFERRED,
                  .code = 451,
                  .enhanced = TEXT_INIT("4.3.0"),
                  .stage = TEXT_INIT("mail"),
                  .may_try_next = true},
                 {.class = RESULT_DEFERRED,
                  .code = 451,
                  .enhanced = TEXT_INIT("4.3.0"),
                  .stage = TEXT_INIT("mail"),
                  .may_try_next = true}},
     .goes_on = true},
    {.name = TEXT_INIT("T54: 421 between recipients keeps what was said before"),
     .recipients = {TEXT_INIT("b@fuori.test"), TEXT_INIT("c@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("550 5.1.1 no\r\n"), RCPT("c@fuori.test"),
               HOST("421 4.3.2 bye\r\n")},
     .trouble = SMTP_CLIENT_LEAVING,
     .results = {{.class = RESULT_FAILED, .code = 550, .enhanced = TEXT_INIT("5.1.1"), .stage = TEXT_INIT("rcpt")},
                 {.class = RESULT_DEFERRED,
                  .code = 421,
                  .enhanced = TEXT_INIT("4.3.2"),
                  .stage = TEXT_INIT("rcpt"),
                  .may_try_next = true}}},
    {.name = TEXT_INIT("T54: 421 to the dot"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("250 ok\r\n"), CLIENT("DATA\r\n"),
               HOST("354 go\r\n"), TEXT_SENT, HOST("421 bye\r\n")},
     .trouble = SMTP_CLIENT_LEAVING,
     .results = {{.class = RESULT_DEFERRED, .code = 421, .stage = TEXT_INIT("end-of-data"), .may_try_next = true}}},
    {.name = TEXT_INIT("T55: a 554 banner says nothing about the recipient"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("554 go away\r\n"), CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_REFUSED,
     .results = {{.class = RESULT_FAILED, .code = 554, .stage = TEXT_INIT("banner")}}},
    {.name = TEXT_INIT("T52: lost before 354"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED,
               MAIL,
               HOST("250 ok\r\n"),
               RCPT("b@fuori.test"),
               HOST("250 ok\r\n"),
               CLIENT("DATA\r\n"),
               {.kind = TURN_LOST}},
     .trouble = SMTP_CLIENT_LOST,
     .results = {{.class = RESULT_DEFERRED,
                  .enhanced = TEXT_INIT("4.4.2"),
                  .stage = TEXT_INIT("data"),
                  .may_try_next = true}}},
    {.name = TEXT_INIT("T52: lost behind the dot: no second copy by another host"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED,
               MAIL,
               HOST("250 ok\r\n"),
               RCPT("b@fuori.test"),
               HOST("250 ok\r\n"),
               CLIENT("DATA\r\n"),
               HOST("354 go\r\n"),
               TEXT_SENT,
               {.kind = TURN_TIME_OUT}},
     .trouble = SMTP_CLIENT_LOST,
     .results = {{.class = RESULT_DEFERRED, .enhanced = TEXT_INIT("4.4.2"), .stage = TEXT_INIT("end-of-data")}}},
    {.name = TEXT_INIT("a text for which 250 comes at DATA is out of step"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("250 ok\r\n"), CLIENT("DATA\r\n"),
               HOST("250 ok\r\n")},
     .trouble = SMTP_CLIENT_NONSENSE,
     .results = {{.class = RESULT_DEFERRED,
                  .code = 250,
                  .enhanced = TEXT_INIT("4.5.0"),
                  .stage = TEXT_INIT("data"),
                  .may_try_next = true}}},
    {.name = TEXT_INIT("enhanced code of another class: the three digits rule"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("422 5.1.2 try later\r\n")},
     .results = {{.class = RESULT_DEFERRED, .code = 422, .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("T50: STARTTLS, and what stands behind its reply in clear is thrown away"),
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"),
               CLIENT("EHLO us.test\r\n"),
               HOST("250-mx\r\n250-DSN\r\n250 STARTTLS\r\n"),
               CLIENT("STARTTLS\r\n"),
               HOST("220 ok\r\n250-EVIL\r\n250 DSN\r\n"),
               {.kind = TURN_TLS},
               CLIENT("EHLO us.test\r\n"),
               HOST("250 mx\r\n"),
               MAIL,
               HOST("250 ok\r\n"),
               RCPT("b@fuori.test"),
               HOST("250 ok\r\n"),
               CLIENT("DATA\r\n"),
               HOST("354 go\r\n"),
               TEXT_SENT,
               HOST("250 ok\r\n")},
     .results = {RELAYED(250)},
     .goes_on = true},
    {.name = TEXT_INIT("T56: STARTTLS is refused"),
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 STARTTLS\r\n"),
               CLIENT("STARTTLS\r\n"), HOST("454 4.7.0 not now\r\n"), CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_TLS,
     .results =
         {{.class = RESULT_DEFERRED, .code = 454, .enhanced = TEXT_INIT("4.7.0"), .stage = TEXT_INIT("starttls")}}},
    {.name = TEXT_INIT("T56: STARTTLS is refused with 5yz: never for good"),
     .tls = SETTINGS_TLS_LEVEL_REQUIRE,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 STARTTLS\r\n"),
               CLIENT("STARTTLS\r\n"), HOST("554 5.7.0 never\r\n"), CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_TLS,
     .results =
         {{.class = RESULT_DEFERRED, .code = 554, .enhanced = TEXT_INIT("4.7.4"), .stage = TEXT_INIT("starttls")}}},
    {.name = TEXT_INIT("T56: the handshake fails"),
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"),
               CLIENT("EHLO us.test\r\n"),
               HOST("250-mx\r\n250 STARTTLS\r\n"),
               CLIENT("STARTTLS\r\n"),
               HOST("220 go\r\n"),
               {.kind = TURN_TLS_FAILS}},
     .trouble = SMTP_CLIENT_TLS,
     .results = {{.class = RESULT_DEFERRED, .enhanced = TEXT_INIT("4.7.5"), .stage = TEXT_INIT("starttls")}}},
    {.name = TEXT_INIT("S38: TLS is demanded and not offered"),
     .tls = SETTINGS_TLS_LEVEL_REQUIRE,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250 mx\r\n"), CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_NO_TLS,
     .results = {{.class = RESULT_DEFERRED, .enhanced = TEXT_INIT("4.7.4"), .stage = TEXT_INIT("starttls")}}},
    {.name = TEXT_INIT("AUTH PLAIN"),
     .user = TEXT_INIT("user"),
     .password = TEXT_INIT("secret"),
     .may_login_in_clear = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 AUTH LOGIN PLAIN\r\n"),
               CLIENT("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"), HOST("235 ok\r\n"), MAIL, HOST("250 ok\r\n"),
               RCPT("b@fuori.test"), HOST("550 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("AUTH PLAIN asks for the token with 334 (C107)"),
     .user = TEXT_INIT("user"),
     .password = TEXT_INIT("secret"),
     .may_login_in_clear = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 AUTH PLAIN\r\n"),
               CLIENT("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"), HOST("334\r\n"), CLIENT("AHVzZXIAc2VjcmV0\r\n"),
               HOST("235 ok\r\n"), MAIL, HOST("550 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("mail")}},
     .goes_on = true},
    {.name = TEXT_INIT("AUTH LOGIN when PLAIN is unknown"),
     .user = TEXT_INIT("user"),
     .password = TEXT_INIT("secret"),
     .may_login_in_clear = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 AUTH=PLAIN LOGIN\r\n"),
               CLIENT("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"), HOST("504 no\r\n"), CLIENT("AUTH LOGIN\r\n"),
               HOST("334 VXNlcm5hbWU6\r\n"), CLIENT("dXNlcg==\r\n"), HOST("334 UGFzc3dvcmQ6\r\n"),
               CLIENT("c2VjcmV0\r\n"), HOST("235 ok\r\n"), MAIL, HOST("550 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("mail")}},
     .goes_on = true},
    {.name = TEXT_INIT("a wrong password is our fault: the mail waits"),
     .user = TEXT_INIT("user"),
     .password = TEXT_INIT("secret"),
     .may_login_in_clear = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 AUTH PLAIN\r\n"),
               CLIENT("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"), HOST("535 5.7.8 wrong\r\n"), CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_NO_LOGIN,
     .results = {{.class = RESULT_DEFERRED, .code = 535, .enhanced = TEXT_INIT("4.7.8"), .stage = TEXT_INIT("auth")}}},
    {.name = TEXT_INIT("no password goes over the wire in clear"),
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC,
     .user = TEXT_INIT("user"),
     .password = TEXT_INIT("secret"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 AUTH PLAIN\r\n"),
               CLIENT("QUIT\r\n")},
     .trouble = SMTP_CLIENT_NO_LOGIN,
     .results = {{.class = RESULT_DEFERRED, .enhanced = TEXT_INIT("4.7.11"), .stage = TEXT_INIT("auth")}}},
    {.name = TEXT_INIT("T68: DSN goes on, in xtext"),
     .ret = ENVELOPE_RETURN_HEADERS,
     .envid = TEXT_INIT("a+b=c d"),
     .notify = ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY,
     .original = TEXT_INIT("rfc822;b+x@fuori.test"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"),
               HOST("250-mx\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 DSN\r\n"),
               CLIENT("MAIL FROM:<a@us.test> SIZE=16 RET=HDRS ENVID=a+2Bb+3Dc+20d\r\n"), HOST("250 ok\r\n"),
               CLIENT("RCPT TO:<b@fuori.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@fuori.test\r\n"),
               HOST("250 ok\r\n"), CLIENT("DATA\r\n"), HOST("354 go\r\n"), TEXT_SENT, HOST("250 ok\r\n")},
     .results = {{.class = RESULT_RELAYED, .code = 250, .stage = TEXT_INIT("end-of-data")}},
     .goes_on = true},
    {.name = TEXT_INIT("a message over SIZE is not even offered"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250 SIZE 15\r\n")},
     .results =
         {{.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.3.4"), .stage = TEXT_INIT("mail"), .may_try_next = true}},
     .goes_on = true},
    {.name = TEXT_INIT("SMTPUTF8 is passed on with BODY=8BITMIME"),
     .is_utf8 = true,
     .is_header_utf8 = true,
     .sender = TEXT_INIT("jo\xc3\xa3o@us.test"),
     .recipients = {TEXT_INIT("\xe7\x94\xa8@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"),
               CLIENT("MAIL FROM:<jo\xc3\xa3o@us.test> BODY=8BITMIME SMTPUTF8\r\n"), HOST("250 ok\r\n"),
               RCPT("\xe7\x94\xa8@fuori.test"), HOST("550 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("C121: ASCII marked SMTPUTF8 goes without the mark"),
     .is_utf8 = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("550 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 550, .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("a UTF-8 header without SMTPUTF8 there"),
     .is_utf8 = true,
     .is_header_utf8 = true,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED},
     .results =
         {{.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .may_try_next = true}},
     .goes_on = true},
    {.name = TEXT_INIT("a UTF-8 local part is refused for it alone; a domain becomes its A-label"),
     .is_utf8 = true,
     .recipients = {TEXT_INIT("\xe7\x94\xa8@fuori.test"), TEXT_INIT("b@b\xc3\xbc"
                                                                    "cher.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@xn--bcher-kva.test"), HOST("250 ok\r\n"), CLIENT("DATA\r\n"),
               HOST("354 go\r\n"), TEXT_SENT, HOST("250 ok\r\n")},
     .results =
         {{.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .may_try_next = true},
          RELAYED(250)},
     .goes_on = true},
    {.name = TEXT_INIT("one that can not be said stands between two that can"),
     .is_utf8 = true,
     .recipients = {TEXT_INIT("b@fuori.test"), TEXT_INIT("\xe7\x94\xa8@fuori.test"), TEXT_INIT("c@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("250 ok\r\n"), RCPT("c@fuori.test"),
               HOST("550 5.1.1 no\r\n"), CLIENT("DATA\r\n"), HOST("354 go\r\n"), TEXT_SENT, HOST("250 ok\r\n")},
     .results =
         {RELAYED(250),
          {.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .may_try_next = true},
          {.class = RESULT_FAILED, .code = 550, .enhanced = TEXT_INIT("5.1.1"), .stage = TEXT_INIT("rcpt")}},
     .goes_on = true},
    {.name = TEXT_INIT("the same, pipelined"),
     .is_utf8 = true,
     .recipients = {TEXT_INIT("\xe7\x94\xa8@fuori.test"), TEXT_INIT("b@fuori.test"),
                    TEXT_INIT("\xe7\x94\xa8@fuori.test"), TEXT_INIT("c@fuori.test")},
     .turns = {PIPELINED,
               CLIENT("MAIL FROM:<a@us.test>\r\nRCPT TO:<b@fuori.test>\r\nRCPT TO:<c@fuori.test>\r\nDATA\r\n"),
               HOST("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n"), TEXT_SENT, HOST("250 ok\r\n")},
     .results =
         {{.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .may_try_next = true},
          {.class = RESULT_FAILED, .code = 550, .enhanced = TEXT_INIT("5.1.1"), .stage = TEXT_INIT("rcpt")},
          {.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .may_try_next = true},
          RELAYED(250)},
     .goes_on = true},
    {.name = TEXT_INIT("C069: BDAT, without a dot stuffed"),
     .body = ENVELOPE_BINARYMIME,
     .message = TEXT_INIT(".a\n.b\0c"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {HOST("220 mx\r\n"), CLIENT("EHLO us.test\r\n"), HOST("250-mx\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"),
               CLIENT("MAIL FROM:<a@us.test> BODY=BINARYMIME\r\n"), HOST("250 ok\r\n"), RCPT("b@fuori.test"),
               HOST("250 ok\r\n"), CLIENT("BDAT 7 LAST\r\n.a\n.b\0c"), HOST("250 ok\r\n")},
     .results = {RELAYED(250)},
     .goes_on = true},
    {.name = TEXT_INIT("binary without BINARYMIME there"),
     .body = ENVELOPE_BINARYMIME,
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED},
     .results =
         {{.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.6.3"), .stage = TEXT_INIT("mail"), .may_try_next = true}},
     .goes_on = true},
    {.name = TEXT_INIT("the null sender"),
     .sender = TEXT_INIT("-"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, CLIENT("MAIL FROM:<>\r\n"), HOST("501 no\r\n")},
     .results = {{.class = RESULT_FAILED, .code = 501, .stage = TEXT_INIT("mail")}},
     .goes_on = true},
    {.name = TEXT_INIT("T51: no line end but CRLF, no end but the last"),
     .message = TEXT_INIT("a\nb\r\n.\n.\r.\r\r\n.c\r"),
     .recipients = {TEXT_INIT("b@fuori.test")},
     .turns = {GREETED, MAIL, HOST("250 ok\r\n"), RCPT("b@fuori.test"), HOST("250 ok\r\n"), CLIENT("DATA\r\n"),
               HOST("354 go\r\n"), CLIENT("a\r\nb\r\n..\r\n..\r\n..\r\n\r\n..c\r\n.\r\n"), HOST("554 5.6.0 no\r\n")},
     .results =
         {{.class = RESULT_FAILED, .code = 554, .enhanced = TEXT_INIT("5.6.0"), .stage = TEXT_INIT("end-of-data")}},
     .goes_on = true},
};

static const struct text short_message = TEXT_INIT("Subject: x\r\n\r\nhi");

struct trial {
    const struct conversation *talk;
    struct smtp_client client;
    struct smtp_client_options options;
    struct envelope envelope;
    struct envelope_recipient rows[RECIPIENTS];
    const struct envelope_recipient *chosen[RECIPIENTS];
    struct smtp_client_message message;
    struct buffer output;
    struct text body;
    size_t sent;   /* octets of the body given */
    size_t pieces; /* of what size; 0: whole */
    bool was_begun, is_over;
};

static void trial_init(struct trial *t, const struct conversation *talk, size_t pieces)
{
    *t = (struct trial){.talk = talk,
                        .pieces = pieces,
                        .output = buffer_new(1 << 20),
                        .body = talk->message.length ? talk->message : short_message};
    t->options = (struct smtp_client_options){.hostname = TEXT("us.test"),
                                              .host = TEXT("mx [192.0.2.1]:25"),
                                              .tls = talk->tls,
                                              .user = talk->user,
                                              .password = talk->password,
                                              .may_login_in_clear = talk->may_login_in_clear};
    struct text sender = talk->sender.length ? talk->sender : TEXT("a@us.test");
    if (text_equals(sender, TEXT("-")))
        sender = TEXT_NONE;
    assert_int_equal(address_parse(sender, true, &t->envelope.sender), ADDRESS_OK);
    t->envelope.body = talk->body;
    t->envelope.is_utf8 = talk->is_utf8;
    t->envelope.ret = talk->ret;
    t->envelope.envid = talk->envid;
    size_t count = 0;
    for (; count < RECIPIENTS && talk->recipients[count].length; count++) {
        assert_int_equal(address_parse(talk->recipients[count], true, &t->rows[count].address), ADDRESS_OK);
        t->rows[count].notify = talk->notify;
        t->rows[count].original = talk->original;
        t->chosen[count] = &t->rows[count];
    }
    t->message = (struct smtp_client_message){.envelope = &t->envelope,
                                              .recipients = t->chosen,
                                              .recipient_count = count,
                                              .size = t->body.length,
                                              .is_header_ascii = !talk->is_header_utf8};
    smtp_client_init(&t->client, &t->options);
}

static void trial_done(struct trial *t)
{
    smtp_client_done(&t->client);
    buffer_done(&t->output);
}

/* Runs the machine until it waits for the host; true when it wants TLS. */
static bool run(struct trial *t, struct text input)
{
    for (;;) {
        enum smtp_client_effect effect = smtp_client_step(&t->client, &input, &t->output);
        if (effect == SMTP_CLIENT_NEED_INPUT)
            return false;
        if (effect == SMTP_CLIENT_START_TLS) {
            assert_int_equal(input.length, 0);
            return true;
        }
        if (effect == SMTP_CLIENT_CLOSE || (effect == SMTP_CLIENT_READY && t->was_begun)) {
            t->is_over = true;
            return false;
        }
        if (effect == SMTP_CLIENT_READY) {
            t->was_begun = true;
            smtp_client_begin(&t->client, &t->message, &t->output);
        } else {
            size_t count = t->pieces && t->talk->body != ENVELOPE_BINARYMIME ? t->pieces : t->body.length;
            struct text piece = text_first(text_after(t->body, t->sent), count);
            t->sent += piece.length;
            assert_true(smtp_client_body(&t->client, piece, t->sent == t->body.length, &t->output));
        }
    }
}

static void play_host(struct trial *t, struct text said)
{
    if (t->pieces == 0) {
        ignored(run(t, said)); /* a TLS turn follows where it must */
        return;
    }
    /* what a step leaves is kept for the next one: none of these texts is left over, for the machine takes all or ends
     */
    while (said.length && !run(t, text_take(&said, t->pieces)))
        ;
}

static void play(struct trial *t)
{
    for (size_t i = 0; i < TURNS && t->talk->turns[i].kind != TURN_END; i++) {
        const struct turn *turn = &t->talk->turns[i];
        switch (turn->kind) {
        case TURN_END:
            break;
        case TURN_HOST:
            play_host(t, turn->text);
            break;
        case TURN_CLIENT:
            if (!text_equals(buffer_text(&t->output), turn->text))
                print_error("%.*s: turn %zu: said %.*s", TEXT_ARGUMENTS(t->talk->name), i,
                            TEXT_ARGUMENTS(buffer_text(&t->output)));
            assert_true(text_equals(buffer_text(&t->output), turn->text));
            buffer_clear(&t->output);
            break;
        case TURN_TLS:
            smtp_client_tls_started(&t->client, &t->output);
            break;
        case TURN_TLS_FAILS:
            smtp_client_tls_failed(&t->client, TEXT("bad certificate"));
            assert_false(run(t, TEXT_NONE));
            break;
        case TURN_LOST:
        case TURN_TIME_OUT:
            smtp_client_lost(&t->client, turn->kind == TURN_TIME_OUT, TEXT("reset"));
            assert_false(run(t, TEXT_NONE));
            break;
        }
    }
}

static const struct result *result_of(const struct trial *t, size_t i, bool *ret_may_try_next, bool *ret_wants_again)
{
    if (!t->was_begun) {
        *ret_may_try_next = false;
        *ret_wants_again = false;
        return &t->client.failure;
    }
    const struct smtp_client_recipient *r = smtp_client_recipient(&t->client, i);
    assert_true(r->is_decided);
    *ret_may_try_next = r->may_try_next;
    *ret_wants_again = r->wants_again;
    return &r->result;
}

static void check_results(const struct trial *t)
{
    assert_int_equal(t->output.length, 0);
    assert_int_equal(t->client.trouble, t->talk->trouble);
    assert_int_equal(smtp_client_may_go_on(&t->client), t->talk->goes_on);
    for (size_t i = 0; i < t->message.recipient_count; i++) {
        bool may_try_next, wants_again;
        const struct expected *e = &t->talk->results[i];
        const struct result *r = result_of(t, i, &may_try_next, &wants_again);
        if (r->class != e->class || !text_equals(r->stage, e->stage.length ? e->stage : r->stage) ||
            !text_equals(r->enhanced, e->enhanced))
            print_error("%.*s: recipient %zu: %.*s %u %.*s at %.*s\n", TEXT_ARGUMENTS(t->talk->name), i,
                        TEXT_ARGUMENTS(result_class_word(r->class)), r->code, TEXT_ARGUMENTS(r->enhanced),
                        TEXT_ARGUMENTS(r->stage));
        assert_int_equal(r->class, e->class);
        assert_int_equal(r->code, e->code);
        assert_true(text_equals(r->enhanced, e->enhanced));
        assert_true(text_equals(r->stage, e->stage));
        assert_int_equal(may_try_next, e->may_try_next);
        assert_int_equal(wants_again, e->wants_again);
    }
}

static void every_conversation_goes_as_written_however_it_is_cut(void **state not_used)
{
    static const size_t pieces[] = {0, 1, 2, 3, 7};
    for (size_t i = 0; i < length_of(conversations); i++) {
        for (size_t p = 0; p < length_of(pieces); p++) {
            struct trial t;
            trial_init(&t, &conversations[i], pieces[p]);
            play(&t);
            if (!t.is_over)
                print_error("%.*s: is not over\n", TEXT_ARGUMENTS(conversations[i].name));
            assert_true(t.is_over);
            check_results(&t);
            trial_done(&t);
        }
    }
}

/* --- a second message on the connection ------------------------------------------------------------------------- */

static void a_connection_carries_a_second_message(void **state not_used)
{
    struct trial t;
    trial_init(&t, &conversations[0], 0);
    play(&t);
    assert_true(smtp_client_may_go_on(&t.client));
    smtp_client_begin(&t.client, &t.message, &t.output);
    assert_true(text_equals(buffer_text(&t.output), TEXT("MAIL FROM:<a@us.test>\r\n")));
    smtp_client_lost(&t.client, false, TEXT_NONE);
    assert_true(smtp_client_is_stale(&t.client));
    assert_true(smtp_client_recipient(&t.client, 0)->may_try_next);
    trial_done(&t);
}

static void a_transaction_without_text_is_reset_before_the_next(void **state not_used)
{
    for (size_t i = 0; i < length_of(conversations); i++) {
        if (!text_equals(conversations[i].name, TEXT("enhanced code of another class: the three digits rule")))
            continue;
        struct trial t;
        trial_init(&t, &conversations[i], 0);
        play(&t);
        smtp_client_begin(&t.client, &t.message, &t.output);
        assert_true(text_equals(buffer_text(&t.output), TEXT("RSET\r\n")));
        buffer_clear(&t.output);
        assert_false(run(&t, TEXT("250 ok\r\n")));
        assert_true(text_equals(buffer_text(&t.output), TEXT("MAIL FROM:<a@us.test>\r\n")));
        trial_done(&t);
        return;
    }
    fail();
}

static void a_refusal_in_the_middle_of_the_text_counts_and_ends_the_connection(void **state not_used)
{
    struct trial t;
    trial_init(&t, &conversations[0], 0);
    static const struct text said[] = {TEXT_INIT("220 mx\r\n"), TEXT_INIT("250 mx\r\n"), TEXT_INIT("250 ok\r\n"),
                                       TEXT_INIT("250 ok\r\n")};
    for (size_t i = 0; i < length_of(said); i++)
        assert_false(run(&t, said[i]));
    struct text go = TEXT("354 go\r\n");
    assert_int_equal(smtp_client_step(&t.client, &go, &t.output), SMTP_CLIENT_NEED_BODY);
    assert_true(smtp_client_body(&t.client, TEXT("half of a li"), false, &t.output));
    buffer_clear(&t.output);
    struct text no = TEXT("552 5.3.4 too much\r\n");
    assert_int_equal(smtp_client_step(&t.client, &no, &t.output), SMTP_CLIENT_CLOSE);
    assert_int_equal(t.output.length, 0);
    assert_int_equal(smtp_client_recipient(&t.client, 0)->result.class, RESULT_FAILED);
    assert_true(text_equals(smtp_client_recipient(&t.client, 0)->result.enhanced, TEXT("5.3.4")));
    trial_done(&t);
}

static void a_body_that_can_not_be_read_is_never_ended_with_a_dot(void **state not_used)
{
    struct trial t;
    trial_init(&t, &conversations[0], 0);
    static const struct text said[] = {TEXT_INIT("220 mx\r\n"), TEXT_INIT("250 mx\r\n"), TEXT_INIT("250 ok\r\n"),
                                       TEXT_INIT("250 ok\r\n")};
    for (size_t i = 0; i < length_of(said); i++)
        assert_false(run(&t, said[i]));
    struct text go = TEXT("354 go\r\n");
    assert_int_equal(smtp_client_step(&t.client, &go, &t.output), SMTP_CLIENT_NEED_BODY);
    buffer_clear(&t.output);
    smtp_client_body_failed(&t.client);
    assert_int_equal(smtp_client_step(&t.client, &go, &t.output), SMTP_CLIENT_CLOSE);
    assert_int_equal(t.output.length, 0);
    assert_int_equal(smtp_client_recipient(&t.client, 0)->result.class, RESULT_DEFERRED);
    trial_done(&t);
}

static void many_recipients_go_in_windows(void **state not_used)
{
    enum { MANY = 120 };
    static struct envelope_recipient rows[MANY];
    static const struct envelope_recipient *chosen[MANY];
    struct trial t;
    trial_init(&t, &conversations[0], 0);
    for (size_t i = 0; i < MANY; i++) {
        rows[i] = t.rows[0];
        chosen[i] = &rows[i];
    }
    t.message.recipients = chosen;
    t.message.recipient_count = MANY;
    assert_false(run(&t, TEXT("220 mx\r\n")));
    buffer_clear(&t.output);
    assert_false(run(&t, TEXT("250-mx\r\n250-LIMITS RCPTMAX=70 MAILMAX=1\r\n250 PIPELINING\r\n")));
    assert_int_equal(t.client.recipient_limit, 70);
    size_t answered = 0, said = 0;
    while (!t.is_over && t.client.stage != SMTP_CLIENT_END_OF_DATA) {
        struct text rest = buffer_text(&t.output);
        while (rest.length && text_find(rest, TEXT("\n")) < rest.length) {
            text_take_until(&rest, '\n');
            said++;
        }
        buffer_clear(&t.output);
        assert_true(said - answered <= 52);
        answered++;
        assert_false(run(&t, answered == MANY + 2 ? TEXT("354 go\r\n") : TEXT("250 ok\r\n")));
    }
    assert_int_equal(said, MANY + 2);
    assert_false(run(&t, TEXT("250 ok\r\n")));
    assert_int_equal(smtp_client_recipient(&t.client, MANY - 1)->result.class, RESULT_RELAYED_WITHOUT_DSN);
    assert_false(smtp_client_may_go_on(&t.client));
    trial_done(&t);
}

static void every_stage_has_a_word_and_a_deadline(void **state not_used)
{
    for (int stage = 0; stage < SMTP_CLIENT_STAGES; stage++) {
        struct smtp_client c = {.stage = (enum smtp_client_stage)stage};
        assert_true(smtp_client_stage_word(c.stage).length > 0);
        assert_true(smtp_client_deadline_ms(&c) > 0 || stage == SMTP_CLIENT_OVER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_conversation_goes_as_written_however_it_is_cut),
        cmocka_unit_test(a_connection_carries_a_second_message),
        cmocka_unit_test(a_transaction_without_text_is_reset_before_the_next),
        cmocka_unit_test(a_refusal_in_the_middle_of_the_text_counts_and_ends_the_connection),
        cmocka_unit_test(a_body_that_can_not_be_read_is_never_ended_with_a_dot),
        cmocka_unit_test(many_recipients_go_in_windows),
        cmocka_unit_test(every_stage_has_a_word_and_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
