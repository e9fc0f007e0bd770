/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that say where mail goes. A message never repeats a host word: it may hold a password. */
#include "settings/table.h"

static bool parse_host(struct settings_row_job *job, struct text word, struct settings_host *ret_host)
{
    const char *message = NULL;
    if (!settings_host_parse(job->arena, word, ret_host, &message))
        return settings_row_refuse(job, message);
    if (!text_is_empty(job->secret) && !text_is_empty(settings_host_secret_file(ret_host)))
        ret_host->password = job->secret;
    return true;
}

static bool parse_tls(struct settings_row_job *job, struct text value, uint64_t *ret_level)
{
    return settings_tls_level_parse(value, ret_level) ||
           settings_row_refuse_word(job, value, "write off, opportunistic, require or verify");
}

bool settings_row_relay_host(struct settings_row_job *job, void *row)
{
    struct settings_relay_host *relay = row;
    if (!parse_host(job, text_take_word(&job->rest), &relay->host))
        return false;
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN) {
        if (!text_equals_ignoring_case(name, TEXT("tls")))
            return settings_row_refuse_word(job, name, "no such option; write tls=off|opportunistic|require|verify");
        if (!parse_tls(job, value, &relay->host.tls))
            return false;
    }
    return result == SETTINGS_OPTION_END;
}

static bool parse_domain_mask(struct settings_row_job *job, struct text *ret_domain)
{
    struct text word = text_take_word(&job->rest);
    if (!settings_domain_mask_is_valid(word))
        return settings_row_refuse_word(job, word, "the row begins with a domain, as in example.org or *.example.org");
    return settings_domain_key(job->arena, word, ret_domain) ||
           settings_row_refuse_word(job, word, "this is no domain name");
}

static bool parse_limit(struct settings_row_job *job, struct text value, uint64_t *ret_number)
{
    if (text_equals_ignoring_case(value, TEXT("none"))) {
        *ret_number = 0;
        return true;
    }
    return text_number(value, 100000000, ret_number) ||
           settings_row_refuse_word(job, value, "write a number; 0 or none for no limit");
}

static bool route_option(struct settings_row_job *job, struct settings_route *route, struct text name,
                         struct text value)
{
    if (text_equals_ignoring_case(name, TEXT("tls")))
        return parse_tls(job, value, &route->host.tls);
    if (text_equals_ignoring_case(name, TEXT("max_sessions")))
        return parse_limit(job, value, &route->max_sessions);
    if (text_equals_ignoring_case(name, TEXT("max_recipients")))
        return parse_limit(job, value, &route->max_recipients);
    if (!text_equals_ignoring_case(name, TEXT("source")))
        return settings_row_refuse_word(job, name,
                                        "no such option; write tls=, source=, max_sessions= or max_recipients=");
    route->has_source = network_address_parse(value, &route->source);
    return route->has_source || settings_row_refuse_word(job, value, "write source=ADDRESS");
}

bool settings_row_route(struct settings_row_job *job, void *row)
{
    struct settings_route *route = row;
    if (!parse_domain_mask(job, &route->domain) || !parse_host(job, text_take_word(&job->rest), &route->host))
        return false;
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN)
        if (!route_option(job, route, name, value))
            return false;
    if (result == SETTINGS_OPTION_BAD)
        return false;
    bool is_later = route->has_source || route->max_sessions != 0 || route->max_recipients != 0;
    return !is_later || settings_row_refuse(job, "source=, max_sessions= and max_recipients= are not built yet");
}

static bool parse_redirect_flags(struct settings_row_job *job, struct text value, unsigned *ret_flags)
{
    static const struct {
        struct text word;
        enum settings_redirect_flag flag;
    } words[] = {
        {.word = TEXT_INIT("local_recipient"), .flag = SETTINGS_REDIRECT_LOCAL_RECIPIENT},
        {.word = TEXT_INIT("always"), .flag = SETTINGS_REDIRECT_ALWAYS},
        {.word = TEXT_INIT("authenticated"), .flag = SETTINGS_REDIRECT_AUTHENTICATED},
        {.word = TEXT_INIT("match_sender"), .flag = SETTINGS_REDIRECT_MATCH_SENDER},
        {.word = TEXT_INIT("local_sender"), .flag = SETTINGS_REDIRECT_LOCAL_SENDER},
    };
    unsigned flags = 0;
    while (!text_is_empty(value)) {
        struct text word = text_take_until(&value, ',');
        size_t i = 0;
        while (i < length_of(words) && !text_equals_ignoring_case(words[i].word, word))
            i++;
        if (i == length_of(words))
            return settings_row_refuse_word(
                job, word, "the flags are local_recipient, always, authenticated, match_sender, local_sender");
        flags |= (unsigned)words[i].flag;
    }
    *ret_flags = flags;
    return true;
}

