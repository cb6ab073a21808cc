//! `callboard-bench report`: BENCHMARK.md and its plots, from what the results show of themselves.
//!
//! `kept` reads the results, `page` lays out tables and goals, `plot` draws; `template.md` is what was written by hand.

mod kept;
mod page;
mod plot;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::ReportArgs;
use kept::Kept;

/// In the order of the page. A result belongs to the job that its file's name begins with.
const JOBS: [&str; 10] =
    ["floor", "turn", "components", "host", "scale", "recover", "footprint", "chaos", "flood", "budget"];

pub fn run(arguments: &ReportArgs) -> Result<bool> {
    let all = kept::read(&arguments.results)?;
    fs::create_dir_all(&arguments.plots)
        .with_context(|| format!("the folder {} cannot be made", arguments.plots.display()))?;
    let drawn = draw(arguments, &all)?;
    let page = page::of(&all, &drawn)?;
    fs::write(&arguments.out, page)
        .with_context(|| format!("{} cannot be written", arguments.out.display()))?;
    println!("{} from {} results, {} plots", arguments.out.display(), all.len(), drawn.count());
    Ok(true)
}

/// Where each plot of each result was drawn to, as the page links it.
#[derive(Debug, Default)]
pub struct Drawn(Vec<(String, String, String)>);

impl Drawn {
    fn count(&self) -> usize {
        self.0.len()
    }

    /// Links of the plots of one result: title and address.
    fn of<'d>(&'d self, result: &'d str) -> impl Iterator<Item = (&'d str, &'d str)> {
        self.0.iter().filter(move |(of, ..)| of == result).map(|(_, title, at)| (title.as_str(), at.as_str()))
    }
}

fn draw(arguments: &ReportArgs, all: &[Kept]) -> Result<Drawn> {
    let bar = ProgressBar::new(all.iter().map(|kept| kept.shown.plots.len() as u64).sum());
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} plots {msg}")?);
    let beside = arguments.out.parent().unwrap_or_else(|| "".as_ref());
    let folder = arguments.plots.strip_prefix(beside).unwrap_or(&arguments.plots);
    let (mut drawn, mut names) = (Drawn::default(), BTreeSet::new());
    for kept in all {
        for plot in &kept.shown.plots {
            bar.set_message(plot.name.clone());
            // Two runs of one job may draw the same plot: each keeps its own.
            let name = match names.insert(plot.name.clone()) {
                true => plot.name.clone(),
                false => format!("{}-{}", kept.name, plot.name),
            };
            let file = format!("{name}.svg");
            match plot::draw(plot)? {
                Some(svg) => {
                    let path = arguments.plots.join(&file);
                    fs::write(&path, svg).with_context(|| format!("{} cannot be written", path.display()))?;
                    let address = folder.join(&file).to_string_lossy().into_owned();
                    drawn.0.push((kept.name.clone(), plot.title.clone(), address));
                }
                None => eprintln!("{}: the plot {:?} has no points that can be drawn", kept.name, plot.name),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(drawn)
}

#[cfg(test)]
mod tests;
