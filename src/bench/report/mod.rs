//! Results for people and programs: a table, a JSON document, a page with plots.
//!
//! All of them show the same figures (figures.rs): medians over the rounds, their spread, and ratios taken inside each round.

pub mod curves;
pub mod equation;
pub mod figures;
pub mod file;
pub mod html;
pub mod json;
pub mod plots;
#[cfg(test)]
mod sample;
pub mod svg;
pub mod table;
