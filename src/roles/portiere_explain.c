/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/portiere.h"

#include "policy/explain.h"

enum { WORDS_LIMIT = 1 << 18 };

/* What is asked, and what was found out about it. */
struct explaining {
    struct command_session *session;
    const struct settings *settings;
    struct policy_question question;
    struct text client, login, from, to, header_from;
    bool has_from, has_to, has_header_from;
};

static enum command_exit explain_code(struct command_session *s, struct text code)
{
    struct buffer words released_by(buffer_done) = buffer_new(WORDS_LIMIT);
    if (text_starts_with(code, TEXT("[")) && text_ends_with(code, TEXT("]"))) /* as it stands in the refusal */
        code = text_of(code.bytes + 1, code.length - 2);
    if (!policy_explain_code(&words, code, s->call.language)) {
        command_complain(s, COMMAND_WORD_UNKNOWN_CODE, code, TEXT_NONE);
        return COMMAND_EXIT_FAILED;
    }
    struct text said[] = {TEXT("explanation"), buffer_text(&words), TEXT("code"), code};
    return command_answer(s, said, s->call.is_json ? 4 : 2) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}

/* --- the facts that the question gives --------------------------------------------------------------------------------------------------- */

static const struct {
    struct text word, number;
    enum policy_listener listener;
    enum settings_listen_role role;
} ports[] = {
    {.word = TEXT_INIT("smtp"), .number = TEXT_INIT("25"), .listener = POLICY_LISTENER_SMTP, .role = SETTINGS_LISTEN_SMTP},
    {.word = TEXT_INIT("submission"), .number = TEXT_INIT("587"), .listener = POLICY_LISTENER_SUBMISSION, .role = SETTINGS_LISTEN_SUBMISSION},
    {.word = TEXT_INIT("submissions"), .number = TEXT_INIT("465"), .listener = POLICY_LISTENER_SUBMISSIONS, .role = SETTINGS_LISTEN_SUBMISSIONS},
};

static void take_listener(struct policy_facts *facts, enum settings_listen_role role, bool offers_auth)
{
    for (size_t i = 0; i < length_of(ports); i++)
        if (ports[i].role == role)
            facts->listener = ports[i].listener;
    facts->offers_auth = offers_auth || facts->listener != POLICY_LISTENER_SMTP;
    facts->is_encrypted |= facts->listener == POLICY_LISTENER_SUBMISSIONS;
}

/* A word, the usual number, or the number that a listener here has. */
static bool take_port(struct explaining *e)
{
    struct text port = command_argument(&e->session->call, TEXT("port"));
    struct policy_facts *facts = &e->question.facts;
    const struct settings_listens *listens = &e->settings->service_listen;
    enum settings_listen_role role = SETTINGS_LISTEN_SMTP;
    uint64_t number;
    bool is_known = port.length == 0;
    for (size_t i = 0; i < length_of(ports); i++)
        if (text_equals_ignoring_case(port, ports[i].word) || text_equals(port, ports[i].number)) {
            role = ports[i].role;
            is_known = true;
        }
    bool has_number = text_number(port, UINT16_MAX, &number);
    for (size_t i = 0; i < listens->count; i++)
        if ((has_number && listens->rows[i].port == number && listens->rows[i].role <= SETTINGS_LISTEN_SUBMISSIONS)) {
            take_listener(facts, listens->rows[i].role, listens->rows[i].offers_auth);
            return true;
        }
    if (!is_known) {
        command_complain(e->session, COMMAND_WORD_BAD_PORT, port, TEXT_NONE);
        return false;
    }
    bool offers_auth = false;
    for (size_t i = 0; i < listens->count; i++)
        offers_auth |= listens->rows[i].role == role && listens->rows[i].offers_auth;
    take_listener(facts, role, offers_auth);
    return true;
}

/* Networks are compared here; rows with names of hosts, and "self", need look-ups that explain does not make: then it stays unknown. */
static bool take_client(struct explaining *e)
{
    struct network_address address;
    const struct settings_clients *trusted = &e->settings->security_trusted;
    struct policy_facts *facts = &e->question.facts;
    if (e->client.length && !network_address_parse(e->client, &address)) {
        command_complain(e->session, COMMAND_WORD_BAD_CLIENT, e->client, TEXT_NONE);
        return false;
    }
    facts->pop = e->settings->security_pop_before_smtp ? POLICY_POP_UNKNOWN_YET : POLICY_POP_NONE;
    if (e->client.length == 0)
        return true;
    bool needs_names = false;
    for (size_t i = 0; i < trusted->count; i++)
        needs_names |= trusted->rows[i].kind != SETTINGS_CLIENT_NETWORK;
    facts->trusted = settings_trusts(e->settings, &address) ? POLICY_ANSWER_YES : needs_names ? POLICY_ANSWER_UNKNOWN_YET : POLICY_ANSWER_NO;
    return true;
}

