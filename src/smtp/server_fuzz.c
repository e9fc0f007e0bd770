/* SPDX-License-Identifier: Apache-2.0 */
/* The server machine fed with anything, whole and in pieces: the same replies, effects and messages. The first octet
 * chooses the kind of listener and where the input is cut. Seeds: the client's side of tests/conversations. */
#include "smtp/server_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_in_pieces(struct stub *stub, struct text t, size_t count)
{
    while (t.length)
        stub_feed(stub, text_take(&t, count));
}

static void must_be_equal(const struct buffer *a, const struct buffer *b)
{
    must(text_equals(buffer_text(a), buffer_text(b)));
}

/* A lenient listener may hand a message on: then no bare newline is in it, nor in what a strict one took. */
static void must_hold_no_bare_newline(struct text t)
{
    for (size_t i = 0; i < t.length; i++) {
        must(t.bytes[i] != '\r' || (i + 1 < t.length && t.bytes[i + 1] == '\n'));
        must(t.bytes[i] != '\n' || (i && t.bytes[i - 1] == '\r'));
    }
}

static void check_messages(const struct stub *stub)
{
    if (text_find(buffer_text(&stub->effects), TEXT("body=2")) < stub->effects.length)
        return; /* BINARYMIME: octets as they are */
    struct text rest = buffer_text(&stub->messages);
    while (text_take_prefix_ignoring_case(&rest, TEXT("--- "))) {
        uint64_t length;
        must(text_number(text_take_word(&rest), UINT64_MAX, &length));
        text_take_until(&rest, '\n');
        must_hold_no_bare_newline(text_take(&rest, (size_t)length));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct smtp_server_options options = stub_options();
    options.is_lenient = data[0] & 1;
    options.is_submission = data[0] & 2;
    options.max_bad_commands = data[0] & 4 ? 3 : 0;
    options.max_message_size = data[0] & 8 ? 100 : 0;
    options.max_read_size = data[0] & 8 ? 1000 : 0;
    options.max_recipients = data[0] & 16 ? 2 : 1000;
    size_t piece = (size_t)(data[0] >> 5) + 1;
    struct text input = text_of((const char *)data + 1, size - 1);
    /* what comes in clear behind STARTTLS depends on the cut, as it must */
    options.offers_tls = text_find(input, TEXT("\n")) == input.length || piece == 1;
    if (options.offers_tls)
        piece = input.length + 1;
    struct stub whole;
    struct stub pieces;
    stub_init(&whole, &options);
    stub_init(&pieces, &options);
    stub_feed(&whole, input);
    feed_in_pieces(&pieces, input, piece);
    must_be_equal(&whole.replies, &pieces.replies);
    must_be_equal(&whole.effects, &pieces.effects);
    must_be_equal(&whole.messages, &pieces.messages);
    must_be_equal(&whole.responses, &pieces.responses);
    check_messages(&whole);
    stub_done(&whole);
    stub_done(&pieces);
    return 0;
}
