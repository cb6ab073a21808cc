//! JSON Schemas of every command, event and request payload, for people who write clients and workers in
//! other languages. Generated from the Rust types of `command`, `event`, `request`; behind feature `schema`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};

use crate::id::{CommandId, ConversationId, EffectId, StepId};
use crate::json::RawJson;
use crate::limits::{MAX_ID_BYTES, MAX_STEP_ID_BYTES};
use crate::{chunk, command, event, ledger, request};

macro_rules! text_schema {
    ($($id:ident, $pattern:expr, $max:expr;)*) => { $(
        impl JsonSchema for $id {
            fn schema_name() -> Cow<'static, str> {
                stringify!($id).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "minLength": 1, "maxLength": $max })
            }
        }
    )* };
}

text_schema! {
    ConversationId, "^[A-Za-z0-9._-]+$", MAX_ID_BYTES;
    CommandId, "^[A-Za-z0-9._-]+$", MAX_ID_BYTES;
    StepId, "^[A-Za-z0-9_-]+$", MAX_STEP_ID_BYTES;
    EffectId, "^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+:[0-9]+:[A-Za-z0-9_-]+$", 2 * MAX_ID_BYTES + MAX_STEP_ID_BYTES + 13;
}

impl JsonSchema for RawJson {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyJson".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// What a record is, and the schema of its payload.
pub struct Described {
    /// `command`, `event`, `request`, `effect`, `chunk`.
    pub kind: &'static str,
    /// The bare name that `type` carries.
    pub name: &'static str,
    pub schema: Schema,
}

/// Every type that a topic may carry, in version 1.
#[must_use]
pub fn all() -> Vec<Described> {
    macro_rules! describe {
        ($($kind:literal $name:ident $body:ty;)*) => {
            vec![$(Described { kind: $kind, name: stringify!($name), schema: schema_for!($body) }),*]
        };
    }
    describe! {
        "command" UserQueryReceived command::UserQuery;
        "command" UserHistoryReset command::HistoryReset;
        "command" PlanCancelRequested command::PlanCancelRequest;
        "command" InvocationSettleRequested command::InvocationSettleRequest;
        "command" ApprovalGiven command::ApprovalDecision;
        "command" RetryNowRequested command::RetryNowRequest;
        "event" UserQueryReceived event::UserQueryReceived;
        "event" PlanGenerated event::PlanGenerated;
        "event" ToolInvocationResulted event::ToolInvocationResulted;
        "event" ToolInvocationInDoubt event::ToolInvocationInDoubt;
        "event" InvocationSettled event::InvocationSettled;
        "event" RetryAdvanced event::RetryAdvanced;
        "event" ApprovalRequested event::ApprovalRequested;
        "event" ApprovalRecorded event::ApprovalRecorded;
        "event" DeadlineExpired event::DeadlineExpired;
        "event" PlanFailed event::PlanFailed;
        "event" PlanCancelled event::PlanCancelled;
        "event" FinalAnswerSynthesized event::FinalAnswerSynthesized;
        "event" UserHistoryReset event::UserHistoryReset;
        "event" CommandRefused event::CommandRefused;
        "request" ToolInvocationRequested request::ToolInvocationRequested;
        "request" ToolInvocationCancelled request::ToolInvocationCancelled;
        "request" SynthesizeFinalAnswerRequested request::SynthesizeFinalAnswerRequested;
        "effect" EffectReserved ledger::EffectReserved;
        "effect" EffectCommitted ledger::EffectCommitted;
        "chunk" AnswerChunk chunk::AnswerChunk;
    }
}
