//! Vectors of passages, and the nearest of them to a query's: all are compared, which is quick up to the bound.
//!
//! A vector is kept under its passage's key, which is a hash of what it says: a file that is renamed keeps its vectors, and
//! one that is changed needs new ones for what is new in it. [`file`] keeps them beside the index.

mod file;

use std::collections::HashSet;

use crate::bounds::MAX_VECTORS_BYTES;

/// All vectors of one model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vectors {
    /// `PROVIDER/MODEL`: those of another cannot be compared with them.
    name: String,
    /// Figures of one; 0 until there is one.
    dimensions: usize,
    keys: Vec<u64>,
    /// Each of length 1, one after the other.
    figures: Vec<f32>,
}

/// Why a vector is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("a vector has {found} figures where the others have {known}")]
    Length { found: usize, known: usize },
    #[error("a vector has no direction")]
    Direction,
    #[error("{passages} passages are too many: at {dimensions} figures a vector at most {most} are compared")]
    TooMany { passages: usize, dimensions: usize, most: usize },
}

impl Vectors {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), dimensions: 0, keys: Vec::new(), figures: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Keeps those of `wanted` only, and says which of `wanted` have none.
    pub fn keep(&mut self, wanted: &HashSet<u64>) -> HashSet<u64> {
        let mut kept = 0;
        for at in 0..self.keys.len() {
            if wanted.contains(&self.keys[at]) {
                self.keys[kept] = self.keys[at];
                let from = at * self.dimensions;
                self.figures.copy_within(from..from + self.dimensions, kept * self.dimensions);
                kept += 1;
            }
        }
        self.keys.truncate(kept);
        self.figures.truncate(kept * self.dimensions);
        let have: HashSet<u64> = self.keys.iter().copied().collect();
        wanted.difference(&have).copied().collect()
    }

    /// Adds the vector of a passage.
    ///
    /// # Errors
    /// [`Unfit`] when it cannot be compared with the others.
    pub fn add(&mut self, key: u64, figures: &[f32]) -> Result<(), Unfit> {
        if self.keys.is_empty() {
            self.dimensions = figures.len();
        }
        let figures = self.fit(figures)?;
        self.keys.push(key);
        self.figures.extend(figures);
        Ok(())
    }

    /// Whether vectors of `passages` fit, as far as is known yet.
    ///
    /// # Errors
    /// [`Unfit::TooMany`].
    pub fn fits(&self, passages: usize) -> Result<(), Unfit> {
        let most = MAX_VECTORS_BYTES / (self.dimensions.max(1) * size_of::<f32>());
        if passages > most {
            return Err(Unfit::TooMany { passages, dimensions: self.dimensions, most });
        }
        Ok(())
    }

    /// The keys of the `most` vectors nearest to `query` by cosine, the nearest first.
    ///
    /// # Errors
    /// [`Unfit`] when the query's vector is of another model.
    pub fn nearest(&self, query: &[f32], most: usize) -> Result<Vec<u64>, Unfit> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let query = self.fit(query)?;
        let cosine = |figures: &[f32]| figures.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let mut scored: Vec<(f32, u64)> =
            self.figures.chunks_exact(self.dimensions).map(cosine).zip(self.keys.iter().copied()).collect();
        let order = |a: &(f32, u64), b: &(f32, u64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if scored.len() > most {
            scored.select_nth_unstable_by(most, order);
            scored.truncate(most);
        }
        scored.sort_by(order);
        Ok(scored.into_iter().map(|(_, key)| key).collect())
    }

    /// The vector at length 1.
    fn fit(&self, figures: &[f32]) -> Result<Vec<f32>, Unfit> {
        if figures.len() != self.dimensions {
            return Err(Unfit::Length { found: figures.len(), known: self.dimensions });
        }
        let length = figures.iter().map(|figure| figure * figure).sum::<f32>().sqrt();
        if !length.is_normal() {
            return Err(Unfit::Direction);
        }
        Ok(figures.iter().map(|figure| figure / length).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Unfit, Vectors};

    fn some() -> Vectors {
        let mut vectors = Vectors::new("stub/one");
        for (key, figures) in [(1, [1.0, 0.0]), (2, [0.0, 5.0]), (3, [3.0, 3.0])] {
            vectors.add(key, &figures).unwrap();
        }
        vectors
    }

    #[test]
    fn the_nearest_come_first_whatever_their_length() {
        let vectors = some();
        assert_eq!(vectors.nearest(&[0.1, 9.0], 10).unwrap(), [2, 3, 1]);
        assert_eq!(vectors.nearest(&[0.1, 9.0], 1).unwrap(), [2]);
        assert_eq!(Vectors::new("x").nearest(&[1.0], 3).unwrap(), [0; 0]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let mut vectors = some();
        assert_eq!(vectors.add(4, &[1.0]), Err(Unfit::Length { found: 1, known: 2 }));
        assert_eq!(vectors.add(4, &[0.0, 0.0]), Err(Unfit::Direction));
        assert_eq!(vectors.add(4, &[f32::NAN, 0.0]), Err(Unfit::Direction));
        assert_eq!(vectors.nearest(&[1.0, 2.0, 3.0], 1), Err(Unfit::Length { found: 3, known: 2 }));
        assert!(vectors.fits(1_000_000).is_ok());
        let told = vectors.fits(10_000_000).unwrap_err().to_string();
        assert_eq!(
            told,
            "10000000 passages are too many: at 2 figures a vector at most 8388608 are compared"
        );
    }

    #[test]
    fn those_of_passages_that_are_gone_go_too() {
        let mut vectors = some();
        assert_eq!(vectors.keep(&HashSet::from([2, 3, 9])), HashSet::from([9]));
        assert_eq!(vectors.nearest(&[0.0, 1.0], 10).unwrap(), [2, 3]);
        assert_eq!(vectors.keep(&HashSet::new()), HashSet::new());
        assert_eq!(vectors.len(), 0);
    }

    #[test]
    fn a_file_gives_back_what_was_written_or_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("vectors");
        let vectors = some();
        assert_eq!(Vectors::read(&path, "stub/one"), Ok(None));
        vectors.write(&path).unwrap();
        assert_eq!(Vectors::read(&path, "stub/one"), Ok(Some(vectors)));
        assert_eq!(Vectors::read(&path, "stub/two"), Ok(None), "of another model");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(Vectors::read(&path, "stub/one").is_err(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(Vectors::read(&path, "stub/one").is_err(), "{at} bytes");
        }
    }
}