/* Variables that the guide knows; any other pair of %% is a typing error. */
static bool destination_is_valid(struct text t)
{
    static const struct text variables[] = {TEXT_INIT("%%alias%%"), TEXT_INIT("%%domain%%"),
                                            TEXT_INIT("%%current_recipient%%")};
    if (text_is_empty(t))
        return false;
    while (!text_is_empty(t)) {
        (void)text_take(&t, text_find(t, TEXT("%%")));
        if (text_is_empty(t))
            return true;
        size_t i = 0;
        while (i < length_of(variables) && !text_take_prefix_ignoring_case(&t, variables[i]))
            i++;
        if (i == length_of(variables))
            return false;
    }
    return true;
}

static bool source_is_valid(struct text t)
{
    struct address address;
    if (!text_has_octet(t, '@'))
        return settings_domain_mask_is_valid(t);
    return address_parse(t, true, &address) == ADDRESS_OK && !address_is_null(&address);
}

static bool redirect_option(struct settings_row_job *job, struct settings_redirect *redirect, struct text name,
                            struct text value)
{
    if (text_equals_ignoring_case(name, TEXT("flags")))
        return parse_redirect_flags(job, value, &redirect->flags);
    if (!text_equals_ignoring_case(name, TEXT("host")))
        return settings_row_refuse_word(job, name, "no such option; write host= or flags=");
    redirect->has_host = true;
    return parse_host(job, value, &redirect->host);
}

bool settings_row_redirect(struct settings_row_job *job, void *row)
{
    struct settings_redirect *redirect = row;
    redirect->source = text_take_word(&job->rest);
    redirect->is_regex = text_take_octet(&redirect->source, '^');
    if (redirect->is_regex ? text_is_empty(redirect->source) : !source_is_valid(redirect->source))
        return settings_row_refuse_word(job, redirect->source,
                                        "the source is an address, a domain, or ^ and a regular expression");
    redirect->destination = text_take_word(&job->rest);
    if (!destination_is_valid(redirect->destination))
        return settings_row_refuse_word(
            job, redirect->destination,
            "the destination is an address or a domain, with %%alias%%, %%domain%% or %%current_recipient%%");
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN)
        if (!redirect_option(job, redirect, name, value))
            return false;
    return result == SETTINGS_OPTION_END;
}

static bool refuse_more(struct settings_row_job *job)
{
    struct text more = text_trimmed(job->rest);
    return text_is_empty(more) ||
           settings_row_refuse_word(job, more, "nothing more may follow; a comment begins with #");
}

bool settings_row_domain_number(struct settings_row_job *job, void *row)
{
    struct settings_domain_number *exception = row;
    return parse_domain_mask(job, &exception->domain) &&
           parse_limit(job, text_take_word(&job->rest), &exception->number) && refuse_more(job);
}

bool settings_row_tls_rule(struct settings_row_job *job, void *row)
{
    struct settings_tls_rule *rule = row;
    return parse_domain_mask(job, &rule->domain) && parse_tls(job, text_take_word(&job->rest), &rule->level) &&
           refuse_more(job);
}

bool settings_row_certificate(struct settings_row_job *job, void *row)
{
    struct settings_certificate *certificate = row;
    struct text name = text_take_word(&job->rest);
    bool is_default = text_equals(name, TEXT("*"));
    if (!is_default && !settings_domain_mask_is_valid(name))
        return settings_row_refuse_word(job, name, "the row begins with a host name, or * for the default certificate");
    certificate->name = is_default ? TEXT_NONE : name;
    certificate->certificate = text_take_word(&job->rest);
    certificate->key = text_take_word(&job->rest);
    if (text_is_empty(certificate->key))
        return settings_row_refuse(job, "write name, certificate file and key file");
    return refuse_more(job);
}

static bool limit_option(struct settings_row_job *job, struct settings_account_limit *limit, struct text name,
                         struct text value)
{
    if (text_equals_ignoring_case(name, TEXT("messages"))) {
        limit->has_messages = true;
        return parse_limit(job, value, &limit->messages);
    }
    if (text_equals_ignoring_case(name, TEXT("recipients"))) {
        limit->has_recipients = true;
        return parse_limit(job, value, &limit->recipients);
    }
    if (text_equals_ignoring_case(name, TEXT("new_recipients"))) {
        limit->has_new_recipients = true;
        return parse_limit(job, value, &limit->new_recipients);
    }
    return settings_row_refuse_word(job, name, "no such option; write messages=, recipients= or new_recipients=");
}

bool settings_row_account_limit(struct settings_row_job *job, void *row)
{
    struct settings_account_limit *limit = row;
    struct address address;
    struct network network;
    const char *message = NULL;
    limit->account = text_take_word(&job->rest);
    bool is_account = address_parse(limit->account, true, &address) == ADDRESS_OK && !address_is_null(&address);
    if (!is_account && !network_parse(limit->account, &network, &message))
        return settings_row_refuse_word(job, limit->account,
                                        "the row begins with an account, or the address of a trusted client");
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN)
        if (!limit_option(job, limit, name, value))
            return false;
    return result == SETTINGS_OPTION_END;
}
