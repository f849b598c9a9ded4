/* The one place that includes SQLite's own header: for the files of this folder that call it. */
#ifndef RF_DATABASE_SQLITE_STATE_H
#define RF_DATABASE_SQLITE_STATE_H

#include <sqlite3.h>

#endif
