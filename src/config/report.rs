//! Everything that is wrong with a configuration file, in one report with the places in the file.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
};

/// The most problems that are shown.
const SHOWN_PROBLEMS: usize = 200;
/// The most octets of a line that stand in a rendered snippet after the place itself.
const CONTEXT_OCTETS: usize = 160;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing of the file is used.
    Error,
    /// The file is used; the operator should know.
    Warning,
}

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with value and bound: `tunnel "a": mtu 900 below minimum 1280`.
    pub message: String,
    /// The octets of the file that it is about; absent when it is about the file as such.
    pub span: Option<Range<usize>>,
    /// A few words to stand under the place.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
    /// A second place that the message speaks of, and what it is.
    pub related: Option<(Range<usize>, String)>,
}

impl Problem {
    pub(super) fn error(message: String, span: Range<usize>, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message,
            span: Some(span),
            label: label.into(),
            help: None,
            related: None,
        }
    }

    pub(super) fn warning(message: String, span: Range<usize>, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message, span, label)
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }
}

/// The problems of one file, in the file's order.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            problems,
        }
    }

    /// A report of one error that concerns the file as such.
    pub(super) fn of_file(path: &Path, message: String) -> Self {
        let problem = Problem {
            span: None,
            ..Problem::error(message, 0..0, "")
        };
        Self {
            path: path.to_owned(),
            text: String::new(),
            problems: vec![problem],
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The problems, in the file's order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Line and column of a problem of this report, both from 1; the column counts characters.
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let before = self.text.get(..problem.span.as_ref()?.start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Some((line, before.get(line_start..)?.chars().count() + 1))
    }

    /// The report for people: each problem with its lines of the file, its bound and what to write instead. The first 200
    /// problems are shown and the others counted. `color` is for terminals only.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for problem in self.problems.iter().take(SHOWN_PROBLEMS) {
            out.push_str(&renderer.render(&[self.group(problem)]));
            out.push_str("\n\n");
        }
        let errors = self
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        if self.hidden() > 0 {
            out.push_str(&format!("{} more problems are not shown\n", self.hidden()));
        }
        if errors > 0 {
            let plural = if errors == 1 { "" } else { "s" };
            out.push_str(&format!(
                "{}: {errors} error{plural}, nothing was changed\n",
                self.path.display()
            ));
        }
        out
    }

    fn hidden(&self) -> usize {
        self.problems.len().saturating_sub(SHOWN_PROBLEMS)
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str());
        let mut group = Group::with_title(title);
        if let Some(span) = &problem.span {
            group = group.element(self.snippet(AnnotationKind::Primary, span, &problem.label));
        }
        if let Some((span, label)) = &problem.related {
            group = group.element(self.snippet(AnnotationKind::Context, span, label));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
        }
        group
    }

    /// The first line of the span, so that the work does not grow with the file.
    fn snippet<'a>(
        &'a self,
        kind: AnnotationKind,
        span: &Range<usize>,
        label: &'a str,
    ) -> Snippet<'a, Annotation<'a>> {
        let start = self.boundary(span.start);
        let (before, after) = self
            .text
            .split_at_checked(start)
            .unwrap_or((&self.text, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_rest = after.find(['\n', '\r']).unwrap_or(after.len());
        let end = self.boundary(span.end.clamp(start, start + line_rest));
        let cut = self.boundary((end + CONTEXT_OCTETS).min(start + line_rest));
        let source = self.text.get(line_start..cut).unwrap_or("");
        let label = (!label.is_empty()).then_some(label);
        Snippet::source(source)
            .path(self.path.to_string_lossy())
            .line_start(before.matches('\n').count() + 1)
            .annotation(kind.span(start - line_start..end - line_start).label(label))
    }

    /// The greatest boundary between characters that is not behind this octet.
    fn boundary(&self, octet: usize) -> usize {
        self.text.floor_char_boundary(octet)
    }
}

/// One line for each of the first 200 problems: `FILE:LINE:COLUMN: MESSAGE`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(SHOWN_PROBLEMS).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some((line, column)) = self.position(problem) {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {}", problem.message)?;
        }
        if self.hidden() > 0 {
            write!(
                f,
                "\n{}: {} more problems",
                self.path.display(),
                self.hidden()
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}
