//! Nothing that needs approval is run before somebody gave it: heard by listening to one conversation's records.

use std::collections::BTreeSet;

use super::Violation;
use crate::conversation::Applied;
use crate::event::{Approval, Event};
use crate::id::{CommandId, ConversationId, EffectId, StepId};

/// Effects that nobody has approved yet.
#[derive(Debug, Default)]
pub(super) struct Unapproved(BTreeSet<EffectId>);

impl Unapproved {
    /// The next record, in log order, with what the fold made of it.
    pub fn hears(
        &mut self,
        id: &ConversationId,
        command: &CommandId,
        event: &Event,
        applied: Applied,
    ) -> Option<Violation> {
        let effect = |version: u32, step: &StepId| EffectId {
            conversation: id.clone(),
            command: command.clone(),
            version,
            step: step.clone(),
        };
        let changed = applied == Applied::Changed;
        let run = match event {
            Event::PlanGenerated(plan) if changed => {
                let needing = plan.steps.iter().filter(|step| step.policy.needs_approval);
                self.0.extend(needing.map(|step| effect(plan.version, &step.id)));
                return None;
            }
            Event::ApprovalRecorded(body) if changed && body.decision != Approval::Rejected => {
                self.0.remove(&effect(body.version, &body.step));
                return None;
            }
            Event::ToolInvocationResulted(body) => effect(body.version, &body.step),
            Event::ToolInvocationInDoubt(body) => effect(body.version, &body.step),
            _ => return None,
        };
        self.0.contains(&run).then(|| Violation {
            invariant: "approved_before_run",
            conversation: id.clone(),
            detail: format!("{run} was run, and nobody had approved it"),
        })
    }
}