static struct text without_brackets(struct text address)
{
    return text_starts_with(address, TEXT("<")) && text_ends_with(address, TEXT(">")) ? text_of(address.bytes + 1, address.length - 2) : address;
}

static bool is_good(struct explaining *e, struct text name, struct text address, bool may_be_null)
{
    struct address parsed;
    if (address_parse(address, true, &parsed) == ADDRESS_OK && (may_be_null || !address_is_null(&parsed)))
        return true;
    command_complain(e->session, COMMAND_WORD_BAD_ADDRESS, name, address);
    return false;
}

static bool take_addresses(struct explaining *e)
{
    struct command_call *call = &e->session->call;
    struct policy_facts *facts = &e->question.facts;
    struct address to;
    e->client = command_argument(call, TEXT("client"));
    e->login = command_argument(call, TEXT("login"));
    e->from = without_brackets(command_argument(call, TEXT("from")));
    e->to = without_brackets(command_argument(call, TEXT("to")));
    e->header_from = without_brackets(command_argument(call, TEXT("header-from")));
    e->has_from = command_has_argument(call, TEXT("from"));
    e->has_to = command_has_argument(call, TEXT("to"));
    e->has_header_from = command_has_argument(call, TEXT("header-from"));
    if ((e->has_from && !is_good(e, TEXT("--from"), e->from, true)) || (e->has_to && !is_good(e, TEXT("--to"), e->to, false)) ||
        (e->has_header_from && !is_good(e, TEXT("--header-from"), e->header_from, false)))
        return false;
    facts->is_encrypted = command_has_argument(call, TEXT("tls"));
    /* who says nothing about it means a client that greets; --helo "" is one that does not */
    facts->has_greeted = !command_has_argument(call, TEXT("helo")) || command_argument(call, TEXT("helo")).length > 0;
    facts->is_logged_in = e->login.length > 0;
    facts->is_sender_null = e->has_from && e->from.length == 0;
    facts->has_header_from = e->has_header_from;
    facts->is_postmaster = e->has_to && address_parse(e->to, true, &to) == ADDRESS_OK && address_is_postmaster(&to);
    if (facts->is_postmaster && to.domain.length == 0)
        facts->recipient = MAIL_ADDRESS_LOCAL;
    return true;
}

/* --- what the vault knows ---------------------------------------------------------------------------------------------------------------- */

static bool take_kind(void *context, const struct text *fields, size_t count)
{
    uint64_t kind;
    for (size_t i = 0; i + 1 < count; i += 2)
        if (text_equals(fields[i], TEXT("kind")) && text_number(fields[i + 1], MAIL_ADDRESS_KINDS - 1, &kind))
            *(enum mail_address_kind *)context = (enum mail_address_kind)kind;
    return true;
}

static enum command_exit ask_kind(struct explaining *e, struct text address, struct text login, enum mail_address_kind *ret_kind)
{
    struct text ask[] = {TEXT("address"), address, TEXT("login"), login};
    enum mail_address_kind kind = MAIL_ADDRESS_UNKNOWN_YET;
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (!command_reach(e->session, PEERS_VAULT, &exit))
        return exit;
    exit = command_put(e->session, command_row(COMMAND_address_kinds), ask, login.length ? 4 : 2, take_kind, &kind);
    if (exit == COMMAND_EXIT_DONE)
        *ret_kind = kind;
    return exit;
}

static enum command_exit ask_vault(struct explaining *e)
{
    struct policy_facts *facts = &e->question.facts;
    enum command_exit exit = COMMAND_EXIT_DONE;
    if (e->has_from && !facts->is_sender_null)
        exit = ask_kind(e, e->from, e->login, &facts->sender);
    if (exit == COMMAND_EXIT_DONE && e->has_to && facts->recipient == MAIL_ADDRESS_UNKNOWN_YET)
        exit = ask_kind(e, e->to, TEXT_NONE, &facts->recipient);
    if (exit == COMMAND_EXIT_DONE && e->has_header_from)
        exit = ask_kind(e, e->header_from, e->login, &facts->header_from);
    return exit;
}

