/* See postgres_preset.h. */
#include "source/postgres_preset.h"

#define REQUIRED false
#define OPTIONAL true

static const rf_postgres_preset presets[] = {
    {
        .name = "eventsourcing",
        .notifies = true,
        .columns = {{"notification_id", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"originator_id", RF_ROLE_STREAM, "stream", REQUIRED, NULL},
                    {"originator_version", RF_ROLE_MEMBER, "version", REQUIRED, NULL},
                    {"topic", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"state", RF_ROLE_STATE, "data", REQUIRED, NULL}},
    },
    {
        .name = "messagedb",
        .schema = "message_store",
        .tables = "messages",
        .columns = {{"global_position", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"stream_name", RF_ROLE_STREAM, "stream", REQUIRED, NULL},
                    {"position", RF_ROLE_MEMBER, "version", REQUIRED, NULL},
                    {"type", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"time", RF_ROLE_MEMBER, "time", REQUIRED, NULL},
                    {"data", RF_ROLE_DATA, "data", REQUIRED, NULL},
                    {"metadata", RF_ROLE_METADATA, "metadata", REQUIRED, NULL}},
    },
    {
        .name = "marten",
        .tables = "mt_events",
        .sequences = "mt_events_sequence",
        .columns = {{"seq_id", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"tenant_id", RF_ROLE_PREFIX, "", OPTIONAL, "*DEFAULT*"},
                    {"stream_id", RF_ROLE_STREAM, "stream", REQUIRED, NULL},
                    {"version", RF_ROLE_MEMBER, "version", REQUIRED, NULL},
                    {"type", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"timestamp", RF_ROLE_MEMBER, "time", REQUIRED, NULL},
                    {"data", RF_ROLE_DATA, "data", REQUIRED, NULL},
                    {"headers", RF_ROLE_FACT, "headers", OPTIONAL, NULL},
                    {"correlation_id", RF_ROLE_FACT, "correlation_id", OPTIONAL, NULL},
                    {"causation_id", RF_ROLE_FACT, "causation_id", OPTIONAL, NULL},
                    {"user_name", RF_ROLE_FACT, "user_name", OPTIONAL, NULL},
                    /* Its own readers leave archived events out, too. */
                    {"is_archived", RF_ROLE_FILTER, "IS NOT TRUE", OPTIONAL, NULL},
                    {"is_skipped", RF_ROLE_FACT, "skipped", OPTIONAL, NULL}},
    },
    {
        .name = "emmett",
        .tables = "emt_messages",
        .columns = {{"transaction_id", RF_ROLE_TRANSACTION, "", REQUIRED, NULL},
                    {"global_position", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"partition", RF_ROLE_PREFIX, "", OPTIONAL, "emt:default"},
                    {"stream_id", RF_ROLE_STREAM, "stream", REQUIRED, NULL},
                    {"stream_position", RF_ROLE_MEMBER, "version", REQUIRED, NULL},
                    {"message_type", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"message_schema_version", RF_ROLE_SCHEMA, "schema", OPTIONAL, NULL},
                    {"created", RF_ROLE_MEMBER, "time", REQUIRED, NULL},
                    {"message_data", RF_ROLE_DATA, "data", REQUIRED, NULL},
                    {"message_metadata", RF_ROLE_METADATA, "metadata", OPTIONAL, NULL},
                    {"message_kind", RF_ROLE_FILTER, "= 'E'", OPTIONAL, NULL},
                    {"is_archived", RF_ROLE_FILTER, "IS NOT TRUE", OPTIONAL, NULL}},
    },
    {
        .name = "railseventstore",
        .tables = "event_store_events",
        .streams = "event_store_events_in_streams",
        .columns = {{"id", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"event_id", RF_ROLE_STREAM, "stream", REQUIRED, NULL},
                    {"event_type", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"created_at", RF_ROLE_MEMBER, "time", REQUIRED, NULL},
                    {"data", RF_ROLE_DATA, "data", REQUIRED, NULL},
                    {"metadata", RF_ROLE_METADATA, "metadata", OPTIONAL, NULL},
                    {"valid_at", RF_ROLE_FACT, "valid_at", OPTIONAL, NULL}},
    },
    {
        .name = "axon",
        .tables = "domain_event_entry|domainevententry",
        .sequences = "domain_event_entry_seq|domainevententry_seq|hibernate_sequence",
        .columns = {{"global_index|globalindex", RF_ROLE_POSITION, "position", REQUIRED, NULL},
                    {"aggregate_identifier|aggregateidentifier", RF_ROLE_STREAM, "stream",
                     REQUIRED, NULL},
                    {"sequence_number|sequencenumber", RF_ROLE_MEMBER, "version", REQUIRED, NULL},
                    {"payload_type|payloadtype", RF_ROLE_MEMBER, "type", REQUIRED, NULL},
                    {"payload_revision|payloadrevision", RF_ROLE_SCHEMA, "schema", OPTIONAL, NULL},
                    {"time_stamp|timestamp", RF_ROLE_MEMBER, "time", REQUIRED, NULL},
                    {"payload", RF_ROLE_DATA, "data", REQUIRED, NULL},
                    {"meta_data|metadata", RF_ROLE_METADATA, "metadata", OPTIONAL, NULL}},
    },
};

const rf_postgres_preset *rf_postgres_preset_at(uint32_t index)
{
    return index < sizeof presets / sizeof *presets ? &presets[index] : NULL;
}

const rf_postgres_preset *rf_postgres_preset_find(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    }
    return NULL;
}
