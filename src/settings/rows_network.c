/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that name listeners, clients and resolvers, and the pieces all rows share. */
#include "settings/table.h"

bool settings_row_refuse(struct settings_row_job *job, const char *message)
{
    buffer_append(job->complaint, text_of_terminated(message));
    return false;
}

bool settings_row_refuse_word(struct settings_row_job *job, struct text word, const char *message)
{
    /* in a table with log-ins a misplaced word may be one */
    if (job->spec->secret_readers == 0) {
        buffer_append_octet(job->complaint, '"');
        buffer_append(job->complaint, text_first(word, 100));
        buffer_append(job->complaint, TEXT("\": "));
    }
    return settings_row_refuse(job, message);
}

bool settings_option_split(struct text word, struct text *ret_name, struct text *ret_value)
{
    size_t at = text_find_octet(word, '=');
    if (at == word.length)
        return false;
    *ret_name = text_first(word, at);
    *ret_value = text_after(word, at + 1);
    return true;
}

enum settings_option_result settings_row_take_option(struct settings_row_job *job, struct text *ret_name,
                                                     struct text *ret_value)
{
    struct text word = text_take_word(&job->rest);
    if (text_is_empty(word))
        return SETTINGS_OPTION_END;
    if (settings_option_split(word, ret_name, ret_value))
        return SETTINGS_OPTION_TAKEN;
    (void)settings_row_refuse_word(job, word, "what follows must be name=value");
    return SETTINGS_OPTION_BAD;
}

bool settings_port_parse(struct text t, uint16_t *ret_port)
{
    uint64_t number;
    if (!text_number(t, 65535, &number) || number == 0)
        return false;
    *ret_port = (uint16_t)number;
    return true;
}

size_t settings_port_find(struct text t)
{
    size_t from = 0;
    if (text_starts_with(t, TEXT("[")))
        from = text_find_octet(t, ']');
    return from + text_find_octet(text_after(t, from), ':');
}

bool settings_endpoint_parse(struct text t, bool *ret_is_any, struct network_address *ret_address, uint16_t *ret_port)
{
    size_t colon = settings_port_find(t);
    struct text host = text_first(t, colon);
    bool is_any = text_equals(host, TEXT("*"));
    /* an IPv6 address without brackets would leave in doubt which colon begins the port */
    if (colon >= t.length || (!is_any && !network_address_parse(host, ret_address)))
        return false;
    if (!settings_port_parse(text_after(t, colon + 1), ret_port))
        return false;
    *ret_is_any = is_any;
    return true;
}

static bool find_word(const struct text *words, size_t count, struct text word, size_t *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (!text_equals_ignoring_case(words[i], word))
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

static bool parse_tls_min(struct text value, uint64_t *ret_version)
{
    const struct settings_spec *spec = settings_spec(SETTINGS_KEY_tls_min_version);
    return settings_word_find(spec, value, ret_version) && *ret_version >= SETTINGS_TLS_VERSION_1_2;
}

static bool listen_option(struct settings_row_job *job, struct settings_listen *listen, struct text name,
                          struct text value)
{
    if (text_equals_ignoring_case(name, TEXT("tls_min")))
        return parse_tls_min(value, &listen->tls_min) ||
               settings_row_refuse_word(job, value, "write tls_min=1.2 or tls_min=1.3");
    static const struct text names[] = {TEXT_INIT("auth"), TEXT_INIT("proxy"), TEXT_INIT("lenient"),
                                        TEXT_INIT("startup")};
    bool *const flags[] = {&listen->offers_auth, &listen->is_proxied, &listen->is_lenient, &listen->starts};
    size_t index;
    if (!find_word(names, length_of(names), name, &index))
        return settings_row_refuse_word(job, name,
                                        "no such option; write auth=, proxy=, tls_min=, lenient= or startup=");
    return settings_flag_parse(value, flags[index]) || settings_row_refuse_word(job, value, "write yes or no");
}

bool settings_row_listen(struct settings_row_job *job, void *row)
{
    static const struct text roles[SETTINGS_LISTEN_ROLES] = {
        [SETTINGS_LISTEN_SMTP] = TEXT_INIT("smtp"),
        [SETTINGS_LISTEN_SUBMISSION] = TEXT_INIT("submission"),
        [SETTINGS_LISTEN_SUBMISSIONS] = TEXT_INIT("submissions"),
        [SETTINGS_LISTEN_POP3] = TEXT_INIT("pop3"),
        [SETTINGS_LISTEN_POP3S] = TEXT_INIT("pop3s"),
    };
    struct settings_listen *listen = row;
    struct text word = text_take_word(&job->rest);
    size_t role;
    if (!find_word(roles, length_of(roles), word, &role))
        return settings_row_refuse_word(job, word,
                                        "a listener begins with smtp, submission, submissions, pop3 or pop3s");
    listen->role = (enum settings_listen_role)role;
    listen->starts = true;
    listen->offers_auth = role != SETTINGS_LISTEN_SMTP;
    listen->tls_min = SETTINGS_TLS_VERSION_WORDS;
    word = text_take_word(&job->rest);
    if (!settings_endpoint_parse(word, &listen->is_any, &listen->address, &listen->port))
        return settings_row_refuse_word(job, word, "write address:port, as in *:25, 192.0.2.1:25 or [2001:db8::1]:25");
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN)
        if (!listen_option(job, listen, name, value))
            return false;
    if (result == SETTINGS_OPTION_BAD)
        return false;
    if (role != SETTINGS_LISTEN_SMTP && !listen->offers_auth)
        return settings_row_refuse(job, "auth=no is for smtp alone; the other listeners always demand a log-in");
    if (role == SETTINGS_LISTEN_POP3 || role == SETTINGS_LISTEN_POP3S)
        return settings_row_refuse(job, "pop3 is not built yet");
    return !listen->is_proxied || settings_row_refuse(job, "proxy=yes is not built yet");
}

