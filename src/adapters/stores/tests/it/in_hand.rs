//! The journal of work in hand: the contract, SIGKILL, torn lines, its bound, a full disk, and what a note costs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use callboard_ports::contract::{self, InHandHarness};
use callboard_ports::in_hand::InHand;
use callboard_stores::InHandJournal;
use tempfile::TempDir;

const DIR: &str = "CALLBOARD_STORES_IN_HAND_DIR";
const TASK: &str = "CALLBOARD_STORES_IN_HAND_TASK";

struct Journal {
    dir: TempDir,
    journal: Mutex<Arc<InHandJournal>>,
}

impl Journal {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Mutex::new(Arc::new(InHandJournal::open(dir.path())));
        Self { dir, journal }
    }
}

impl InHandHarness for Journal {
    fn notes(&self) -> Arc<dyn InHand> {
        self.journal.lock().unwrap().clone()
    }

    fn crash(&self) {
        let mut journal = self.journal.lock().unwrap();
        // Never dropped: a process that dies puts nothing in order.
        std::mem::forget(journal.clone());
        *journal = Arc::new(InHandJournal::open(self.dir.path()));
    }

    fn restart(&self) -> bool {
        let mut journal = self.journal.lock().unwrap();
        journal.close();
        *journal = Arc::new(InHandJournal::open(self.dir.path()));
        true
    }
}

#[tokio::test]
async fn the_journal_keeps_the_contract() {
    contract::in_hand::all(&Journal::new()).await;
}

/// Not a story of its own: what the child does.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let journal = InHandJournal::open(std::path::Path::new(&dir));
    if std::env::var(TASK).unwrap() == "die" {
        let crashes = journal.begin("c:m:1:poison");
        for i in 0..100 {
            journal.begin(&format!("c:m:1:good-{i}"));
            journal.end(&format!("c:m:1:good-{i}"));
        }
        println!("crashes={crashes}.");
        std::io::stdout().flush().unwrap();
        loop {
            std::thread::park();
        }
    }
    // Under a file size limit: notes go on in memory.
    for i in 0..100_000 {
        let key = format!("c:m:1:step-{i}");
        assert_eq!(journal.begin(&key), 0);
        journal.end(&key);
    }
    journal.begin("c:m:1:held");
    println!("went on.");
    std::process::exit(0);
}

fn run_child(dir: &TempDir, task: &str, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, dir.path())
        .env(TASK, task)
        .stdout(Stdio::piped());
    command
}

#[test]
fn sigkill_is_one_crash_of_what_was_in_hand() {
    let dir = tempfile::tempdir().unwrap();
    for killed in 0..3 {
        let mut child =
            run_child(&dir, "die", "exec \"$0\" in_hand::child --exact --nocapture").spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).find(|line| line.contains("crashes="));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told.is_some_and(|told| told.contains(&format!("crashes={killed}."))), "kill {killed}");
    }
    let journal = InHandJournal::open(dir.path());
    assert_eq!(journal.begin("c:m:1:poison"), 3);
    assert_eq!(journal.begin("c:m:1:good-99"), 0);
}

#[test]
fn a_torn_line_and_foreign_lines_cost_a_count_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"+0 whole\n+x what\n\xff\xfe\n\n?1 kind\n=4 old\n+1 bad\\escape\n+0 ended\n- ended\n+0 torn";
    fs::write(dir.path().join("in-hand"), text).unwrap();
    let journal = InHandJournal::open(dir.path());
    for (key, crashes) in [("whole", 1), ("what", 0), ("kind", 0), ("old", 4), ("ended", 0), ("torn", 0)] {
        assert_eq!(journal.begin(key), crashes, "{key}");
    }
    // A folder in its place is no reason not to start.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in-hand")).unwrap();
    let journal = InHandJournal::open(dir.path());
    assert_eq!((journal.begin("a"), journal.begin("a")), (0, 0));
}

#[test]
fn the_file_stays_within_its_bound_and_forgets_what_nobody_takes_up() {
    let dir = tempfile::tempdir().unwrap();
    let size = || fs::metadata(dir.path().join("in-hand")).unwrap().len();
    let journal = InHandJournal::open(dir.path());
    journal.begin("held");
    let mut largest = 0;
    for i in 0..50_000 {
        let key = format!("conversation:command:1:step-{i}");
        journal.begin(&key);
        journal.end(&key);
        largest = largest.max(size());
    }
    assert!(largest > 512 * 1024 && largest < 1_100_000, "{largest}");
    // Twenty thousand are in hand, so that the file needs more than its bound; it is not rewritten for each of them.
    for i in 0..20_000 {
        journal.begin(&format!("conversation:command:2:step-with-a-rather-long-name-{i}"));
    }
    std::mem::forget(journal);
    let journal = InHandJournal::open(dir.path());
    assert_eq!(journal.begin("held"), 0, "the oldest of more than 10,000 is forgotten");
    assert_eq!(journal.begin("conversation:command:2:step-with-a-rather-long-name-0"), 0);
    assert_eq!(journal.begin("conversation:command:2:step-with-a-rather-long-name-19999"), 1);
    assert!(fs::read_to_string(dir.path().join("in-hand")).unwrap().lines().count() <= 10_003);
}

#[test]
fn on_a_full_disk_it_goes_on_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let shell = "trap '' XFSZ; ulimit -f 100; exec \"$0\" in_hand::child --exact --nocapture";
    let child = run_child(&dir, "fill", shell).output().unwrap();
    assert!(String::from_utf8_lossy(&child.stdout).contains("went on."), "{child:?}");
    let journal = InHandJournal::open(dir.path());
    assert!(journal.begin("c:m:1:held") <= 1, "a count may be lost, never invented");
    assert_eq!(journal.begin("c:m:1:step-5"), 0);
    assert_eq!(journal.begin("c:m:1:step-99999"), 0);
}

#[test]
fn what_a_note_costs() {
    const PAIRS: u32 = 50_000;
    let dir = tempfile::tempdir().unwrap();
    let journal = InHandJournal::open(dir.path());
    let keys: Vec<String> =
        (0..PAIRS).map(|i| format!("conversation-{}:command-{i}:1:step-1", i % 1_000)).collect();
    let begun = Instant::now();
    for key in &keys {
        assert_eq!(journal.begin(key), 0);
        journal.end(key);
    }
    let per_note = begun.elapsed() / (2 * PAIRS);
    eprintln!("a note of work in hand takes {per_note:?}, rewrites included");
}
