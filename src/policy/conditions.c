/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rules.h"

_Static_assert(POLICY_INPUTS <= 64, "struct policy_look has a bit for each input");

unsigned policy_look_at(struct policy_look *look, enum policy_input input)
{
    const unsigned value = policy_input_get(look->facts, look->settings, input);
    const uint64_t bit = UINT64_C(1) << input;
    if (look->read & bit)
        return value;
    look->read |= bit;
    look->order[look->order_length++] = (uint8_t)input;
    if (look->missing != POLICY_INPUT_NONE || look->unavailable != POLICY_INPUT_NONE)
        return value;
    if (policy_input_is_unknown(input, value))
        look->missing = input;
    else if (policy_input_is_unavailable(input, value))
        look->unavailable = input;
    return value;
}

static bool listens_for_submission(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_LISTENER) != POLICY_LISTENER_SMTP;
}

static bool is_logged_in(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_LOGGED_IN);
}

/* With scope `address` a POP3 login speaks for its own addresses only; a null sender belongs to nobody. */
static bool pop_authorises(struct policy_look *look)
{
    if (!policy_look_at(look, POLICY_SETTING_POP_BEFORE_SMTP))
        return false;
    const bool for_the_host = policy_look_at(look, POLICY_SETTING_POP_SCOPE) == SETTINGS_POP_SCOPE_HOST;
    if (!for_the_host && policy_look_at(look, POLICY_FACT_SENDER_NULL))
        return false;
    const unsigned pop = policy_look_at(look, POLICY_FACT_POP);
    return pop == POLICY_POP_SENDER || (for_the_host && pop == POLICY_POP_OTHER);
}

/* AUTH decides first: a trusted host that logs in is bound to its login. */
enum policy_way policy_look_way(struct policy_look *look)
{
    if (is_logged_in(look))
        return POLICY_WAY_AUTH;
    if (listens_for_submission(look))
        return POLICY_WAY_NONE;
    if (policy_look_at(look, POLICY_FACT_TRUSTED) == POLICY_ANSWER_YES)
        return POLICY_WAY_TRUSTED;
    return pop_authorises(look) ? POLICY_WAY_POP : POLICY_WAY_NONE;
}

static bool is_local(struct policy_look *look, enum policy_input input)
{
    switch ((enum mail_address_kind)policy_look_at(look, input)) {
    case MAIL_ADDRESS_LOCAL:
    case MAIL_ADDRESS_LOCAL_OWN:
    case MAIL_ADDRESS_LOCAL_NOBODY: /* the domain is ours: that is what the guide's rules ask */
    case MAIL_ADDRESS_LOCAL_FULL:
    case MAIL_ADDRESS_LOCAL_DISABLED:
        return true;
    case MAIL_ADDRESS_UNKNOWN_YET:
    case MAIL_ADDRESS_FOREIGN:
    case MAIL_ADDRESS_UNAVAILABLE:
    case MAIL_ADDRESS_KINDS:
        return false;
    }
    return false;
}

static bool sender_is_not_the_logins(struct policy_look *look)
{
    return is_logged_in(look) && !policy_look_at(look, POLICY_FACT_SENDER_NULL) &&
           policy_look_at(look, POLICY_FACT_SENDER) != MAIL_ADDRESS_LOCAL_OWN;
}

static bool recipient_is(struct policy_look *look, enum mail_address_kind kind)
{
    return policy_look_at(look, POLICY_FACT_RECIPIENT) == kind;
}

static bool recipient_is_foreign(struct policy_look *look)
{
    return recipient_is(look, MAIL_ADDRESS_FOREIGN);
}

static bool header_is_local_without_authorisation(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_HEADER) && !policy_look_at(look, POLICY_FACT_SENDER_EXCEPTED) &&
           !is_logged_in(look) && is_local(look, POLICY_FACT_HEADER_FROM) && policy_look_way(look) == POLICY_WAY_NONE;
}

bool policy_applies_hello_required(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_REQUIRE_HELO) && !policy_look_at(look, POLICY_FACT_GREETED);
}

bool policy_applies_login_already(struct policy_look *look)
{
    return is_logged_in(look);
}

bool policy_applies_login_not_offered(struct policy_look *look)
{
    return !listens_for_submission(look) && !policy_look_at(look, POLICY_FACT_OFFERS_AUTH);
}

bool policy_applies_login_needs_tls(struct policy_look *look)
{
    return !policy_look_at(look, POLICY_FACT_ENCRYPTED);
}

