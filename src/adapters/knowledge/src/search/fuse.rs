//! Two rankings made one by reciprocal rank: what both find early comes first, whatever their scores mean.

use tantivy::DocAddress;

/// As Cormack, Clarke and Büttcher have it (2009): the first places count, and no single one decides.
const K: f64 = 60.0;

/// The union of `rankings`, best first, each with the sum of 1 / (60 + place).
pub(super) fn reciprocal_ranks(rankings: &[&[DocAddress]]) -> Vec<(f64, DocAddress)> {
    let mut fused: Vec<(f64, DocAddress)> = Vec::new();
    for ranking in rankings {
        for (place, at) in (1u32..).zip(ranking.iter()) {
            let score = 1.0 / (K + f64::from(place));
            match fused.iter_mut().find(|(_, known)| known == at) {
                Some((sum, _)) => *sum += score,
                None => fused.push((score, *at)),
            }
        }
    }
    // Stable: of equals the one that words found comes first.
    fused.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    fused
}

#[cfg(test)]
mod tests {
    use tantivy::DocAddress;

    use super::reciprocal_ranks;

    #[test]
    fn what_both_find_comes_before_what_one_finds_first() {
        let at = |doc| DocAddress::new(0, doc);
        let fused = reciprocal_ranks(&[&[at(1), at(2), at(3)], &[at(4), at(2)]]);
        let order: Vec<u32> = fused.iter().map(|(_, at)| at.doc_id).collect();
        assert_eq!(order, [2, 1, 4, 3]);
        assert_eq!(reciprocal_ranks(&[&[], &[]]), []);
    }
}
