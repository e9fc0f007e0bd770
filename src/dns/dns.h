/* SPDX-License-Identifier: Apache-2.0 */
/* dns: questions and answers over libunbound, which does recursion, validation and the cache. Only asynchronous
 * look-ups: its own thread works, dns_resolver_process calls back in ours. All that it reads from files is given before
 * the sandbox. An answer is what it is, a failure too: nothing here tries again or guesses. */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "dns/records.h"
#include "system/system.h"

struct dns_resolver;
struct dns_question; /* one that is under way */

struct dns_server {
    struct text address; /* "192.0.2.1", without brackets */
    unsigned port;
    bool is_loopback;
};

struct dns_resolver_options {
    const struct dns_server *servers; /* none: own recursion */
    size_t server_count;
    struct text root_key; /* trust anchors as zone-file lines; empty: no validation. Only with own recursion. */
};

enum { DNS_RECORDS = 256, DNS_RECORD_LIMIT = 4096 }; /* more, and larger ones, are left out */

struct dns_answer {
    enum dns_outcome outcome;
    bool is_secure;
    uint64_t ttl;          /* seconds */
    struct text canonical; /* the name at the end of CNAMEs; empty: the one that was asked */
    const struct text *records;
    size_t record_count;
};

/* answer and its texts are valid during the call. */
typedef void dns_answer_function(void *context, const struct dns_answer *answer);

must_check bool dns_resolver_new(const struct dns_resolver_options *options, struct buffer *why,
                                 struct dns_resolver **ret_resolver);
void dns_resolver_free(struct dns_resolver **resolver);
int dns_resolver_file(struct dns_resolver *resolver); /* readable: call process */
void dns_resolver_process(struct dns_resolver *resolver);

/* function is called once, from process, unless the question is cancelled. False: it could not be asked; a temporary
 * failure. */
must_check bool dns_resolver_ask(struct dns_resolver *resolver, struct text name, unsigned type,
                                 dns_answer_function *function, void *context, struct dns_question **ret_question);
void dns_resolver_cancel(struct dns_question **question); /* function is not called any more */

#endif