/* --- the verdict ------------------------------------------------------------------------------------------------------------------------- */

/* The session's stages one after the other: the first refusal is the answer, then the first fact that is missing, then the last stage. */
static void find_stage(struct explaining *e)
{
    struct policy_facts *facts = &e->question.facts;
    const struct {
        enum policy_stage stage;
        bool is_asked;
    } stages[] = {
        {.stage = POLICY_STAGE_COMMAND, .is_asked = true},
        {.stage = POLICY_STAGE_AUTH, .is_asked = e->login.length > 0},
        {.stage = POLICY_STAGE_SENDER, .is_asked = e->has_from},
        {.stage = POLICY_STAGE_RECIPIENT, .is_asked = e->has_to},
        {.stage = POLICY_STAGE_MESSAGE, .is_asked = e->has_header_from},
    };
    enum policy_stage needing = POLICY_STAGES, last = POLICY_STAGE_COMMAND;
    for (size_t i = 0; i < length_of(stages); i++) {
        if (!stages[i].is_asked)
            continue;
        struct policy_facts then = *facts;
        then.stage = last = stages[i].stage;
        then.is_logged_in = facts->is_logged_in && then.stage != POLICY_STAGE_AUTH; /* it is not yet when it says AUTH */
        struct policy_verdict verdict = policy_judge(&then, &e->question.settings);
        if (verdict.outcome == POLICY_REFUSE) {
            *facts = then;
            return;
        }
        if (verdict.rule == POLICY_RULE_SENDER_FROM_LOGIN)
            facts->sender = MAIL_ADDRESS_LOCAL_OWN; /* the login's address takes its place from here on */
        if (verdict.outcome == POLICY_NEEDS && needing == POLICY_STAGES)
            needing = then.stage;
    }
    facts->stage = needing < POLICY_STAGES ? needing : last;
    facts->is_logged_in = facts->is_logged_in && facts->stage != POLICY_STAGE_AUTH;
}

static struct text decimal(struct command_session *s, uint64_t number)
{
    struct buffer digits released_by(buffer_done) = buffer_new(24);
    struct text copy = TEXT_NONE;
    ignored(buffer_append_number(&digits, number) && arena_copy(&s->arena, buffer_text(&digits), &copy)); /* then it shows as "?" */
    return copy;
}

static enum command_exit show(struct explaining *e)
{
    struct command_session *s = e->session;
    if (s->call.is_json) {
        static struct policy_pair pairs[POLICY_PAIRS];
        struct text fields[2 * POLICY_PAIRS];
        size_t count = 0;
        if (!policy_explain_pairs(&s->arena, &e->question, s->call.language, pairs, &count))
            return COMMAND_EXIT_FAILED;
        for (size_t i = 0; i < count; i++) {
            fields[2 * i] = pairs[i].name;
            fields[2 * i + 1] = pairs[i].value;
        }
        return command_answer(s, fields, 2 * count) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
    }
    struct buffer words released_by(buffer_done) = buffer_new(WORDS_LIMIT);
    if (!policy_explain(&words, &e->question, s->call.language))
        return COMMAND_EXIT_FAILED;
    struct text said[] = {TEXT("explanation"), buffer_text(&words)};
    return command_answer(s, said, 2) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}

enum command_exit portiere_explain(struct command_session *s)
{
    struct explaining e = {.session = s};
    struct text code = command_argument(&s->call, TEXT("code"));
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (code.length)
        return explain_code(s, code);
    if (s->call.count == 0) {
        command_complain(s, COMMAND_WORD_EXPLAIN_WHAT, TEXT_NONE, TEXT_NONE);
        return COMMAND_EXIT_USAGE;
    }
    e.settings = command_running(s);
    if (!e.settings)
        e.settings = command_settings(s, &exit);
    if (!e.settings)
        return exit;
    if (!take_addresses(&e) || !take_client(&e) || !take_port(&e))
        return COMMAND_EXIT_USAGE;
    exit = ask_vault(&e);
    if (exit != COMMAND_EXIT_DONE)
        return exit;
    e.question.settings = policy_settings_of(e.settings);
    e.question.subject = (struct policy_subject){.sender = e.from, .recipient = e.to, .size_limit = decimal(s, e.settings->delivery_max_message_size),
                                                 .hop_limit = decimal(s, e.settings->advanced_max_hops),
                                                 .recipient_limit = decimal(s, e.settings->advanced_max_recipients_server)};
    find_stage(&e);
    return show(&e);
}
