// A Gristmill handler that sums the orders of a batch.
//
// A batch is either summed whole or fails whole: no order may be left out in silence. Money is
// counted in integer cents, and a sum that does not fit is an error: a total is exact or there is
// none. Errors are texts from `format`; NULL is success.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../gen/handler.h"
#include "../vendor/cJSON.h"
#include "base64.h"

// The largest integer that every JSON number carries exactly, 2^53 - 1 (RFC 8259, section 6).
#define COUNT_MAX 9007199254740991.0

// What the orders of one batch come to.
struct totals {
    uint64_t orders;
    uint64_t items;
    uint64_t cents;
};

// Where a record is, for errors: at which place in the list of which queue, and its message id.
struct place {
    size_t position;
    const char *queue;
    const char *id;
};

// A text in memory of its own, written as by printf.
__attribute__((format(printf, 1, 2)))
static char *format(const char *pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    char *text;
    // Without memory there is no error to answer with either: the call ends in a trap.
    if (vasprintf(&text, pattern, arguments) < 0) abort();
    va_end(arguments);
    return text;
}

// The value that a JSON text is, or NULL if it is none, or nested more than 1,000 deep.
static cJSON *parse(const char *text, size_t length) {
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (value == NULL) return NULL;
    // cJSON stops behind the value, where only white space may follow.
    for (; end < text + length; end++) {
        if (memchr(" \t\r\n", *end, 4) == NULL) {
            cJSON_Delete(value);
            return NULL;
        }
    }
    return value;
}

// A member of an object, or NULL if there is none or `object` is none. cJSON searches in lists too.
static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

// Reads one of an item's numbers, which cJSON keeps as a double.
static bool read_count(const cJSON *item, const char *name, uint64_t *count) {
    double value = cJSON_GetNumberValue(member(item, name));
    // Written so that the "not a number" of what is no number fails too.
    if (!(value >= 0 && value <= COUNT_MAX)) return false;
    *count = (uint64_t)value;
    return (double)*count == value;
}

static bool is_order(const cJSON *order) {
    const cJSON *items = member(order, "items");
    if (!cJSON_IsArray(items)) return false;
    const cJSON *item;
    uint64_t count;
    cJSON_ArrayForEach(item, items) {
        if (!read_count(item, "quantity", &count) || !read_count(item, "price_cents", &count)) {
            return false;
        }
    }
    return true;
}

// Adds an order: `{"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}`.
// False when a sum does not fit.
static bool add_order(struct totals *totals, const cJSON *order) {
    const cJSON *item;
    cJSON_ArrayForEach(item, member(order, "items")) {
        uint64_t quantity, price, cents;
        if (!read_count(item, "quantity", &quantity)) return false;
        if (!read_count(item, "price_cents", &price)) return false;
        if (__builtin_mul_overflow(quantity, price, &cents)) return false;
        if (__builtin_add_overflow(totals->items, quantity, &totals->items)) return false;
        if (__builtin_add_overflow(totals->cents, cents, &totals->cents)) return false;
    }
    totals->orders += 1;
    return true;
}

// Adds the order that is the body of a message, in base64. What is wrong is a literal.
static const char *add_body(struct totals *totals, const char *data) {
    char *body;
    size_t length;
    if (!base64_decode(data, &body, &length)) {
        return "its data is not base64";
    }
    const char *wrong = NULL;
    cJSON *order = parse(body, length);
    if (order == NULL) {
        wrong = "its body is not an order: it is not JSON";
    } else if (!is_order(order)) {
        wrong = "its body is not an order: it lacks a list of items, each with its quantity and "
                "price_cents in whole numbers from 0 to 2^53 - 1";
    } else if (!add_order(totals, order)) {
        wrong = "the sum with this order does not fit into 64 bits";
    }
    cJSON_Delete(order);
    free(body);
    return wrong;
}

static char *add_record(struct totals *totals, struct place place, const cJSON *record) {
    const char *wrong = add_body(totals, cJSON_GetStringValue(member(record, "data")));
    if (wrong == NULL) return NULL;
    const char *id = place.id == NULL ? "none" : place.id;
    return format("record %zu of %s (message id %s): %s", place.position, place.queue, id, wrong);
}

