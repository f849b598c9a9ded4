#include "cli/bench_charts.h"

#include "cli/html.h"

#include <stdio.h>

enum {
    WIDTH = 760,
    LEFT = 100, /* of what is drawn; labels stand before it */
    RIGHT = 744,
    COLUMNS_TOP = 24,
    COLUMNS_BOTTOM = 250,
    COLUMNS_HEIGHT = 292,
    BAND = 92, /* widest column with its gaps */
    PAIR = 54, /* height of a pair of bars, and of one stacked bar */
    STACK = 40,
    BAR = 18,
    LABEL_ROOM = 190, /* right of the longest bar */
    FIGURE_ROOM = 52, /* least width of a column with its figure */
    NAME_ROOM = 86,   /* and of a band that says "12 workers" instead of "12" */
};

/* Three figures, or as many as a round number has. */
static const char *format_short(double value, bool round, char out[CLI_SHORT_SIZE])
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;

    for (; value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1000;
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    if (round)
        snprintf(out, CLI_SHORT_SIZE, "%.4g%s", value, units[unit]);
    else
        snprintf(out, CLI_SHORT_SIZE, "%.*f%s", digits, value, units[unit]);
    return out;
}

const char *cli_bench_short(double value, char out[CLI_SHORT_SIZE])
{
    return format_short(value, false, out);
}

/* Ticks are round numbers: "2.5 M", "10 M". */
static const char *format_tick(double value, char out[CLI_SHORT_SIZE])
{
    return format_short(value, true, out);
}

