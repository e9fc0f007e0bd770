/* SPDX-License-Identifier: Apache-2.0 */
/* A host to connect to, with its log-in, and the domains that rows begin with. A message never repeats a host word: it
 * may hold a password. Names are kept as A-labels, which is what DNS is asked for and what domains are compared by. */
#include "settings/table.h"

static const struct text secret_prefix = TEXT_INIT("file:");

bool settings_domain_mask_is_valid(struct text t)
{
    if (text_starts_with(t, TEXT("*.")))
        t = text_after(t, 2);
    return domain_is_valid(t, true);
}

bool settings_domain_key(struct arena *arena, struct text mask, struct text *ret_key)
{
    struct buffer key = buffer_new(300);
    struct text domain = mask;
    if (text_take_prefix_ignoring_case(&domain, TEXT("*.")))
        buffer_append(&key, TEXT("*."));
    bool is_good = domain_append_key(&key, domain) && !key.is_full && arena_copy(arena, buffer_text(&key), ret_key);
    buffer_done(&key);
    return is_good;
}

/* [user:password@]; the user may hold "@", so the last one parts it from the host. The password may hold ":". */
static bool take_login(struct text *rest, struct settings_host *host, const char **ret_message)
{
    size_t at = rest->length;
    for (size_t i = 0; i < rest->length; i++)
        if (rest->bytes[i] == '@')
            at = i;
    if (at == rest->length)
        return true;
    struct text login = text_take(rest, at);
    (void)text_take(rest, 1);
    size_t colon = text_find_octet(login, ':');
    host->user = text_first(login, colon);
    host->password = text_after(login, colon + 1);
    *ret_message = "*** stands for a password that is not shown; write the password, or file:NAME";
    if (text_equals(host->password, TEXT("***")))
        return false;
    *ret_message = "behind file: stands the name of a file, from the folder of portiere.conf or with its whole path";
    if (text_equals(host->password, secret_prefix))
        return false;
    *ret_message = "before the @ of a host stands user:password";
    return colon < login.length && !text_is_empty(host->user) && !text_is_empty(host->password);
}

struct text settings_host_secret_file(const struct settings_host *host)
{
    struct text name = host->password;
    return text_starts_with(name, secret_prefix) ? text_after(name, secret_prefix.length) : TEXT_NONE;
}

bool settings_host_parse(struct arena *arena, struct text t, struct settings_host *ret_host, const char **ret_message)
{
    struct settings_host host = {.port = 25, .tls = SETTINGS_TLS_LEVEL_WORDS};
    if (!take_login(&t, &host, ret_message))
        return false;
    size_t colon = settings_port_find(t);
    *ret_message = "the port goes from 1 to 65535, and an IPv6 address stands in brackets";
    if (colon < t.length && !settings_port_parse(text_after(t, colon + 1), &host.port))
        return false;
    host.host = text_first(t, colon);
    host.is_address = network_address_parse(host.host, &host.address);
    if (text_starts_with(host.host, TEXT("[")))
        host.host = text_first(text_after(host.host, 1), host.host.length < 2 ? 0 : host.host.length - 2);
    *ret_message = "write a host as mail.example.org, 192.0.2.1 or [2001:db8::1], with :port where it is not 25";
    if (!host.is_address && (settings_looks_like_network(host.host) || !domain_is_valid(host.host, true) ||
                             !settings_domain_key(arena, host.host, &host.host)))
        return false;
    *ret_host = host;
    return true;
}
