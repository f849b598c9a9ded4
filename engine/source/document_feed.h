/* The feed of JSON that is not one event a line: presets cloudevents and kurrentdb, over the feed of a file or
 * program.
 */
#ifndef RF_SOURCE_DOCUMENT_FEED_H
#define RF_SOURCE_DOCUMENT_FEED_H

#include "refold/import.h"
#include "source/feed.h"

/* `inner` belongs to the feed when this succeeds. The preset of the options is one of the two. */
rf_status rf_document_feed_open(rf_feed *inner, const rf_import_options *options,
                                rf_feed **feed_out, rf_err *err);

#endif
