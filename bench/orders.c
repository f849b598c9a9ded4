/* The synthetic order log, as JSON Lines on standard output: `orders EVENTS`.
 *
 * 20,000 orders are open at a time, so streams interleave; about 6.7 events an order.
 * Deterministic: the same count gives the same bytes, and a longer log begins with the shorter one.
 * bench/README.md has the sums that a read model of it must give, so neither the sequence of random
 * numbers nor the text may change. The numbers of an event are drawn last member first, as it was
 * first written; that order is part of the bytes.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_ORDERS = 20000, OUT_BUFFER_SIZE = 4 << 20 };

typedef enum state { STATE_NEW, STATE_PLACED, STATE_PAID } state;

typedef struct order {
    uint64_t number;
    uint32_t version;
    state state;
} order;

static order orders[OPEN_ORDERS];
static uint64_t orders_begun;

/* xorshift128+ */
static uint64_t draw(uint64_t end)
{
    static uint64_t seed[2] = {0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u};
    uint64_t a = seed[0];
    uint64_t b = seed[1];

    seed[0] = b;
    a ^= a << 23;
    seed[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    uint64_t value = seed[1] + b;
    return end ? value % end : value;
}

static void begin_order(order *o)
{
    *o = (order){.number = orders_begun++, .state = STATE_NEW};
}

static void print_head(uint64_t position, order *o, uint64_t time_ms)
{
    uint64_t h = o->number * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    uint64_t h2 = h * 0xBF58476D1CE4E5B9u;
    h2 ^= h2 >> 31;

    printf("{\"position\":%" PRIu64 ",\"stream\":\"order-%08x-%04x-4%03x-%04x-%012" PRIx64 "\"",
           position, (unsigned)(h >> 32), (unsigned)(h >> 16) & 0xffff, (unsigned)(h & 0xfff),
           0x8000 | (unsigned)(h2 >> 50), h2 & 0xffffffffffffu);
    printf(",\"version\":%u,\"time\":%" PRIu64 ",", ++o->version, time_ms);
}

static void print_placed(void)
{
    const char *channel = draw(2) ? "web" : "app";
    const char *currency = draw(4) ? "EUR" : "USD";
    uint64_t customer = draw(200000);

    printf("\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c-%06" PRIu64
           "\",\"currency\":\"%s\","
           "\"channel\":\"%s\"}}\n",
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

    printf("\"type\":\"ItemAdded\",\"data\":{\"sku\":\"SKU-%05" PRIu64 "\",\"qty\":%" PRIu64
           ",\"price\":%" PRIu64 ",\"note\":\"%s\"}}\n",
           sku, qty, price, note);
}

static void print_item_removed(void)
{
    uint64_t price = 99 + draw(20000);
    uint64_t sku = draw_sku();

    printf("\"type\":\"ItemRemoved\",\"data\":{\"sku\":\"SKU-%05" PRIu64
           "\",\"qty\":1,\"price\":%" PRIu64 "}}\n",
           sku, price);
}

static void print_paid(void)
{
    static const char *const methods[] = {"card", "paypal", "invoice", "sepa"};
    uint64_t amount = draw(100000);
    const char *method = methods[draw(4)];

    printf("\"type\":\"OrderPaid\",\"data\":{\"method\":\"%s\",\"amount\":%" PRIu64 "}}\n", method,
           amount);
}

static void print_cancelled(void)
{
    static const char *const reasons[] = {"changed mind", "out of stock", "payment failed"};

    printf("\"type\":\"OrderCancelled\",\"data\":{\"reason\":\"%s\"}}\n", reasons[draw(3)]);
}

static void print_shipped(void)
{
    static const char *const carriers[] = {"dhl", "ups", "fedex", "gls", "hermes"};
    uint64_t tracking = draw(0);
    const char *carrier = carriers[draw(5)];

    printf("\"type\":\"OrderShipped\",\"data\":{\"carrier\":\"%s\",\"tracking\":\"%016" PRIx64
           "\"}}\n",
           carrier, tracking);
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
    } else if (chance < 80) {
        print_item_removed();
    } else if (chance < 95) {
        print_paid();
        o->state = STATE_PAID;
    } else {
        print_cancelled();
        begin_order(o);
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    uint64_t events = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    uint64_t time_ms = 1700000000000u;
    static char buffer[OUT_BUFFER_SIZE];

    if (!end || *end || end == argv[1]) {
        fprintf(stderr, "usage: orders EVENTS\n");
        return 2;
    }
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (uint32_t i = 0; i < OPEN_ORDERS; i++)
        begin_order(&orders[i]);
    for (uint64_t position = 1; position <= events; position++) {
        order *o = &orders[draw(OPEN_ORDERS)];
        time_ms += draw(20);
        print_head(position, o, time_ms);
        print_rest(o, draw(100));
    }
    if (fflush(stdout) || ferror(stdout)) {
        perror("orders: standard output");
        return 1;
    }
    fprintf(stderr, "orders %" PRIu64 "\n", orders_begun);
    return 0;
}
