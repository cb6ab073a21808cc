//! A plot as SVG: white ground, few lines, a legend where there is more than one series.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Circle, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, SVGBackend,
    SeriesLabelPosition,
};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, WHITE};

use crate::shown::{Axis, Plot, Series, number};

const SIZE: (u32, u32) = (760, 420);
/// Told apart by eyes that do not see all colours alike, too.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
const FONT: &str = "sans-serif";
const PALE: RGBColor = RGBColor(230, 230, 230);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// The plot as SVG; nothing where it has no point that its axes can show.
///
/// # Errors
/// What plotters cannot draw.
pub fn draw(plot: &Plot) -> Result<Option<String>> {
    let fits = |axis: &Axis, value: f64| value.is_finite() && (!axis.logarithmic || value > 0.0);
    let series: Vec<Series> = plot
        .series
        .iter()
        .map(|line| Series {
            name: line.name.clone(),
            points: line
                .points
                .iter()
                .copied()
                .filter(|(x, y)| fits(&plot.x, *x) && fits(&plot.y, *y))
                .collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    if series.is_empty() {
        return Ok(None);
    }
    let points = || series.iter().flat_map(|line| &line.points);
    let (x, y) = (range(&plot.x, points().map(|at| at.0)), range(&plot.y, points().map(|at| at.1)));
    let (across, up) = (x.start..x.end, y.start..y.end);
    let mut svg = String::new();
    match (plot.x.logarithmic, plot.y.logarithmic) {
        (false, false) => chart(&mut svg, plot, &series, across, up)?,
        (true, false) => chart(&mut svg, plot, &series, across.log_scale(), up)?,
        (false, true) => chart(&mut svg, plot, &series, across, up.log_scale())?,
        (true, true) => chart(&mut svg, plot, &series, across.log_scale(), up.log_scale())?,
    }
    Ok(Some(svg))
}

/// `10` where [`number`] says `10.0`: nothing was measured at a tick.
fn tick(value: f64) -> String {
    let text = number(value);
    match text.split_once('.') {
        Some((whole, rest)) if rest.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    }
}

/// From the smallest to the largest value with room around, from nought on a linear axis.
fn range(axis: &Axis, values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if axis.logarithmic {
        return low / 1.3..high * 1.5;
    }
    let low = low.min(0.0) * 1.05;
    low..if high > low { high * 1.08 } else { low + 1.0 }
}

fn chart<X, Y>(svg: &mut String, plot: &Plot, series: &[Series], x: X, y: Y) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let failed = |error: &dyn std::fmt::Display| anyhow!("the plot {:?} cannot be drawn: {error}", plot.name);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&plot.title, (FONT, 19).into_font().color(&BLACK))
        .margin(14)
        .margin_right(26)
        .x_label_area_size(46)
        .y_label_area_size(78)
        .build_cartesian_2d(x, y)
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .axis_style(GREY)
        .x_desc(&plot.x.label)
        .y_desc(&plot.y.label)
        .x_label_formatter(&|value: &f64| tick(*value))
        .y_label_formatter(&|value: &f64| tick(*value))
        .label_style((FONT, 13).into_font().color(&GREY))
        .axis_desc_style((FONT, 14).into_font().color(&BLACK))
        .draw()
        .map_err(|e| failed(&e))?;
    for (line, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let stroke = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), stroke))
            .map_err(|e| failed(&e))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], stroke));
        let dots = line.points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
        chart.draw_series(dots).map_err(|e| failed(&e))?;
    }
    if series.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(PALE)
            .label_font((FONT, 13).into_font().color(&BLACK))
            .draw()
            .map_err(|e| failed(&e))?;
    }
    area.present().map_err(|e| failed(&e))?;
    Ok(())
}