const char *cli_bench_workers(uint32_t workers, char out[CLI_SHORT_SIZE])
{
    if (workers == 0)
        snprintf(out, CLI_SHORT_SIZE, "in line");
    else
        snprintf(out, CLI_SHORT_SIZE, "%u worker%s", workers, workers == 1 ? "" : "s");
    return out;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* The distance of ticks: 1, 2 or 5 times a power of ten, four to nine of them up to `most`. */
static double tick_of(double most)
{
    double power = 1; /* rates are whole events */

    while (power * 10 <= most)
        power *= 10;
    double times = most / power;
    return times < 2 ? power / 4 : times < 5 ? power / 2 : power;
}

static void open_svg(rf_text *page, int height, const char *label)
{
    cli_html_put(page,
                 "<div class=\"scroll\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
                 "aria-label=\"%s\">\n",
                 WIDTH, height, label);
}

static void close_svg(rf_text *page)
{
    cli_html_put(page, "</svg></div>\n");
}

/* ---- throughput ---- */

/* Perfect scaling from the baseline: as many times as fast as there are threads, at most one per
 * processor. */
static double ideal_of(const rf_bench_report *report, const rf_bench_case *at)
{
    uint32_t threads = at->workers ? at->workers : 1;
    uint32_t before = report->baseline_workers ? report->baseline_workers : 1;
    double baseline = at->speedup > 0 ? at->events_per_second / at->speedup : 0;

    if (threads > report->processors)
        threads = report->processors;
    if (before > report->processors)
        before = report->processors;
    return baseline * threads / before;
}

static double rate_of(const rf_bench_report *report, double seconds)
{
    return seconds > 0 ? (double)report->events / seconds : 0;
}

static double y_of(double value, double most)
{
    return COLUMNS_BOTTOM - value / most * (COLUMNS_BOTTOM - COLUMNS_TOP);
}

static void put_grid(rf_text *page, double most)
{
    char number[CLI_SHORT_SIZE];
    double tick = tick_of(most);

    for (int i = 0; i * tick <= most; i++) {
        double y = y_of(i * tick, most);
        cli_html_put(page,
                     "<line class=\"%s\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                     "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                     i == 0 ? "axis" : "grid", LEFT, y, RIGHT, y, LEFT - 10, y + 4,
                     format_tick(i * tick, number));
    }
}

static void put_column(rf_text *page, const rf_bench_report *report, const rf_bench_case *at,
                       double centre, double width, double most)
{
    char number[CLI_SHORT_SIZE];
    double top = y_of(at->events_per_second, most);
    double ideal = y_of(ideal_of(report, at), most);
    double highest = top;

    cli_html_put(page,
                 "<rect class=\"replay\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                 "rx=\"3\"><title>%u workers: %s events/s</title></rect>\n",
                 centre - width / 2, top, width, COLUMNS_BOTTOM - top, at->workers,
                 cli_bench_short(at->events_per_second, number));
    for (uint32_t i = 0; i < report->runs; i++) {
        double at_x = report->runs > 1 ? (double)i / (report->runs - 1) - 0.5 : 0;
        double y = y_of(rate_of(report, at->seconds[i]), most);
        highest = y < highest ? y : highest;
        cli_html_put(page,
                     "<circle class=\"run\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>run %u: %.3f s"
                     "</title></circle>",
                     centre + at_x * width * 0.6, y, i + 1, at->seconds[i]);
    }
    cli_html_put(page,
                 "\n<line class=\"ideal\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                 centre - width / 2 - 7, ideal, centre + width / 2 + 7, ideal);
    if (width >= FIGURE_ROOM)
        cli_html_put(
            page, "<text class=\"figure\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            centre, COLUMNS_BOTTOM - 10.0, cli_bench_short(at->events_per_second, number));
}

void cli_bench_chart_throughput(rf_text *page, const rf_bench_report *report)
{
    double most = 1;
    double band = (double)(RIGHT - LEFT) / report->case_count;
    double step = band;

    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_case *at = &report->cases[i];
        most = larger(most, larger(rate_of(report, at->fastest), ideal_of(report, at)));
    }
    most *= 1.08;
    if (band > 2 * BAND)
        band = 2 * BAND;
    open_svg(page, COLUMNS_HEIGHT, "Events a second by number of workers");
    put_grid(page, most);
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_case *at = &report->cases[i];
        char name[CLI_SHORT_SIZE];
        double centre = LEFT + step * (i + 0.5);
        put_column(page, report, at, centre, band * 0.5, most);
        if (step < NAME_ROOM)
            snprintf(name, sizeof name, "%u", at->workers);
        else
            cli_bench_workers(at->workers, name);
        cli_html_put(page,
                     "<text class=\"label\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                     centre, COLUMNS_BOTTOM + 24, name);
    }
    close_svg(page);
    if (step < NAME_ROOM)
        cli_html_put(page, "<p class=\"note\">Numbers of workers; 0 is in line.</p>\n");
}

/* ---- floor ---- */

static void put_bar(rf_text *page, const char *class, double y, double width)
{
    cli_html_put(page,
                 "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>\n",
                 class, LEFT, y, width, BAR);
}

void cli_bench_chart_floor(rf_text *page, const rf_bench_report *report)
{
    double most = 1e-9;

    for (uint32_t i = 0; i < report->case_count; i++) {
        most = larger(most, report->cases[i].slowest);
        most = larger(most, report->cases[i].floor_median);
    }
    double scale = (RIGHT - LEFT - LABEL_ROOM) / most;
    open_svg(page, (int)report->case_count * PAIR + 6, "Seconds of a replay and of its floor");
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_case *at = &report->cases[i];
        char name[CLI_SHORT_SIZE];
        double y = 6 + (double)i * PAIR;
        double fastest = LEFT + at->fastest * scale;
        double slowest = LEFT + at->slowest * scale;
        cli_html_put(page,
                     "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                     LEFT - 10, y + BAR + 5, cli_bench_workers(at->workers, name));
        put_bar(page, "replay", y, at->median * scale);
        put_bar(page, "floor", y + BAR + 2, at->floor_median * scale);
        cli_html_put(page,
                     "<path class=\"spread\" d=\"M%.1f %.1fV%.1fM%.1f %.1fV%.1fM%.1f %.1fH%.1f\"/>"
                     "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.3f s</text>"
                     "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">%.3f s, replay %.2f &times;</text>\n",
                     fastest, y + 5, y + BAR - 5, slowest, y + 5, y + BAR - 5, fastest,
                     y + BAR / 2.0, slowest, slowest + 10, y + 13, at->median,
                     LEFT + at->floor_median * scale + 10, y + BAR + 15, at->floor_median,
                     at->floor_ratio);
    }
    close_svg(page);
}

/* ---- shares ---- */

void cli_bench_chart_shares(rf_text *page, const rf_bench_report *report)
{
    static const char *const names[] = {"decode", "fold", "emit", "write", "seal", "idle"};

    open_svg(page, (int)report->case_count * STACK + 4, "Shares of the workers' time");
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_shares *shares = &report->cases[i].shares;
        const double parts[] = {shares->decode, shares->fold, shares->emit,
                                shares->write,  shares->seal, shares->idle};
        char name[CLI_SHORT_SIZE];
        double y = 4 + (double)i * STACK;
        double x = LEFT;
        cli_html_put(page,
                     "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                     LEFT - 10, y + 19, cli_bench_workers(report->cases[i].workers, name));
        for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
            double width = parts[part] * (RIGHT - LEFT);
            cli_html_put(page,
                         "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"28\">"
                         "<title>%s: %.1f %%</title></rect>",
                         names[part], x, y, width, names[part], 100 * parts[part]);
            if (width >= 34)
                cli_html_put(page,
                             "<text class=\"part\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
                             "%.0f %%</text>\n",
                             x + width / 2, y + 19, 100 * parts[part]);
            x += width;
        }
    }
    close_svg(page);
}
