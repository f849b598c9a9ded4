/* The processes of a soak. Each role is a process of its own, as it is where refold serves: writers, readers,
 * who follows, who rebuilds. They share a page of atomic numbers; one that finds something wrong says so and
 * aborts, and then the soak fails.
 *
 *     roles_share -> roles_start ... -> roles_look now and then -> roles_end
 */
#ifndef SOAK_ROLES_H
#define SOAK_ROLES_H

#include <refold/refold.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Ends the process with the message of a call that failed. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        rf_err must_err = {0};                                                                     \
        roles_must((call), &must_err, __FILE__, __LINE__);                                         \
    } while (0)

enum { ROLES_MAX = 64 };

/* Memory that is the same in all processes that are started later, zero at first. */
void *roles_share(size_t size);
/* Runs role(arg) in a process of its own, which ends with this one. Before any store is opened here. */
pid_t roles_start(const char *name, void (*role)(void *), void *arg);
/* One that may end before the others. */
pid_t roles_start_ending(const char *name, void (*role)(void *), void *arg);
/* Ends this process if a role has ended that should not have. */
void roles_look(void);
/* Waits until all have ended well. */
void roles_end(void);

void roles_must(rf_status status, const rf_err *err, const char *file, int line);

double roles_seconds(void);
void roles_sleep_ms(double milliseconds);

/* The largest of what many processes measured, in microseconds. */
typedef atomic_ulong roles_largest;
void roles_measure(roles_largest *largest, double seconds_begun);
double roles_largest_ms(roles_largest *largest);

#endif
