/* The feed of a program's output: what it writes to its standard output are lines of events.
 *
 * The command runs by `sh -c`, in a process group of its own, with nothing on standard input and our
 * standard error. REFOLD_MARK in its environment is the source's mark, the highest position in the log (0:
 * none), so that it can begin behind it. A command that ends with another code than 0, or by a signal,
 * is a failure, whatever it wrote before: nothing after the last commit is kept. Code 75 says that what
 * it reads from could not be reached. Where reading ends early the group is told to end (SIGTERM), and
 * made to after a while.
 *
 * The command is not in messages: it may hold a password.
 */
#ifndef RF_SOURCE_EXEC_FEED_H
#define RF_SOURCE_EXEC_FEED_H

#include "refold/import.h"
#include "source/feed.h"

rf_status rf_exec_feed_open(const char *command, const rf_import_options *options,
                            const rf_feed_start *start, rf_feed **feed_out, rf_err *err);

#endif
