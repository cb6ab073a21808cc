//! What a process has in hand, noted before it is run: whatever is found there at the next start was in hand when
//! the process died, which is one crash counted against it. Work that crashes its process again and again is poison.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// A local, small, crash-surviving note of work in hand. Losing it (a power cut, a full disk) costs a count, never
/// work, so nothing here fails.
pub trait InHand: Send + Sync {
    /// `key` is about to be run: how many starts of this process died with it in hand. Cheap enough for the hot path.
    fn begin(&self, key: &str) -> u32;
    /// `key` is done, however it ended; its crashes are forgotten.
    fn end(&self, key: &str);
}

/// Notes in memory: nothing survives. For tests, and where there is no folder.
#[derive(Debug, Default)]
pub struct NoCrashes;

impl InHand for NoCrashes {
    fn begin(&self, _: &str) -> u32 {
        0
    }

    fn end(&self, _: &str) {}
}

/// Notes that survive a simulated crash: [`MemoryInHand::crash`] is what a start does with what it finds.
#[derive(Debug, Default)]
pub struct MemoryInHand(Mutex<BTreeMap<String, (u32, bool)>>);

impl MemoryInHand {
    /// The process died: everything in hand has one crash more.
    pub fn crash(&self) {
        for (crashes, in_hand) in self.0.lock().expect("no holder of this lock panics").values_mut() {
            *crashes += u32::from(std::mem::take(in_hand));
        }
    }
}

impl InHand for MemoryInHand {
    fn begin(&self, key: &str) -> u32 {
        let mut notes = self.0.lock().expect("no holder of this lock panics");
        let note = notes.entry(key.to_owned()).or_default();
        note.1 = true;
        note.0
    }

    fn end(&self, key: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(key);
    }
}