static bool is_rabbit_record(const cJSON *record) {
    const cJSON *properties = member(record, "basicProperties");
    const cJSON *id = member(properties, "messageId");
    return cJSON_IsObject(properties) && (id == NULL || cJSON_IsNull(id) || cJSON_IsString(id))
        && cJSON_IsString(member(record, "data"));
}

static bool is_active_record(const cJSON *record) {
    return cJSON_IsString(member(record, "messageID"))
        && cJSON_IsString(member(member(record, "destination"), "physicalName"))
        && cJSON_IsString(member(record, "data"));
}

static bool all(const cJSON *list, bool (*holds)(const cJSON *)) {
    const cJSON *value;
    cJSON_ArrayForEach(value, list) {
        if (!holds(value)) return false;
    }
    return cJSON_IsArray(list);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

// Adds the records of all queues, in the byte order of the queues' keys.
static char *add_queues(struct totals *totals, const cJSON *queues) {
    size_t count = (size_t)cJSON_GetArraySize(queues);
    const cJSON **sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL) abort();
    size_t filled = 0;
    const cJSON *queue;
    cJSON_ArrayForEach(queue, queues) {
        sorted[filled++] = queue;
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    char *error = NULL;
    for (size_t i = 0; i < count && error == NULL; i++) {
        struct place place = {.queue = sorted[i]->string};
        const cJSON *record;
        cJSON_ArrayForEach(record, sorted[i]) {
            place.id = cJSON_GetStringValue(member(member(record, "basicProperties"), "messageId"));
            error = add_record(totals, place, record);
            if (error != NULL) break;
            place.position += 1;
        }
    }
    free(sorted);
    return error;
}

static char *add_messages(struct totals *totals, const cJSON *messages) {
    struct place place = {0};
    const cJSON *record;
    cJSON_ArrayForEach(record, messages) {
        place.queue = cJSON_GetStringValue(member(member(record, "destination"), "physicalName"));
        place.id = cJSON_GetStringValue(member(record, "messageID"));
        char *error = add_record(totals, place, record);
        if (error != NULL) return error;
        place.position += 1;
    }
    return NULL;
}

static bool are_rabbit_queues(const cJSON *queues) {
    const cJSON *queue;
    cJSON_ArrayForEach(queue, queues) {
        if (!all(queue, is_rabbit_record)) return false;
    }
    return cJSON_IsObject(queues);
}

// Sums the orders of an event, of which nothing is taken before it is known to be whole.
static char *sum(const cJSON *event, struct totals *totals) {
    const cJSON *queues = member(event, "rmqMessagesByQueue");
    if (queues != NULL && are_rabbit_queues(queues)) {
        return add_queues(totals, queues);
    }
    const cJSON *messages = member(event, "messages");
    if (queues == NULL && all(messages, is_active_record)) {
        return add_messages(totals, messages);
    }
    return format("the event is not one of RabbitMQ or ActiveMQ messages: %s",
        event == NULL ? "it is not JSON"
        : queues != NULL ? "rmqMessagesByQueue does not have lists of messages"
        : messages != NULL ? "messages is not a list of messages"
        : "it has neither rmqMessagesByQueue nor messages");
}

// What the host calls. `event` is ours to free; the answer, or the error, is the host's.
bool exports_handler_handle_batch(
    handler_string_t *event, handler_option_string_t *answer, handler_string_t *error) {
    struct totals totals = {0};
    cJSON *parsed = parse((const char *)event->ptr, event->len);
    char *wrong = sum(parsed, &totals);
    cJSON_Delete(parsed);
    handler_string_free(event);
    if (wrong != NULL) {
        handler_string_set(error, wrong);
        return false;
    }
    printf("%" PRIu64 " orders, %" PRIu64 " items, total %" PRIu64 ".%02" PRIu64 "\n",
        totals.orders, totals.items, totals.cents / 100, totals.cents % 100);
    // The instance may be kept for the next batch, so nothing else writes out what is buffered.
    fflush(stdout);
    answer->is_some = true;
    handler_string_set(&answer->val,
        format("{\"orders\":%" PRIu64 ",\"items\":%" PRIu64 ",\"total_cents\":%" PRIu64 "}",
            totals.orders, totals.items, totals.cents));
    return true;
}