bool settings_listen_parse(struct text row, struct settings_listen *ret_listen)
{
    struct settings_listen listen = {.row = {.text = text_trimmed(row)}};
    struct buffer complaint = buffer_new(1000);
    struct settings_row_job job = {
        .spec = settings_spec(SETTINGS_KEY_service_listen), .rest = listen.row.text, .complaint = &complaint};
    bool is_good = settings_row_listen(&job, &listen);
    buffer_done(&complaint);
    if (is_good)
        *ret_listen = listen;
    return is_good;
}

bool settings_looks_like_network(struct text t)
{
    if (text_has_octet(t, ':') || text_has_octet(t, '/') || text_has_octet(t, '*'))
        return true;
    for (size_t i = 0; i < t.length; i++)
        if (!octet_is_digit(t.bytes[i]) && t.bytes[i] != '.' && t.bytes[i] != '-')
            return false;
    return true;
}

bool settings_row_client(struct settings_row_job *job, void *row)
{
    struct settings_client *client = row;
    struct text word = text_take_word(&job->rest);
    if (!text_is_empty(text_trimmed(job->rest)))
        return settings_row_refuse_word(job, text_trimmed(job->rest), "one client a row; a comment begins with #");
    bool is_trusted = job->spec == settings_spec(SETTINGS_KEY_security_trusted);
    const char *message = NULL;
    if (network_parse(word, &client->network, &message)) {
        client->kind = SETTINGS_CLIENT_NETWORK;
        return true;
    }
    if (text_equals_ignoring_case(word, TEXT("self"))) {
        client->kind = SETTINGS_CLIENT_SELF;
        return !is_trusted ||
               settings_row_refuse(job, "self as a trusted host is not built yet; write the machine's addresses");
    }
    if (settings_looks_like_network(word) || !settings_host_name_is_qualified(word))
        return settings_row_refuse_word(job, word, message);
    client->kind = SETTINGS_CLIENT_HOST;
    client->host = word;
    return !is_trusted || settings_row_refuse(job, "a host name as a trusted host is not built yet; write its address");
}

bool settings_row_resolver(struct settings_row_job *job, void *row)
{
    struct settings_resolver *resolver = row;
    struct text word = text_take_word(&job->rest), rest = word;
    struct text address = text_take_until(&rest, '@');
    resolver->port = 53;
    bool has_port = address.length < word.length;
    if (!text_is_empty(text_trimmed(job->rest)) || !network_address_parse(address, &resolver->address) ||
        (has_port && !settings_port_parse(rest, &resolver->port)))
        return settings_row_refuse_word(job, word,
                                        "write address or address@port, as in 192.0.2.53 or 2001:db8::53@5353");
    return true;
}

bool settings_tls_level_parse(struct text t, uint64_t *ret_level)
{
    return settings_word_find(settings_spec(SETTINGS_KEY_advanced_tls_outgoing), t, ret_level);
}