bool policy_applies_submission_needs_tls(struct policy_look *look)
{
    return listens_for_submission(look) && !policy_look_at(look, POLICY_FACT_ENCRYPTED);
}

bool policy_applies_submission_needs_login(struct policy_look *look)
{
    return listens_for_submission(look) && !is_logged_in(look);
}

bool policy_applies_message_too_large(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_OVER_SIZE);
}

bool policy_applies_mail_loop(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_OVER_HOPS);
}

bool policy_applies_auth_sender_mismatch(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_AUTH_SENDER) && !policy_look_at(look, POLICY_SETTING_AUTH_SETS_SENDER) &&
           sender_is_not_the_logins(look);
}

bool policy_applies_local_sender_not_authorised(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_LOCAL_SENDER) && !policy_look_at(look, POLICY_FACT_SENDER_NULL) &&
           !policy_look_at(look, POLICY_FACT_SENDER_EXCEPTED) && !is_logged_in(look) &&
           is_local(look, POLICY_FACT_SENDER) && policy_look_way(look) == POLICY_WAY_NONE;
}

bool policy_applies_too_many_recipients(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_OVER_RECIPIENTS);
}

bool policy_applies_relay_not_permitted(struct policy_look *look)
{
    return recipient_is_foreign(look) && policy_look_way(look) == POLICY_WAY_NONE;
}

bool policy_applies_relay_null_sender(struct policy_look *look)
{
    return recipient_is_foreign(look) && policy_look_at(look, POLICY_FACT_SENDER_NULL) && !is_logged_in(look);
}

bool policy_applies_relay_sender_not_local(struct policy_look *look)
{
    if (!recipient_is_foreign(look) || !policy_look_at(look, POLICY_SETTING_RELAY_LOCAL) ||
        policy_look_at(look, POLICY_FACT_SENDER_NULL))
        return false;
    if (is_logged_in(look) && policy_look_at(look, POLICY_SETTING_AUTH_SETS_SENDER))
        return false; /* what goes out carries the login's address */
    return !is_local(look, POLICY_FACT_SENDER);
}

/* RFC 5321 section 4.5.1; a full or disabled mailbox is no reason to be deaf. */
bool policy_applies_postmaster(struct policy_look *look)
{
    return policy_look_at(look, POLICY_FACT_POSTMASTER) && is_local(look, POLICY_FACT_RECIPIENT);
}

bool policy_applies_recipient_unknown(struct policy_look *look)
{
    return recipient_is(look, MAIL_ADDRESS_LOCAL_NOBODY);
}

bool policy_applies_recipient_disabled(struct policy_look *look)
{
    return recipient_is(look, MAIL_ADDRESS_LOCAL_DISABLED);
}

bool policy_applies_mailbox_full_permanent(struct policy_look *look)
{
    return recipient_is(look, MAIL_ADDRESS_LOCAL_FULL) && policy_look_at(look, POLICY_SETTING_FULL_PERMANENT);
}

bool policy_applies_mailbox_full(struct policy_look *look)
{
    return recipient_is(look, MAIL_ADDRESS_LOCAL_FULL);
}

bool policy_applies_auth_header_mismatch(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_AUTH_HEADER) && is_logged_in(look) &&
           policy_look_at(look, POLICY_FACT_HEADER) &&
           policy_look_at(look, POLICY_FACT_HEADER_FROM) != MAIL_ADDRESS_LOCAL_OWN;
}

bool policy_applies_local_header_not_authorised(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_LOCAL_HEADER) == SETTINGS_LOCAL_HEADER_REFUSE &&
           header_is_local_without_authorisation(look);
}

bool policy_applies_local_header_marked(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_LOCAL_HEADER) == SETTINGS_LOCAL_HEADER_MARK &&
           header_is_local_without_authorisation(look);
}

bool policy_applies_sender_from_login(struct policy_look *look)
{
    return policy_look_at(look, POLICY_SETTING_AUTH_SETS_SENDER) && sender_is_not_the_logins(look);
}

bool policy_applies_relay_null(struct policy_look *look)
{
    return recipient_is_foreign(look) && policy_look_at(look, POLICY_FACT_SENDER_NULL);
}

bool policy_applies_relay(struct policy_look *look)
{
    return recipient_is_foreign(look);
}

bool policy_applies_otherwise(struct policy_look *look)
{
    (void)look;
    return true;
}
