//! Which actors a path that is none may have meant.

use super::Node;
use crate::limits::NEAR_PATHS;
use crate::observe::ActorView;

/// Characters of a path that are compared: the tree is at most five levels of names of up to 128 characters.
const COMPARED: usize = 640;

impl Node {
    /// The paths of the tree that are nearest to `path`, the nearest first: those below the same parents, and then those
    /// that differ in the fewest characters.
    pub async fn paths_near(&self, path: &str) -> Vec<String> {
        nearest(&self.actors().await, path)
    }
}

fn nearest(tree: &ActorView, path: &str) -> Vec<String> {
    let wanted: String = path.chars().take(COMPARED).collect();
    let mut all = Vec::new();
    collect(tree, &mut all);
    let distance = |found: &&String| (unshared_parents(&wanted, found), edits(&wanted, found));
    all.sort_by_cached_key(|found| (distance(found), (*found).clone()));
    all.into_iter().take(NEAR_PATHS).cloned().collect()
}

fn collect<'a>(view: &'a ActorView, into: &mut Vec<&'a String>) {
    into.push(&view.path);
    view.children.iter().for_each(|child| collect(child, into));
}

/// How many of the wanted path's names are not those of the found one.
fn unshared_parents(wanted: &str, found: &str) -> usize {
    let names = |path: &str| -> Vec<String> {
        path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (wanted, found) = (names(wanted), names(found));
    let shared = wanted.iter().zip(&found).take_while(|(wanted, found)| wanted == found).count();
    wanted.len() - shared
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;
    use crate::observe::ActorView;

    fn tree(paths: &[&str]) -> ActorView {
        let mut root = ActorView::new("/", "guardian", "running", 1);
        root.children = paths.iter().map(|path| ActorView::new(path, "x", "running", 1)).collect();
        root
    }

    #[test]
    fn slips_of_the_finger_and_wrong_numbers_find_their_neighbours() {
        let mut all = vec!["/bridge-0", "/bridge-0/host-0", "/bridge-0/host-1", "/bridge-0/planner"];
        all.extend(["/pool-default-0", "/pool-default-0/worker-0", "/pool-default-0/worker-1", "/history"]);
        let tree = tree(&all);
        assert_eq!(nearest(&tree, "/bridge-O")[0], "/bridge-0");
        assert_eq!(nearest(&tree, "/bridge-0/plannr")[0], "/bridge-0/planner");
        let hosts = nearest(&tree, "/bridge-0/host-9");
        assert_eq!(hosts[..2], ["/bridge-0/host-0", "/bridge-0/host-1"]);
        assert_eq!(nearest(&tree, "/pool-default-0/worker-0/child")[0], "/pool-default-0/worker-0");
        assert_eq!(nearest(&tree, "worker-1").len(), 5);
        assert_eq!(nearest(&tree, &"x".repeat(100_000)).len(), 5, "however long it is");
    }
}
