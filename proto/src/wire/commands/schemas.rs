//! Schemas.

use bytes::Bytes;

use super::common::{Schema, ServerError};
use crate::wire::message::{message, messages};

messages! {
    /// GET_SCHEMA (34): a schema of the topic, the newest unless a version is named.
    CommandGetSchema {
        1 request_id: required u64,
        2 topic: required String,
        3 schema_version: optional Bytes,
    }

    /// GET_SCHEMA_RESPONSE (35): that schema.
    CommandGetSchemaResponse {
        1 request_id: required u64,
        2 error_code: optional ServerError,
        3 error_message: optional String,
        4 schema: optional Schema,
        5 schema_version: optional Bytes,
    }

    /// GET_OR_CREATE_SCHEMA (39): register this schema unless it is there.
    CommandGetOrCreateSchema {
        1 request_id: required u64,
        2 topic: required String,
        3 schema: required Schema,
        4 producer_name: optional String,
    }

    /// GET_OR_CREATE_SCHEMA_RESPONSE (40): its version.
    CommandGetOrCreateSchemaResponse {
        1 request_id: required u64,
        2 error_code: optional ServerError,
        3 error_message: optional String,
        4 schema_version: optional Bytes,
    }
}
