//! The structural rules of a plan, checked before the append and again by the fold: pure counting and order,
//! nothing about tools.

use std::collections::HashMap;

use super::PlannedStep;
use crate::limits::{MAX_ARGUMENTS_BYTES, MAX_STEPS};

/// The first broken rule of a step list, or `None`: at most [`MAX_STEPS`] steps with unique ids and known,
/// acyclic dependencies, and arguments within [`MAX_ARGUMENTS_BYTES`] together.
#[must_use]
pub fn structure_problem(steps: &[PlannedStep]) -> Option<String> {
    if steps.len() > MAX_STEPS {
        return Some(format!("the plan has {} steps; at most {MAX_STEPS} are allowed", steps.len()));
    }
    let bytes: usize = steps.iter().map(|s| s.arguments.len_bytes()).sum();
    if bytes > MAX_ARGUMENTS_BYTES {
        return Some(format!("the arguments have {bytes} bytes; at most {MAX_ARGUMENTS_BYTES} are allowed"));
    }
    let mut index = HashMap::with_capacity(steps.len());
    for (i, step) in steps.iter().enumerate() {
        if index.insert(&step.id, i).is_some() {
            return Some(format!("step id {:?} is used twice", step.id));
        }
    }
    for step in steps {
        for dependency in &step.depends_on {
            if !index.contains_key(dependency) {
                return Some(format!("step {:?} depends on {dependency:?}, which is no step", step.id));
            }
        }
    }
    cycle(steps, &index)
}

/// Kahn's algorithm: whatever cannot be ordered lies on or behind a cycle.
fn cycle(steps: &[PlannedStep], index: &HashMap<&crate::id::StepId, usize>) -> Option<String> {
    let mut missing: Vec<usize> = steps.iter().map(|s| s.depends_on.len()).collect();
    let mut ready: Vec<usize> = (0..steps.len()).filter(|i| missing[*i] == 0).collect();
    let mut ordered = 0;
    while let Some(done) = ready.pop() {
        ordered += 1;
        for (i, step) in steps.iter().enumerate() {
            let edges = step.depends_on.iter().filter(|d| index[*d] == done).count();
            if edges > 0 {
                missing[i] -= edges;
                if missing[i] == 0 {
                    ready.push(i);
                }
            }
        }
    }
    if ordered == steps.len() {
        return None;
    }
    let stuck = steps.iter().zip(&missing).find(|(_, m)| **m > 0).map(|(s, _)| s.id.as_str());
    Some(format!("step {:?} waits for itself through its dependencies", stuck.unwrap_or_default()))
}
