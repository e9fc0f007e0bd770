/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/dns.h"

#include <stdlib.h>
#include <unbound.h>

enum { NAME_ROOM = 256, CLASS_IN = 1 };

struct dns_resolver {
    struct ub_ctx *context;
};

struct dns_question {
    struct dns_resolver *resolver;
    dns_answer_function *function;
    void *context;
    int id;
};

static bool set(struct ub_ctx *context, const char *option, const char *value, struct buffer *why)
{
    int error = ub_ctx_set_option(context, option, value);
    if (error)
        ignored(buffer_append_format(why, "libunbound: %s %s: %s", option, value,
                                     ub_strerror(error))); /* a cut text is still one */
    return error == 0;
}

static bool add_server(struct ub_ctx *context, const struct dns_server *server, struct buffer *why)
{
    struct buffer name released_by(buffer_done) = buffer_new(NAME_ROOM);
    must(buffer_append(&name, server->address) && buffer_append_octet(&name, '@') &&
         buffer_append_number(&name, server->port) && buffer_append_octet(&name, '\0'));
    int error = ub_ctx_set_fwd(context, name.bytes);
    if (error == 0 && server->is_loopback)
        return set(context, "do-not-query-localhost:", "no", why);
    if (error)
        ignored(
            buffer_append_format(why, "libunbound: resolver %s: %s", name.bytes, ub_strerror(error))); /* as above */
    return error == 0;
}

static bool add_anchors(struct ub_ctx *context, struct text lines, struct buffer *why)
{
    while (lines.length) {
        struct text line = text_trimmed(text_take_until(&lines, '\n'));
        if (line.length == 0 || line.bytes[0] == ';')
            continue;
        struct buffer anchor released_by(buffer_done) = buffer_new(4096);
        if (!buffer_append(&anchor, line) || !buffer_append_octet(&anchor, '\0'))
            return false;
        int error = ub_ctx_add_ta(context, anchor.bytes);
        if (error) {
            ignored(buffer_append_format(why, "libunbound: root key: %s", ub_strerror(error))); /* as above */
            return false;
        }
    }
    return true;
}

/* A forwarder answers for all names, ours of the inside too, and may not pass signatures on. */
static bool set_up_forwarding(struct ub_ctx *context, const struct dns_resolver_options *options, struct buffer *why)
{
    if (!set(context, "module-config:", "iterator", why) || !set(context, "unblock-lan-zones:", "yes", why))
        return false;
    for (size_t i = 0; i < options->server_count; i++)
        if (!add_server(context, &options->servers[i], why))
            return false;
    /* libunbound says by itself that there is nothing below these */
    static const char *const inside[] = {"test.", "home.arpa."};
    for (size_t i = 0; i < length_of(inside); i++)
        ignored(ub_ctx_zone_remove(context, inside[i])); /* another version may not have it */
    return true;
}

static bool set_up(struct ub_ctx *context, const struct dns_resolver_options *options, struct buffer *why)
{
    static const struct {
        const char *option, *value;
    } common[] = {
        {.option = "outgoing-range:", .value = "256"},          {.option = "outgoing-num-tcp:", .value = "32"},
        {.option = "num-queries-per-thread:", .value = "1024"}, {.option = "msg-cache-size:", .value = "8m"},
        {.option = "rrset-cache-size:", .value = "16m"},        {.option = "edns-buffer-size:", .value = "1232"},
        {.option = "qname-minimisation:", .value = "yes"},      {.option = "use-syslog:", .value = "no"},
    };
    for (size_t i = 0; i < length_of(common); i++)
        if (!set(context, common[i].option, common[i].value, why))
            return false;
    int error = ub_ctx_async(context, 1);
    if (error) {
        ignored(buffer_append_format(why, "libunbound: %s", ub_strerror(error))); /* as above */
        return false;
    }
    if (options->server_count)
        return set_up_forwarding(context, options, why);
    if (options->root_key.length == 0)
        return set(context, "module-config:", "iterator", why);
    return add_anchors(context, options->root_key, why);
}

