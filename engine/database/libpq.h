/* libpq, loaded when the first connection is opened: with all that it needs itself (Kerberos, LDAP, two
 * libraries for TLS) it takes most of the time in which a process of the tool starts, and most never
 * open one.
 *
 *     rf_libpq_load, then libpq's own functions by their names
 *
 * The names are macros for pointers, so the callers read as if they were linked with it. A function that
 * is not in the list does not link. Any thread may load; it is done once, and is never undone.
 */
#ifndef RF_DATABASE_LIBPQ_H
#define RF_DATABASE_LIBPQ_H

#include "base/error.h"

#include <libpq-fe.h>

#define RF_LIBPQ_FUNCTIONS(F) \
    F(PQclear) \
    F(PQcmdTuples) \
    F(PQconnectPoll) \
    F(PQconnectStartParams) \
    F(PQconnectionNeedsPassword) \
    F(PQconninfo) \
    F(PQconninfoFree) \
    F(PQconninfoParse) \
    F(PQconsumeInput) \
    F(PQdb) \
    F(PQerrorMessage) \
    F(PQescapeIdentifier) \
    F(PQescapeLiteral) \
    F(PQfinish) \
    F(PQflush) \
    F(PQfname) \
    F(PQfreemem) \
    F(PQftype) \
    F(PQgetCopyData) \
    F(PQgetResult) \
    F(PQgetisnull) \
    F(PQgetvalue) \
    F(PQhost) \
    F(PQisBusy) \
    F(PQnfields) \
    F(PQnotifies) \
    F(PQntuples) \
    F(PQputCopyData) \
    F(PQputCopyEnd) \
    F(PQresultErrorField) \
    F(PQresultStatus) \
    F(PQsendDescribePrepared) \
    F(PQsendPrepare) \
    F(PQsendQuery) \
    F(PQsendQueryParams) \
    F(PQserverVersion) \
    F(PQsetErrorVerbosity) \
    F(PQsetNoticeReceiver) \
    F(PQsetnonblocking) \
    F(PQsocket) \
    F(PQstatus)

#define RF_LIBPQ_POINTER(name) __typeof__(name) *name##_;
typedef struct rf_libpq_functions {
    RF_LIBPQ_FUNCTIONS(RF_LIBPQ_POINTER)
} rf_libpq_functions;
#undef RF_LIBPQ_POINTER

/* Fixed after load. */
extern rf_libpq_functions rf_libpq;

rf_status rf_libpq_load(rf_err *err);

#define PQclear rf_libpq.PQclear_
#define PQcmdTuples rf_libpq.PQcmdTuples_
#define PQconnectPoll rf_libpq.PQconnectPoll_
#define PQconnectStartParams rf_libpq.PQconnectStartParams_
#define PQconnectionNeedsPassword rf_libpq.PQconnectionNeedsPassword_
#define PQconninfo rf_libpq.PQconninfo_
#define PQconninfoFree rf_libpq.PQconninfoFree_
#define PQconninfoParse rf_libpq.PQconninfoParse_
#define PQconsumeInput rf_libpq.PQconsumeInput_
#define PQdb rf_libpq.PQdb_
#define PQerrorMessage rf_libpq.PQerrorMessage_
#define PQescapeIdentifier rf_libpq.PQescapeIdentifier_
#define PQescapeLiteral rf_libpq.PQescapeLiteral_
#define PQfinish rf_libpq.PQfinish_
#define PQflush rf_libpq.PQflush_
#define PQfname rf_libpq.PQfname_
#define PQfreemem rf_libpq.PQfreemem_
#define PQftype rf_libpq.PQftype_
#define PQgetCopyData rf_libpq.PQgetCopyData_
#define PQgetResult rf_libpq.PQgetResult_
#define PQgetisnull rf_libpq.PQgetisnull_
#define PQgetvalue rf_libpq.PQgetvalue_
#define PQhost rf_libpq.PQhost_
#define PQisBusy rf_libpq.PQisBusy_
#define PQnfields rf_libpq.PQnfields_
#define PQnotifies rf_libpq.PQnotifies_
#define PQntuples rf_libpq.PQntuples_
#define PQputCopyData rf_libpq.PQputCopyData_
#define PQputCopyEnd rf_libpq.PQputCopyEnd_
#define PQresultErrorField rf_libpq.PQresultErrorField_
#define PQresultStatus rf_libpq.PQresultStatus_
#define PQsendDescribePrepared rf_libpq.PQsendDescribePrepared_
#define PQsendPrepare rf_libpq.PQsendPrepare_
#define PQsendQuery rf_libpq.PQsendQuery_
#define PQsendQueryParams rf_libpq.PQsendQueryParams_
#define PQserverVersion rf_libpq.PQserverVersion_
#define PQsetErrorVerbosity rf_libpq.PQsetErrorVerbosity_
#define PQsetNoticeReceiver rf_libpq.PQsetNoticeReceiver_
#define PQsetnonblocking rf_libpq.PQsetnonblocking_
#define PQsocket rf_libpq.PQsocket_
#define PQstatus rf_libpq.PQstatus_

#endif
