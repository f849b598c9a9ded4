/* The synthetic order log, as JSON Lines on standard output: `orders EVENTS [OPTION]…`.
 *
 * 20,000 orders are open at a time, so streams interleave; about 6.7 events an order.
 * Deterministic: the same count gives the same bytes, and a longer log begins with the shorter one.
 * bench/README.md has the sums that a read model of it must give, so neither the sequence of random
 * numbers nor the text may change. The numbers of an event are drawn last member first, as it was
 * first written; that order is part of the bytes.
 *
 * Each option makes another log of the same kind, to be compared with this one:
 *
 *     --csv          for databases: position, stream, version, time, type, customer, currency,
 *                    channel, sku, qty, price, method, amount, carrier, reason
 *     --rare         every hundredth event is an OrderFlagged of the same order instead
 *     --remark SIZE  so many bytes of text more in each payload
 *     --single       each event has a stream of its own
 *     --skewed       every second event is of one order that never ends
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPEN_ORDERS = 20000,
    OUT_BUFFER_SIZE = 4 << 20,
    REMARKS_SIZE = 32 << 20,
    REMARK_SIZE_MAX = 1 << 20,
    WORD_SIZE_MAX = 16,
    RARE_EVERY = 100,
    ITEM_CHANCES = 80, /* of 100: what happens to an order that stays open */
};

typedef enum state { STATE_NEW, STATE_PLACED, STATE_PAID } state;

typedef struct order {
    uint64_t number;
    uint32_t version;
    state state;
} order;

typedef struct options {
    uint64_t events;
    uint64_t remark_size;
    bool csv, rare, single, skewed;
} options;

static options given;
static order orders[OPEN_ORDERS];
static uint64_t orders_begun;
static char remarks[REMARKS_SIZE + WORD_SIZE_MAX];

