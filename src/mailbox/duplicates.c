/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/duplicates.h"

#include "mail/mail.h"
#include "system/system.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    FILE_LIMIT = 1 << 20, /* some 13,000 messages a day; beyond them the oldest are forgotten */
    KEPT_LIMIT = FILE_LIMIT / 2,
};

static const struct text file_name = TEXT_INIT("portiere-seen");

static bool counts(struct text name)
{
    static const struct text names[] = {
        TEXT_INIT("message-id"),   TEXT_INIT("from"),         TEXT_INIT("to"),
        TEXT_INIT("cc"),           TEXT_INIT("subject"),      TEXT_INIT("date"),
        TEXT_INIT("mime-version"), TEXT_INIT("content-type"), TEXT_INIT("content-transfer-encoding"),
    };
    for (size_t i = 0; i < length_of(names); i++)
        if (text_equals_ignoring_case(names[i], name))
            return true;
    return false;
}

void mailbox_digest_begin(struct mailbox_digest *digest, struct text first_piece, bool is_whole)
{
    struct text rest = first_piece;
    struct header_field field;
    bool has_id = false;
    /* our configuration is none of OpenSSL's files: nothing may be opened here */
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
        return;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    must(state != NULL);
    digest->state = state;
    bool is_good = EVP_DigestInit_ex(state, EVP_sha256(), NULL) == 1;
    while (header_take_field(&rest, &field)) {
        has_id |= text_equals_ignoring_case(field.name, TEXT("message-id"));
        if (counts(field.name))
            is_good &= EVP_DigestUpdate(state, field.whole.bytes, field.whole.length) == 1;
    }
    if (!is_good || !has_id || (rest.length == 0 && !is_whole)) {
        mailbox_digest_done(digest);
        return;
    }
    mailbox_digest_add(digest, rest);
}

void mailbox_digest_add(struct mailbox_digest *digest, struct text piece)
{
    if (digest->state && EVP_DigestUpdate(digest->state, piece.bytes, piece.length) != 1)
        mailbox_digest_done(digest);
}

bool mailbox_digest_end(struct mailbox_digest *digest, char ret_octets[MAILBOX_DIGEST])
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!digest->state || EVP_DigestFinal_ex(digest->state, octets, &length) != 1 || length != MAILBOX_DIGEST)
        return false;
    for (size_t i = 0; i < MAILBOX_DIGEST; i++)
        ret_octets[i] = (char)octets[i];
    return true;
}

void mailbox_digest_done(struct mailbox_digest *digest)
{
    EVP_MD_CTX_free(digest->state);
    digest->state = NULL;
}

/* Keeps the lines that are well-formed and young. A clock that was set back makes them young for longer, never for
 * ever. */
static void keep_recent(struct mailbox_duplicates *seen, struct text file, int64_t now_ms)
{
    while (file.length) {
        struct text line = text_take_until(&file, '\n');
        struct text fields = line;
        uint64_t time;
        seen->count++;
        if (!text_number(text_take_word(&fields), INT64_MAX / 2, &time) || fields.length != 1 + MAILBOX_DIGEST * 2)
            continue;
        int64_t age = now_ms - (int64_t)time;
        if (age > DAY_MS || age < -DAY_MS)
            continue;
        ignored(buffer_append(&seen->recent, line) &&
                buffer_append_octet(&seen->recent, '\n')); /* the limit is the file's own */
    }
}

static void read_once(struct mailbox_duplicates *seen, int home, int64_t now_ms)
{
    if (seen->is_read)
        return;
    struct buffer file released_by(buffer_done) = buffer_new(FILE_LIMIT);
    seen->is_read = true;
    seen->recent = buffer_new(FILE_LIMIT * 2);
    if (file_read_whole(home, file_name, &file) == 0) /* none, or one that grew too large: begun anew */
        keep_recent(seen, buffer_text(&file), now_ms);
}

static bool append_line(struct buffer *b, const char octets[MAILBOX_DIGEST], int64_t now_ms)
{
    return buffer_append_number(b, now_ms > 0 ? (uint64_t)now_ms : 0) && buffer_append_octet(b, ' ') &&
           buffer_append_hex(b, text_of(octets, MAILBOX_DIGEST)) && buffer_append_octet(b, '\n');
}

bool mailbox_duplicates_has(struct mailbox_duplicates *seen, int home, const char octets[MAILBOX_DIGEST],
                            int64_t now_ms)
{
    struct buffer wanted released_by(buffer_done) = buffer_new(MAILBOX_DIGEST * 2);
    read_once(seen, home, now_ms);
    if (!buffer_append_hex(&wanted, text_of(octets, MAILBOX_DIGEST)))
        return false;
    struct text recent = buffer_text(&seen->recent);
    return text_find(recent, buffer_text(&wanted)) < recent.length;
}

void mailbox_duplicates_add(struct mailbox_duplicates *seen, int home, const char octets[MAILBOX_DIGEST],
                            int64_t now_ms)
{
    struct buffer line released_by(buffer_done) = buffer_new(128);
    read_once(seen, home, now_ms);
    if (!append_line(&line, octets, now_ms) || !buffer_append(&seen->recent, buffer_text(&line)))
        return;
    if (seen->recent.length > KEPT_LIMIT) { /* the older half goes */
        size_t half = seen->recent.length / 2;
        half += text_find_octet(text_after(buffer_text(&seen->recent), half), '\n') + 1;
        buffer_drop_front(&seen->recent, smaller(half, seen->recent.length));
        seen->count = SIZE_MAX / 2; /* more than is kept: write anew, below */
    }
    size_t kept = seen->recent.length / line.length;
    seen->count++;
    if (seen->count > 2 * kept + 64) {
        seen->count = kept;
        ignored(
            file_replace(home, file_name, buffer_text(&seen->recent), 0600)); /* a lost list only lets a duplicate in */
        return;
    }
    int file released_by(file_close) = -1;
    if (file_open(home, file_name, O_WRONLY | O_CREAT | O_APPEND, 0600, &file) == 0)
        ignored(file_write_all(file, buffer_text(&line))); /* as above */
}

void mailbox_duplicates_done(struct mailbox_duplicates *seen)
{
    buffer_done(&seen->recent);
}
