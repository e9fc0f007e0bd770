/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rules.h"

#define WORDS(english, italian)                                                                                        \
    {                                                                                                                  \
        .en = TEXT_INIT(english), .it = TEXT_INIT(italian)                                                             \
    }
#define KEYS(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define KEY(name) TEXT_INIT(name)

enum {
    AT_COMMAND = 1 << POLICY_STAGE_COMMAND,
    AT_AUTH = 1 << POLICY_STAGE_AUTH,
    AT_SENDER = 1 << POLICY_STAGE_SENDER,
    AT_RECIPIENT = 1 << POLICY_STAGE_RECIPIENT,
    AT_MESSAGE = 1 << POLICY_STAGE_MESSAGE,
    IN_TRANSACTION = AT_SENDER | AT_RECIPIENT | AT_MESSAGE,
    ALWAYS = AT_COMMAND | AT_AUTH | IN_TRANSACTION,
};

/* First match decides. What needs no look-up stands before what does; refusals stand before acceptance. */
static const struct policy_rule_row table[] = {
    {.rule = POLICY_RULE_HELLO_REQUIRED,
     .word = TEXT_INIT("hello-required"),
     .stages = ALWAYS,
     .applies = policy_applies_hello_required,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_HELLO_REQUIRED,
     .keys = KEYS(KEY("security.require_helo")),
     .why = WORDS("The session must begin with HELO or EHLO (after STARTTLS again); only NOOP, RSET, HELP and QUIT are "
                  "answered before.",
                  "La sessione deve cominciare con HELO o EHLO (di nuovo dopo STARTTLS); prima si risponde solo a "
                  "NOOP, RSET, HELP e QUIT."),
     .remedy_user = WORDS("Use a mail program that follows RFC 5321; every current one says EHLO.",
                          "Usare un programma di posta conforme alla RFC 5321: tutti quelli attuali inviano EHLO."),
     .remedy_remote = WORDS("Send EHLO with the host's name before any other command.",
                            "Inviare EHLO con il nome dell'host prima di ogni altro comando."),
     .remedy_administrator = WORDS("Set security.require_helo = no, if an old device can't do it; a trusted relay in "
                                   "front of the device is better.",
                                   "Impostare security.require_helo = no se un vecchio apparecchio non ne è capace; "
                                   "meglio un relay attendibile davanti ad esso.")},
    {.rule = POLICY_RULE_LOGIN_ALREADY,
     .word = TEXT_INIT("login-already"),
     .stages = AT_AUTH,
     .applies = policy_applies_login_already,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_LOGIN_ALREADY,
     .why = WORDS("The session is logged in already; AUTH works once a session (RFC 4954 section 4).",
                  "La sessione è già autenticata; AUTH vale una volta per sessione (RFC 4954 sezione 4)."),
     .remedy_user = WORDS("Open a new connection to log in as somebody else.",
                          "Aprire una nuova connessione per autenticarsi come altro utente.")},
    {.rule = POLICY_RULE_LOGIN_NOT_OFFERED,
     .word = TEXT_INIT("login-not-offered"),
     .stages = AT_AUTH,
     .applies = policy_applies_login_not_offered,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_LOGIN_NOT_OFFERED,
     .keys = KEYS(KEY("service.listen")),
     .why = WORDS("This smtp listener takes mail from other servers and offers no log-in.",
                  "Questa porta smtp riceve posta da altri server e non offre autenticazione."),
     .remedy_user = WORDS("Set the mail program to port 465 (TLS) or 587 (STARTTLS).",
                          "Impostare il programma di posta sulla porta 465 (TLS) o 587 (STARTTLS)."),
     .remedy_administrator =
         WORDS("Write auth=yes on the listener's row of service.listen; it is offered under TLS only.",
               "Scrivere auth=yes nella riga della porta in service.listen; viene offerta solo sotto TLS.")},
    {.rule = POLICY_RULE_LOGIN_NEEDS_TLS,
     .word = TEXT_INIT("login-needs-tls"),
     .stages = AT_AUTH,
     .applies = policy_applies_login_needs_tls,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_LOGIN_NEEDS_TLS,
     .keys = KEYS(KEY("service.listen")),
     .why =
         WORDS("A password never travels in clear: AUTH works only under TLS. No setting changes that.",
               "Una password non viaggia mai in chiaro: AUTH funziona solo sotto TLS. Nessuna impostazione lo cambia."),
     .remedy_user = WORDS("Switch on STARTTLS for port 587 in the mail program, or use port 465 with TLS. If the "
                          "password was sent in clear, change it.",
                          "Attivare STARTTLS per la porta 587 nel programma di posta, o usare la porta 465 con TLS. Se "
                          "la password è passata in chiaro, cambiarla.")},
    {.rule = POLICY_RULE_SUBMISSION_NEEDS_TLS,
     .word = TEXT_INIT("tls-required"),
     .stages = IN_TRANSACTION,
     .applies = policy_applies_submission_needs_tls,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_TLS_REQUIRED,
     .keys = KEYS(KEY("service.listen")),
     .why =
         WORDS("A submission port takes mail only after a log-in, and a log-in only under TLS.",
               "Una porta di submission accetta posta solo dopo l'autenticazione, e l'autenticazione solo sotto TLS."),
     .remedy_user = WORDS("Switch on STARTTLS and authentication in the mail program.",
                          "Attivare STARTTLS e l'autenticazione nel programma di posta."),
     .remedy_remote = WORDS("Deliver to port 25; 587 and 465 are for our own users.",
                            "Consegnare sulla porta 25; 587 e 465 sono per i nostri utenti.")},
    {.rule = POLICY_RULE_SUBMISSION_NEEDS_LOGIN,
     .word = TEXT_INIT("login-required"),
     .stages = IN_TRANSACTION,
     .applies = policy_applies_submission_needs_login,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_LOGIN_REQUIRED,
     .keys = KEYS(KEY("service.listen")),
     .why = WORDS("A submission port takes mail from logged-in users only; trusted hosts and POP before SMTP do not "
                  "count there.",
                  "Una porta di submission accetta posta solo da utenti autenticati; host attendibili e POP prima di "
                  "SMTP lì non valgono."),
     .remedy_user =
         WORDS("Switch on authentication for outgoing mail, with the whole address as user name.",
               "Attivare l'autenticazione per la posta in uscita, con l'indirizzo completo come nome utente."),
     .remedy_remote = WORDS("Deliver to port 25; 587 and 465 are for our own users.",
                            "Consegnare sulla porta 25; 587 e 465 sono per i nostri utenti."),
     .remedy_administrator =
         WORDS("Give the device an account, or let it send to port 25 as a trusted host.",
               "Dare un account all'apparecchio, o farlo inviare sulla porta 25 come host attendibile.")},
    {.rule = POLICY_RULE_MESSAGE_TOO_LARGE,
     .word = TEXT_INIT("message-too-large"),
     .stages = AT_SENDER | AT_MESSAGE,
     .applies = policy_applies_message_too_large,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_MESSAGE_TOO_LARGE,
     .keys = KEYS(KEY("delivery.max_message_size")),
     .why = WORDS("The message is larger than this server takes.",
                  "Il messaggio supera la dimensione accettata da questo server."),
     .remedy_user = WORDS("Send a smaller message, or a link to the file. Attachments grow by a third on the way.",
                          "Inviare un messaggio più piccolo, o un collegamento al file. Gli allegati crescono di un "
                          "terzo durante l'invio."),
     .remedy_remote = WORDS("The limit is announced by SIZE in the answer to EHLO; send less.",
                            "Il limite è annunciato da SIZE nella risposta a EHLO; inviare di meno."),
     .remedy_administrator = WORDS("Raise delivery.max_message_size.", "Aumentare delivery.max_message_size.")},
    {.rule = POLICY_RULE_MAIL_LOOP,
     .word = TEXT_INIT("mail-loop"),
     .stages = AT_MESSAGE,
     .applies = policy_applies_mail_loop,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_MAIL_LOOP,
     .keys = KEYS(KEY("advanced.max_hops")),
     .why = WORDS("The message carries more Received fields than the limit: it goes round in a circle.",
                  "Il messaggio ha più campi Received del limite: sta girando in tondo."),
     .remedy_user = WORDS("Look for two addresses that forward to each other.",
                          "Cercare due indirizzi che si inoltrano a vicenda."),
     .remedy_remote =
         WORDS("Look in the Received fields for the servers that repeat, and end the redirect between them.",
               "Cercare nei campi Received i server che si ripetono e togliere il reindirizzamento fra loro."),
     .remedy_administrator = WORDS(
         "Look for a redirect or route that leads back here; raise advanced.max_hops only for an honest long way.",
         "Cercare un reindirizzamento o una rotta che riporta qui; aumentare advanced.max_hops solo per un percorso "
         "davvero lungo.")},
    {.rule = POLICY_RULE_AUTH_SENDER_MISMATCH,
     .word = TEXT_INIT("auth-sender-mismatch"),
     .stages = IN_TRANSACTION,
     .applies = policy_applies_auth_sender_mismatch,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_AUTH_SENDER_MISMATCH,
     .keys = KEYS(KEY("security.reject_auth_sender_mismatch"), KEY("security.auth_sets_sender")),
     .why = WORDS("Who logs in sends as himself: the sender is none of the account's addresses, aliases, plus-tags or "
                  "send-as addresses.",
                  "Chi si autentica invia a proprio nome: il mittente non è fra gli indirizzi, alias, tag o permessi "
                  "di invio dell'account."),
     .remedy_user =
         WORDS("Set the sender in the mail program to the address of the account that logs in.",
               "Impostare come mittente, nel programma di posta, l'indirizzo dell'account che si autentica."),
     .remedy_administrator = WORDS(
         "Add the address to the account's aliases or to its send-as list; or set security.auth_sets_sender = yes.",
         "Aggiungere l'indirizzo agli alias dell'account o ai suoi permessi di invio; oppure security.auth_sets_sender "
         "= yes.")},
    {.rule = POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED,
     .word = TEXT_INIT("sender-not-authorised"),
     .stages = IN_TRANSACTION,
     .applies = policy_applies_local_sender_not_authorised,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_SENDER_NOT_AUTHORISED,
     .keys = KEYS(KEY("security.reject_unauthorised_local_sender"), KEY("security.trusted"),
                  KEY("security.local_sender_exceptions")),
     .why = WORDS("The sender is in one of our domains, and the client proved in none of the three ways (SMTP AUTH, "
                  "trusted host, POP before SMTP) that it belongs here.",
                  "Il mittente è di un nostro dominio, e il client non ha ottenuto autorizzazione in nessuno dei tre "
                  "modi (autenticazione SMTP, IP attendibile, POP prima di SMTP)."),
     .remedy_user = WORDS("Switch on authentication for outgoing mail, port 465 or 587.",
                          "Attivare l'autenticazione per la posta in uscita, porta 465 o 587."),
     .remedy_remote = WORDS("Mail with our own addresses comes from our own server; a list or forwarder must use its "
                            "own envelope sender (SRS).",
                            "La posta con i nostri indirizzi parte dal nostro server; liste e inoltri devono usare un "
                            "proprio mittente di busta (SRS)."),
     .remedy_administrator = WORDS("A known list or forwarder: a row in security.local_sender_exceptions. A known "
                                   "device: an account, or a single address in security.trusted.",
                                   "Una lista o un inoltro noti: una riga in security.local_sender_exceptions. Un "
                                   "apparecchio noto: un account, o un solo indirizzo in security.trusted.")},
    {.rule = POLICY_RULE_TOO_MANY_RECIPIENTS,
     .word = TEXT_INIT("too-many-recipients"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_too_many_recipients,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_TOO_MANY_RECIPIENTS,
     .keys = KEYS(KEY("advanced.max_recipients_server")),
     .why = WORDS("This message has as many recipients as the server takes at once; those accepted so far get it.",
                  "Il messaggio ha già il numero massimo di destinatari; quelli accettati finora lo ricevono."),
     .remedy_user = WORDS("Send to the remaining recipients in a further message.",
                          "Inviare ai destinatari rimanenti con un altro messaggio."),
     .remedy_remote = WORDS("Send the rest in a further transaction (RFC 5321 section 4.5.3.1.10).",
                            "Inviare il resto in un'altra transazione (RFC 5321 sezione 4.5.3.1.10)."),
     .remedy_administrator =
         WORDS("Raise advanced.max_recipients_server.", "Aumentare advanced.max_recipients_server.")},
    {.rule = POLICY_RULE_RELAY_NOT_PERMITTED,
     .word = TEXT_INIT("relay-not-permitted"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_relay_not_permitted,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_RELAY_NOT_PERMITTED,
     .keys = KEYS(KEY("security.trusted"), KEY("security.pop_before_smtp")),
     .why = WORDS("The recipient is in none of our domains, and the client is authorised in none of the three ways. No "
                  "setting opens this to strangers.",
                  "Il destinatario non è di un nostro dominio, e il client non è autorizzato in nessuno dei tre modi. "
                  "Nessuna impostazione lo apre agli estranei."),
     .remedy_user = WORDS("Switch on authentication for outgoing mail, port 465 or 587.",
                          "Attivare l'autenticazione per la posta in uscita, porta 465 o 587."),
     .remedy_remote = WORDS("This server is not responsible for that domain: look at its MX records again.",
                            "Questo server non è responsabile di quel dominio: ricontrollare i suoi record MX."),
     .remedy_administrator =
         WORDS("Is the domain ours? Then add it. A known device: an account, or a single address in security.trusted.",
               "Il dominio è nostro? Allora aggiungerlo. Un apparecchio noto: un account, o un solo indirizzo in "
               "security.trusted.")},
    {.rule = POLICY_RULE_RELAY_NULL_SENDER,
     .word = TEXT_INIT("relay-null-sender"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_relay_null_sender,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_RELAY_NULL_SENDER,
     .keys = KEYS(KEY("security.trusted")),
     .why = WORDS("The null sender <> names nobody: it goes out only for a client that logged in, not for a trusted "
                  "host or after POP before SMTP.",
                  "Il mittente nullo <> non nomina nessuno: esce solo per un client autenticato, non per un host "
                  "attendibile né dopo POP prima di SMTP."),
     .remedy_user =
         WORDS("Log in, or give the message a sender.", "Autenticarsi, oppure dare un mittente al messaggio."),
     .remedy_administrator =
         WORDS("Give the host that sends reports an account.", "Dare un account all'host che invia le notifiche.")},
    {.rule = POLICY_RULE_RELAY_SENDER_NOT_LOCAL,
     .word = TEXT_INIT("relay-sender-not-local"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_relay_sender_not_local,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_RELAY_SENDER_NOT_LOCAL,
     .keys = KEYS(KEY("security.relay_only_local_sender")),
     .why =
         WORDS("The client is authorised, but mail leaves this server only with a sender of one of our domains.",
               "Il client è autorizzato, ma da questo server la posta esce solo con un mittente di un nostro dominio."),
     .remedy_user = WORDS("Set the sender to your address here.",
                          "Impostare come mittente il proprio indirizzo su questo server."),
     .remedy_administrator =
         WORDS("Add the sender's domain, if it is ours; or set security.relay_only_local_sender = no, and trusted "
               "hosts may send in any name.",
               "Aggiungere il dominio del mittente, se è nostro; oppure security.relay_only_local_sender = no, e gli "
               "host attendibili inviano a nome di chiunque.")},
    {.rule = POLICY_RULE_POSTMASTER,
     .word = TEXT_INIT("postmaster"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_postmaster,
     .outcome = POLICY_ACCEPT_LOCAL,
     .reply = REPLY_RECIPIENT_OK,
     .keys = KEYS(KEY("service.administrator")),
     .why = WORDS("Postmaster is always reachable (RFC 5321 section 4.5.1), even when the mailbox behind it is full or "
                  "disabled.",
                  "Postmaster è sempre raggiungibile (RFC 5321 sezione 4.5.1), anche se la sua casella è piena o "
                  "disabilitata.")},
    {.rule = POLICY_RULE_RECIPIENT_UNKNOWN,
     .word = TEXT_INIT("recipient-unknown"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_recipient_unknown,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_RECIPIENT_UNKNOWN,
     .why = WORDS("The domain is ours, but no account, alias, group or catch-all has this address. It is said at RCPT, "
                  "so no report goes to a forged sender.",
                  "Il dominio è nostro, ma nessun account, alias, gruppo o catch-all ha questo indirizzo. Lo si dice a "
                  "RCPT: nessuna notifica va a un mittente falsificato."),
     .remedy_user = WORDS("Check the spelling of the address.", "Controllare come è scritto l'indirizzo."),
     .remedy_remote = WORDS("Check the spelling, or take the address off the list.",
                            "Controllare l'indirizzo, o toglierlo dalla lista."),
     .remedy_administrator = WORDS("Add the account, or an alias or catch-all that takes the address.",
                                   "Aggiungere l'account, oppure un alias o un catch-all che riceva l'indirizzo.")},
    {.rule = POLICY_RULE_RECIPIENT_DISABLED,
     .word = TEXT_INIT("recipient-disabled"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_recipient_disabled,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_RECIPIENT_DISABLED,
     .why = WORDS("The account exists and the administrator has disabled it.",
                  "L'account esiste e l'amministratore lo ha disabilitato."),
     .remedy_user = WORDS("Reach the person another way.", "Contattare la persona in altro modo."),
     .remedy_remote = WORDS("Take the address off the list.", "Togliere l'indirizzo dalla lista."),
     .remedy_administrator = WORDS("Enable the account, or put an alias in its place.",
                                   "Riabilitare l'account, o mettere un alias al suo posto.")},
    {.rule = POLICY_RULE_MAILBOX_FULL_PERMANENT,
     .word = TEXT_INIT("mailbox-full-permanent"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_mailbox_full_permanent,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_MAILBOX_FULL_PERMANENT,
     .keys = KEYS(KEY("delivery.full_mailbox_permanent")),
     .why = WORDS("The mailbox is over its quota, and the settings make that final.",
                  "La casella supera la quota, e le impostazioni lo rendono definitivo."),
     .remedy_user =
         WORDS("The owner must make room; then send again.", "Il titolare deve fare spazio; poi inviare di nuovo."),
     .remedy_remote =
         WORDS("Send again once the owner has made room.", "Inviare di nuovo quando il titolare avrà fatto spazio."),
     .remedy_administrator = WORDS("Raise the account's quota; or set delivery.full_mailbox_permanent = no, and the "
                                   "sender's server tries again by itself.",
                                   "Aumentare la quota dell'account; oppure delivery.full_mailbox_permanent = no, e il "
                                   "server del mittente riprova da solo.")},
    {.rule = POLICY_RULE_MAILBOX_FULL,
     .word = TEXT_INIT("mailbox-full"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_mailbox_full,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_MAILBOX_FULL,
     .keys = KEYS(KEY("delivery.full_mailbox_permanent")),
     .why = WORDS("The mailbox is over its quota; the sender's server tries again by itself.",
                  "La casella supera la quota; il server del mittente riprova da solo."),
     .remedy_user = WORDS("The owner must make room.", "Il titolare deve fare spazio."),
     .remedy_remote = WORDS("Keep the message and try again later.", "Conservare il messaggio e riprovare più tardi."),
     .remedy_administrator = WORDS("Raise the account's quota.", "Aumentare la quota dell'account.")},
    {.rule = POLICY_RULE_AUTH_HEADER_MISMATCH,
     .word = TEXT_INIT("auth-header-mismatch"),
     .stages = AT_MESSAGE,
     .applies = policy_applies_auth_header_mismatch,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_AUTH_HEADER_MISMATCH,
     .keys = KEYS(KEY("security.reject_auth_header_mismatch")),
     .why =
         WORDS("Who logs in writes as himself: the From field that the reader sees is none of the account's addresses.",
               "Chi si autentica scrive a proprio nome: il campo From che il lettore vede non è fra gli indirizzi "
               "dell'account."),
     .remedy_user = WORDS("Set the From address in the mail program to an address of the account.",
                          "Impostare nel programma di posta un indirizzo From dell'account."),
     .remedy_administrator = WORDS("Add the address to the account's aliases or to its send-as list.",
                                   "Aggiungere l'indirizzo agli alias dell'account o ai suoi permessi di invio.")},
    {.rule = POLICY_RULE_LOCAL_HEADER_NOT_AUTHORISED,
     .word = TEXT_INIT("local-header-not-authorised"),
     .stages = AT_MESSAGE,
     .applies = policy_applies_local_header_not_authorised,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_LOCAL_HEADER_NOT_AUTHORISED,
     .keys = KEYS(KEY("security.unauthorised_local_header"), KEY("security.local_sender_exceptions"),
                  KEY("security.trusted")),
     .why = WORDS("The From field names one of our domains, and the client is authorised in none of the three ways.",
                  "Il campo From nomina un nostro dominio, e il client non è autorizzato in nessuno dei tre modi."),
     .remedy_user = WORDS("Send through this server, logged in.", "Inviare tramite questo server, autenticandosi."),
     .remedy_remote =
         WORDS("A list that carries our users' posts: ask our administrator for an exception.",
               "Una lista che trasporta messaggi dei nostri utenti: chiedere un'eccezione al nostro amministratore."),
     .remedy_administrator =
         WORDS("A row in security.local_sender_exceptions for the list; or security.unauthorised_local_header = mark.",
               "Una riga in security.local_sender_exceptions per la lista; oppure security.unauthorised_local_header = "
               "mark.")},
    {.rule = POLICY_RULE_LOCAL_HEADER_MARKED,
     .word = TEXT_INIT("local-header-marked"),
     .stages = AT_MESSAGE,
     .applies = policy_applies_local_header_marked,
     .outcome = POLICY_ACCEPT,
     .reply = REPLY_MESSAGE_ACCEPTED,
     .keys = KEYS(KEY("security.unauthorised_local_header"), KEY("security.local_sender_exceptions")),
     .why = WORDS("The message is taken, and marked: its From field names one of our domains, and the client is "
                  "authorised in none of the three ways.",
                  "Il messaggio è accettato e marcato: il campo From nomina un nostro dominio, e il client non è "
                  "autorizzato in nessuno dei tre modi."),
     .remedy_administrator = WORDS(
         "security.unauthorised_local_header = refuse keeps such mail out; posts that come back through lists too.",
         "security.unauthorised_local_header = refuse tiene fuori questa posta; anche i messaggi che tornano dalle "
         "liste.")},
    {.rule = POLICY_RULE_SENDER_FROM_LOGIN,
     .word = TEXT_INIT("sender-from-login"),
     .stages = AT_SENDER,
     .applies = policy_applies_sender_from_login,
     .outcome = POLICY_ACCEPT,
     .reply = REPLY_SENDER_OK,
     .keys = KEYS(KEY("security.auth_sets_sender")),
     .why = WORDS("The sender is not the login's own; the login's address takes its place.",
                  "Il mittente non è proprio del login; al suo posto va l'indirizzo del login.")},
    {.rule = POLICY_RULE_RELAY_NULL,
     .word = TEXT_INIT("relay-null"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_relay_null,
     .outcome = POLICY_ACCEPT_RELAY,
     .reply = REPLY_RECIPIENT_OK_FORWARD,
     .why =
         WORDS("The client logged in: its report with the null sender may go out. It is logged and counted.",
               "Il client è autenticato: la sua notifica con mittente nullo può uscire. Viene registrata e contata.")},
    {.rule = POLICY_RULE_RELAY,
     .word = TEXT_INIT("relay"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_relay,
     .outcome = POLICY_ACCEPT_RELAY,
     .reply = REPLY_RECIPIENT_OK_FORWARD,
     .keys = KEYS(KEY("security.trusted"), KEY("security.relay_only_local_sender"),
                  KEY("security.reject_auth_sender_mismatch")),
     .why = WORDS("The client is authorised, so its mail may go to another server.",
                  "Il client è autorizzato: la sua posta può andare a un altro server.")},
    {.rule = POLICY_RULE_LOCAL_DELIVERY,
     .word = TEXT_INIT("local-delivery"),
     .stages = AT_RECIPIENT,
     .applies = policy_applies_otherwise,
     .outcome = POLICY_ACCEPT_LOCAL,
     .reply = REPLY_RECIPIENT_OK,
     .why = WORDS("The recipient is ours.", "Il destinatario è nostro.")},
    {.rule = POLICY_RULE_SENDER,
     .word = TEXT_INIT("sender"),
     .stages = AT_SENDER,
     .applies = policy_applies_otherwise,
     .outcome = POLICY_ACCEPT,
     .reply = REPLY_SENDER_OK,
     .why = WORDS("Nothing speaks against the sender.", "Nulla si oppone al mittente.")},
    {.rule = POLICY_RULE_MESSAGE,
     .word = TEXT_INIT("message"),
     .stages = AT_MESSAGE,
     .applies = policy_applies_otherwise,
     .outcome = POLICY_ACCEPT,
     .reply = REPLY_MESSAGE_ACCEPTED,
     .why = WORDS("Nothing speaks against the message.", "Nulla si oppone al messaggio.")},
    {.rule = POLICY_RULE_COMMAND,
     .word = TEXT_INIT("command"),
     .stages = AT_COMMAND | AT_AUTH,
     .applies = policy_applies_otherwise,
     .outcome = POLICY_ACCEPT,
     .reply = REPLY_NONE,
     .why = WORDS("The command may be answered.", "Al comando si può rispondere.")},
    {.rule = POLICY_RULE_FACT_UNAVAILABLE,
     .word = TEXT_INIT("facts-unavailable"),
     .stages = ALWAYS,
     .applies = policy_applies_otherwise,
     .outcome = POLICY_REFUSE,
     .reply = REPLY_FACTS_UNAVAILABLE,
     .why = WORDS("What the rule must know can't be told at the moment. That is our trouble, not the client's, so it "
                  "is asked to try again.",
                  "Ciò che la regola deve sapere non è verificabile al momento. È un problema nostro, non del client: "
                  "gli si chiede di riprovare."),
     .remedy_user = WORDS("Try again in a few minutes.", "Riprovare fra qualche minuto."),
     .remedy_remote = WORDS("Keep the message and try again later.", "Conservare il messaggio e riprovare più tardi."),
     .remedy_administrator =
         WORDS("See `portiere status` for the vault and the resolver, and the log for what went wrong.",
               "Vedere `portiere status` per vault e resolver, e il registro per la causa.")},
};

_Static_assert(length_of(table) == POLICY_RULES - 1, "each rule has its row");

struct policy_rules policy_rules_all(void)
{
    const size_t ordered = length_of(table) - 1;
    return (struct policy_rules){.rows = table, .count = ordered, .unavailable = &table[ordered]};
}

/* The enum follows the order of the table; the unit test holds them together. */
const struct policy_rule_row *policy_rule_row(enum policy_rule rule)
{
    must(rule > POLICY_RULE_NONE && rule < POLICY_RULES);
    return &table[rule - 1];
}