/* xorshift128+ */
static uint64_t draw_from(uint64_t seed[2], uint64_t end)
{
    uint64_t a = seed[0];
    uint64_t b = seed[1];

    seed[0] = b;
    a ^= a << 23;
    seed[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    uint64_t value = seed[1] + b;
    return end ? value % end : value;
}

static uint64_t draw(uint64_t end)
{
    static uint64_t seed[2] = {0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u};
    return draw_from(seed, end);
}

static void begin_order(order *o)
{
    *o = (order){.number = orders_begun++, .state = STATE_NEW};
}

/* ---- text ---- */

static void print_head(uint64_t position, order *o, uint64_t time_ms)
{
    uint64_t h = o->number * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    uint64_t h2 = h * 0xBF58476D1CE4E5B9u;
    h2 ^= h2 >> 31;

    printf(given.csv ? "%" PRIu64 "," : "{\"position\":%" PRIu64 ",\"stream\":\"", position);
    printf("order-%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned)(h >> 32),
           (unsigned)(h >> 16) & 0xffff, (unsigned)(h & 0xfff), 0x8000 | (unsigned)(h2 >> 50),
           h2 & 0xffffffffffffu);
    printf(given.csv ? ",%u,%" PRIu64 "," : "\",\"version\":%u,\"time\":%" PRIu64 ",", ++o->version,
           time_ms);
}

/* Numbers of its own, so that those of the orders stay as they are. */
static uint64_t draw_remark(uint64_t end)
{
    static uint64_t seed[2] = {0x2545F4914F6CDD1Du, 0x9E6C63D0676A9A99u};
    return draw_from(seed, end);
}

/* Words in no order: text that compresses about as well as what people write. A remark is a piece
 * of it; there is so much that a compressor does not meet the same piece again soon. */
static void write_remarks(void)
{
    static const char *const starts[] = {"de", "par", "lo", "sen", "trans", "mi", "con", "ve"};
    static const char *const ends[] = {"liver", "cel", "ding", "tion", "ment", "ry", "ping", "al"};

    for (size_t size = 0; size < REMARKS_SIZE;) {
        uint64_t word = draw_remark(0);
        size += (size_t)snprintf(remarks + size, WORD_SIZE_MAX, "%s%s%u ", starts[word & 7],
                                 ends[word >> 3 & 7], (unsigned)(word >> 8 & 0x3ff));
    }
}

static void end_payload(void)
{
    if (given.csv)
        return;
    if (given.remark_size) {
        fputs(",\"remark\":\"", stdout);
        uint64_t begin = draw_remark(REMARKS_SIZE - given.remark_size);
        fwrite(remarks + begin, 1, given.remark_size, stdout);
        putchar('"');
    }
    fputs("}}\n", stdout);
}

/* ---- what happens to an order ---- */

static void print_placed(void)
{
    const char *channel = draw(2) ? "web" : "app";
    const char *currency = draw(4) ? "EUR" : "USD";
    uint64_t customer = draw(200000);

    printf(given.csv ? "OrderPlaced,c-%06" PRIu64 ",%s,%s,,,,,,,\n"
                     : "\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c-%06" PRIu64
                       "\",\"currency\":\"%s\",\"channel\":\"%s\"",
           customer, currency, channel);
}

static uint64_t draw_sku(void)
{
    uint64_t a = draw(300);
    uint64_t b = draw(100);
    return a * b;
}

static void print_item_added(void)
{
    const char *note = draw(5) ? "" : "gift wrap please";
    uint64_t price = 99 + draw(20000);
    uint64_t qty = 1 + draw(4);
    uint64_t sku = draw_sku();

    printf(given.csv ? "ItemAdded,,,,SKU-%05" PRIu64 ",%" PRIu64 ",%" PRIu64 ",,,,\n"
                     : "\"type\":\"ItemAdded\",\"data\":{\"sku\":\"SKU-%05" PRIu64
                       "\",\"qty\":%" PRIu64 ",\"price\":%" PRIu64,
           sku, qty, price);
    if (!given.csv)
        printf(",\"note\":\"%s\"", note);
}

static void print_item_removed(void)
{
    uint64_t price = 99 + draw(20000);
    uint64_t sku = draw_sku();

    printf(given.csv ? "ItemRemoved,,,,SKU-%05" PRIu64 ",1,%" PRIu64 ",,,,\n"
                     : "\"type\":\"ItemRemoved\",\"data\":{\"sku\":\"SKU-%05" PRIu64
                       "\",\"qty\":1,\"price\":%" PRIu64,
           sku, price);
}

static void print_paid(void)
{
    static const char *const methods[] = {"card", "paypal", "invoice", "sepa"};
    uint64_t amount = draw(100000);
    const char *method = methods[draw(4)];

    printf(given.csv ? "OrderPaid,,,,,,,%s,%" PRIu64 ",,\n"
                     : "\"type\":\"OrderPaid\",\"data\":{\"method\":\"%s\",\"amount\":%" PRIu64,
           method, amount);
}

static void print_cancelled(void)
{
    static const char *const reasons[] = {"changed mind", "out of stock", "payment failed"};

    printf(given.csv ? "OrderCancelled,,,,,,,,,,%s\n"
                     : "\"type\":\"OrderCancelled\",\"data\":{\"reason\":\"%s\"",
           reasons[draw(3)]);
}

static void print_shipped(void)
{
    static const char *const carriers[] = {"dhl", "ups", "fedex", "gls", "hermes"};
    uint64_t tracking = draw(0);
    const char *carrier = carriers[draw(5)];

    printf(given.csv ? "OrderShipped,,,,,,,,,%s,\n"
                     : "\"type\":\"OrderShipped\",\"data\":{\"carrier\":\"%s\"",
           carrier);
    if (!given.csv)
        printf(",\"tracking\":\"%016" PRIx64 "\"", tracking);
}

static void print_flagged(uint64_t position)
{
    printf(given.csv ? "OrderFlagged,,,,,,,,%" PRIu64 ",,\n"
                     : "\"type\":\"OrderFlagged\",\"data\":{\"rule\":\"velocity\","
                       "\"score\":%" PRIu64,
           position / RARE_EVERY % 100);
}

/* What happens next to an order: `chance` is 0 to 99. */
static void print_rest(order *o, uint64_t chance)
{
    if (o->state == STATE_NEW) {
        print_placed();
        o->state = STATE_PLACED;
    } else if (o->state == STATE_PAID) {
        print_shipped();
        begin_order(o);
    } else if (chance < 72) {
        print_item_added();
    } else if (chance < ITEM_CHANCES) {
        print_item_removed();
    } else if (chance < 95) {
        print_paid();
        o->state = STATE_PAID;
    } else {
        print_cancelled();
        begin_order(o);
    }
    end_payload();
}

static void print_event(uint64_t position, order *o, uint64_t time_ms)
{
    if (given.single) {
        o->number = orders_begun++;
        o->version = 0;
    }
    print_head(position, o, time_ms);
    if (given.rare && position % RARE_EVERY == 0) {
        print_flagged(position);
        end_payload();
    } else {
        print_rest(o, draw(100));
    }
}

/* ---- */

static bool read_count(const char *text, uint64_t *count_out)
{
    char *end = NULL;

    if (!text || *text < '0' || *text > '9')
        return false;
    *count_out = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool read_options(int argc, char **argv)
{
    if (argc < 2 || !read_count(argv[1], &given.events))
        return false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--csv") == 0)
            given.csv = true;
        else if (strcmp(argv[i], "--rare") == 0)
            given.rare = true;
        else if (strcmp(argv[i], "--single") == 0)
            given.single = true;
        else if (strcmp(argv[i], "--skewed") == 0)
            given.skewed = true;
        else if (strcmp(argv[i], "--remark") != 0 || !read_count(argv[++i], &given.remark_size) ||
                 given.remark_size > REMARK_SIZE_MAX)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static char buffer[OUT_BUFFER_SIZE];
    uint64_t time_ms = 1700000000000u;
    order endless;

    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: orders EVENTS [--csv] [--rare] [--remark SIZE] [--single] "
                        "[--skewed]\n");
        return 2;
    }
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (given.remark_size)
        write_remarks();
    for (uint32_t i = 0; i < OPEN_ORDERS; i++)
        begin_order(&orders[i]);
    begin_order(&endless);
    if (!given.skewed)
        orders_begun--;
    for (uint64_t position = 1; position <= given.events; position++) {
        order *o = &orders[draw(OPEN_ORDERS)];
        time_ms += draw(20);
        if (given.skewed && position % 2 == 0) {
            print_head(position, &endless, time_ms);
            print_rest(&endless, draw(ITEM_CHANCES));
        } else {
            print_event(position, o, time_ms);
        }
    }
    if (fflush(stdout) || ferror(stdout)) {
        perror("orders: standard output");
        return 1;
    }
    fprintf(stderr, "orders %" PRIu64 "\n", orders_begun);
    return 0;
}