bool dns_resolver_new(const struct dns_resolver_options *options, struct buffer *why,
                      struct dns_resolver **ret_resolver)
{
    struct ub_ctx *context = ub_ctx_create();
    if (!context) {
        ignored(buffer_append(why, TEXT("libunbound can not be used"))); /* as above */
        return false;
    }
    ignored(ub_ctx_debuglevel(context, 0)); /* it would write to our standard error */
    if (!set_up(context, options, why)) {
        ub_ctx_delete(context);
        return false;
    }
    struct dns_resolver *resolver = calloc(1, sizeof *resolver);
    must(resolver != NULL);
    resolver->context = context;
    *ret_resolver = resolver;
    return true;
}

void dns_resolver_free(struct dns_resolver **resolver)
{
    if (!*resolver)
        return;
    ub_ctx_delete((*resolver)->context);
    free(*resolver);
    *resolver = NULL;
}

int dns_resolver_file(struct dns_resolver *resolver)
{
    return ub_fd(resolver->context);
}

void dns_resolver_process(struct dns_resolver *resolver)
{
    ignored(ub_process(resolver->context)); /* a broken pipe shows in the questions, which time out */
}

/* libunbound reads escapes in names: what is no plain name is not for it. */
static bool name_may_be_asked(struct text name)
{
    struct text rest = name;
    if (name.length == 0 || name.length > DNS_NAME_LIMIT)
        return false;
    while (rest.length) {
        struct text label = text_take_until(&rest, '.');
        if (label.length == 0 || label.length > 63)
            return false;
        for (size_t i = 0; i < label.length; i++) {
            char c = label.bytes[i];
            if (!octet_is_letter(c) && !octet_is_digit(c) && c != '-' && c != '_')
                return false;
        }
    }
    return name.bytes[name.length - 1] != '.';
}

static enum dns_outcome outcome_of(int error, const struct ub_result *result)
{
    if (error || !result)
        return DNS_FAILED;
    if (result->bogus)
        return DNS_BOGUS;
    if (result->nxdomain)
        return DNS_NO_NAME;
    if (result->rcode != 0)
        return DNS_FAILED;
    return result->havedata ? DNS_FOUND : DNS_NO_DATA;
}

static size_t take_records(const struct ub_result *result, struct text records[DNS_RECORDS])
{
    size_t count = 0;
    for (size_t i = 0; result->data && result->data[i] && count < DNS_RECORDS; i++)
        if (result->len[i] >= 0 && result->len[i] <= DNS_RECORD_LIMIT)
            records[count++] = text_of(result->data[i], (size_t)result->len[i]);
    return count;
}

static void answered(void *context, int error, struct ub_result *result)
{
    struct dns_question *question = context;
    struct text records[DNS_RECORDS];
    struct dns_answer answer = {.outcome = outcome_of(error, result), .records = records};
    if (result) {
        answer.is_secure = result->secure;
        answer.ttl = result->ttl > 0 ? (uint64_t)result->ttl : 0;
        answer.canonical = text_of_terminated(result->canonname);
        answer.record_count = answer.outcome == DNS_FOUND ? take_records(result, records) : 0;
    }
    if (text_ends_with(answer.canonical, TEXT(".")))
        answer.canonical.length--;
    if (answer.outcome == DNS_FOUND && answer.record_count == 0)
        answer.outcome = DNS_FAILED; /* there was something, all of it too large */
    question->function(question->context, &answer);
    ub_resolve_free(result);
    free(question);
}

bool dns_resolver_ask(struct dns_resolver *resolver, struct text name, unsigned type, dns_answer_function *function,
                      void *context, struct dns_question **ret_question)
{
    char terminated[NAME_ROOM] = {0};
    if (!name_may_be_asked(name))
        return false;
    for (size_t i = 0; i < name.length; i++)
        terminated[i] = name.bytes[i];
    struct dns_question *question = calloc(1, sizeof *question);
    must(question != NULL);
    *question = (struct dns_question){.resolver = resolver, .function = function, .context = context};
    if (ub_resolve_async(resolver->context, terminated, (int)type, CLASS_IN, question, answered, &question->id)) {
        free(question);
        return false;
    }
    *ret_question = question;
    return true;
}

void dns_resolver_cancel(struct dns_question **question)
{
    if (!*question)
        return;
    ignored(ub_cancel((*question)->resolver->context,
                      (*question)->id)); /* unknown: then it was answered, which can't be here */
    free(*question);
    *question = NULL;
}
