//! Writes the protocol with its mutants as switches: all are compiled once, and one is active.
//!
//! The mutants are those that `cargo mutants --list --json` names. Reads from standard input where the source is, where it
//! goes, and the mutants, each with its number. Writes the files and, to standard output, the numbers of the mutants that
//! cannot be a switch.
//!
//! `a < b` becomes `(if is(7) { (a <= b) } else { a < b })`, a function gets `if is(8) { return 0; }`, an arm
//! `if !is(9)`. Only one mutant is active, so the text in its branch has no switches. Comments mark where the branch of a
//! mutant begins and ends, and where its place does: `tests/mutants/run` finds in them which mutant does not compile.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;

use proc_macro2::LineColumn;
use serde::Deserialize;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

#[derive(Deserialize)]
struct Task {
    /// The directory with the source.
    from: PathBuf,
    /// The directory of the copy.
    to: PathBuf,
    mutants: Vec<Mutant>,
}

#[derive(Deserialize)]
struct Mutant {
    number: usize,
    file: PathBuf,
    genre: String,
    replacement: String,
    span: Span,
}

#[derive(Clone, Copy, Deserialize)]
struct Span {
    start: Place,
}

/// Counted from 1.
#[derive(Clone, Copy, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// A part of the source whose text changes. Parts lie within or beside each other.
struct Part {
    range: Range<usize>,
    /// Of two parts with the same range, the one of the higher rank is around the other.
    rank: u8,
    change: Change,
}

enum Change {
    /// The mutants of an expression: the number and the text of each.
    Expression(Vec<(usize, String)>),
    /// Of a guard: the number of the mutant that is always true, and of the one that never is.
    Guard { always: Option<usize>, never: Option<usize> },
    /// The guard of an arm that a mutant deletes.
    GuardOfDeleted(usize),
    /// What does not compile, perhaps, with these mutants in it: a match that lacks an arm, a value whose base was moved.
    Around(Vec<String>),
    /// The body of a function that returns an iterator: the number and the items of each mutant.
    Iterator(Vec<(usize, String)>),
    /// Text of its own, at an empty range.
    Insert(String),
    /// A field that is left to the base of the expression: its number, what comes before, and the base's value.
    Field { number: usize, before: String, base: String },
}

fn main() -> Result<(), Box<dyn Error>> {
    let Task { from, to, mutants } = serde_json::from_reader(std::io::stdin())?;
    let mut files = BTreeMap::<_, Vec<_>>::new();
    for mutant in mutants {
        files.entry(mutant.file.clone()).or_default().push(mutant);
    }
    let mut unswitched = Vec::new();
    for (name, mutants) in files {
        let source = std::fs::read_to_string(from.join(&name))?;
        let (switched, without) = switch(&source, mutants).map_err(|error| format!("{}: {error}", name.display()))?;
        let target = to.join(&name);
        std::fs::create_dir_all(target.parent().ok_or("not a file")?)?;
        std::fs::write(target, switched)?;
        unswitched.extend(without);
    }
    println!("{}", serde_json::to_string(&unswitched)?);
    Ok(())
}

/// The source with switches, and the numbers of the mutants that it has no switch for.
fn switch(source: &str, mutants: Vec<Mutant>) -> Result<(String, Vec<usize>), Box<dyn Error>> {
    let lines = Lines::new(source);
    let mut finder = Finder { source, lines: &lines, at: HashMap::new(), parts: Vec::new() };
    for mutant in mutants {
        finder
            .at
            .entry((lines.byte(mutant.span.start.line, mutant.span.start.column - 1), mutant.genre.clone()))
            .or_default()
            .push(mutant);
    }
    finder.visit_file(&syn::parse_file(source)?);
    let Finder { at, mut parts, .. } = finder;
    // The outer before the inner.
    parts.sort_by_key(|part| (part.range.start, std::cmp::Reverse(part.range.end), std::cmp::Reverse(part.rank)));
    let mut to = String::new();
    write(source, 0..source.len(), &mut parts.iter().peekable(), &mut to);
    let mut unswitched: Vec<_> = at.into_values().flatten().map(|mutant| mutant.number).collect();
    unswitched.sort_unstable();
    Ok((to, unswitched))
}

/// Writes a range of the source, with those parts that lie in it.
fn write<'a>(
    source: &str,
    range: Range<usize>,
    parts: &mut std::iter::Peekable<impl Iterator<Item = &'a Part>>,
    to: &mut String,
) {
    let mut at = range.start;
    while let Some(part) = parts.next_if(|part| part.range.start >= range.start && part.range.end <= range.end) {
        to.push_str(&source[at..part.range.start]);
        let mut inner = String::new();
        // An empty one has nothing in it, not even those at the same place.
        if !part.range.is_empty() {
            write(source, part.range.clone(), parts, &mut inner);
        }
        to.push_str(&part.change.write(&inner));
        at = part.range.end;
    }
    to.push_str(&source[at..range.end]);
}

impl Change {
    fn write(&self, inner: &str) -> String {
        match self {
            Self::Expression(mutants) => {
                let numbers: Vec<_> = mutants.iter().map(|(number, _)| number.to_string()).collect();
                let branches: String = mutants
                    .iter()
                    .map(|(number, text)| format!("if {} {} else ", is(*number), branch(*number, &format!("({text})"))))
                    .collect();
                place(&numbers.join(","), &format!("({branches}{{ {inner} }})"))
            }
            Self::Guard { always, never } => {
                let always = always.map(|number| format!("{} || ", is(number))).unwrap_or_default();
                let never = never.map(|number| format!("!{} && ", is(number))).unwrap_or_default();
                format!("({always}({never}({inner})))")
            }
            Self::GuardOfDeleted(number) => place(&number.to_string(), &format!("!{} && ({inner})", is(*number))),
            Self::Around(numbers) => place(&numbers.join(","), inner),
            Self::Iterator(mutants) => {
                let mut text = format!("let iterator = {{ {inner} }};");
                for (number, items) in mutants {
                    let (none, all) = (
                        format!("if {} {{ 0 }} else {{ usize::MAX }}", is(*number)),
                        format!("if {} {{ 9 }} else {{ 0 }}", is(*number)),
                    );
                    let items = branch(*number, &format!("Iterator::take({items}, {all})"));
                    text += &format!("let iterator = Iterator::chain(Iterator::take(iterator, {none}), {items});");
                }
                let numbers: Vec<_> = mutants.iter().map(|(number, _)| number.to_string()).collect();
                place(&numbers.join(","), &format!("{text} iterator"))
            }
            Self::Insert(text) => text.clone(),
            Self::Field { number, before, base } => place(
                &number.to_string(),
                &format!("{before}(if {} {} else {{ {inner} }})", is(*number), branch(*number, base)),
            ),
        }
    }
}

fn is(number: usize) -> String {
    format!("crate::mutant::is({number})")
}

fn branch(number: usize, text: &str) -> String {
    format!("/*{{{number}*/{{ {text} }}/*}}*/")
}

fn place(numbers: &str, text: &str) -> String {
    format!("/*{{{numbers}*/{text}/*}}*/")
}

/// Finds the places of mutants.
struct Finder<'a> {
    source: &'a str,
    lines: &'a Lines,
    /// Those that were not found yet, by place and genre.
    at: HashMap<(usize, String), Vec<Mutant>>,
    parts: Vec<Part>,
}

impl Finder<'_> {
    fn range(&self, of: &impl Spanned) -> Range<usize> {
        let span = of.span();
        self.lines.at(span.start())..self.lines.at(span.end())
    }

    fn take(&mut self, start: usize, genre: &str) -> Vec<Mutant> {
        self.at.remove(&(start, genre.to_owned())).unwrap_or_default()
    }

    fn add(&mut self, range: Range<usize>, rank: u8, change: Change) {
        self.parts.push(Part { range, rank, change });
    }

    /// The mutants of a function: a return at its beginning.
    fn function(&mut self, block: &syn::Block, output: &syn::ReturnType) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let (body, open) =
            (self.range(first).start..self.range(last).end, self.range(&block.brace_token.span.open()).end);
        // Two types cannot be returned.
        let is_opaque =
            matches!(output, syn::ReturnType::Type(_, output) if matches!(**output, syn::Type::ImplTrait(_)));
        let mutants = self.take(body.start, "FnValue");
        if is_opaque && !mutants.is_empty() {
            let items = mutants.into_iter().map(|mutant| (mutant.number, mutant.replacement)).collect();
            return self.add(body, 4, Change::Iterator(items));
        }
        for Mutant { number, replacement, .. } in mutants {
            let text = format!("if {} {}", is(number), branch(number, &format!("return {replacement};")));
            self.add(open..open, 0, Change::Insert(text));
        }
    }

    fn mark_around(&mut self, range: Range<usize>, starts: &[usize], genre: &str) {
        let mutants = starts.iter().filter_map(|&start| self.at.get(&(start, genre.to_owned())));
        let numbers: Vec<_> = mutants.flatten().map(|mutant| mutant.number.to_string()).collect();
        if !numbers.is_empty() {
            self.add(range, 3, Change::Around(numbers));
        }
    }

    fn operator(&mut self, whole: &impl Spanned, operator: Range<usize>, genre: &str) {
        let mutants = self.take(operator.start, genre);
        if mutants.is_empty() {
            return;
        }
        let whole = self.range(whole);
        let (left, right) = (&self.source[whole.start..operator.start], &self.source[operator.end..whole.end]);
        let text = |replacement: &str| match left {
            // What remains of an operator of one operand.
            "" => format!("{replacement} {right}"),
            _ => format!("({left}) {replacement} ({right})"),
        };
        let texts = mutants.iter().map(|mutant| (mutant.number, text(&mutant.replacement))).collect();
        self.add(whole, 0, Change::Expression(texts));
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.block, &item.sig.output);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.block, &item.sig.output);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(block, &item.sig.output);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        // The operator of a chain of `let`.
        if !has_let(&expr.left) && !has_let(&expr.right) {
            self.operator(expr, self.range(&expr.op), "BinaryOperator");
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        self.operator(expr, self.range(&expr.op), "UnaryOperator");
        visit::visit_expr_unary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = if let syn::Pat::Guard(pat) = &arm.pat { Some(self.range(&pat.guard)) } else { None };
        for mutant in self.take(self.range(arm).start, "MatchArm") {
            match &guard {
                Some(guard) => self.add(guard.clone(), 2, Change::GuardOfDeleted(mutant.number)),
                None => {
                    let end = self.range(&arm.pat).end;
                    let text = place(&mutant.number.to_string(), &format!(" if !{}", is(mutant.number)));
                    self.add(end..end, 0, Change::Insert(text));
                }
            }
        }
        if let Some(guard) = guard {
            let mutants = self.take(guard.start, "MatchArmGuard");
            let number = |replacement| {
                mutants.iter().find(|mutant| mutant.replacement == replacement).map(|mutant| mutant.number)
            };
            let (always, never) = (number("true"), number("false"));
            if always.is_some() || never.is_some() {
                self.add(guard, 1, Change::Guard { always, never });
            }
        }
        visit::visit_arm(self, arm);
    }

    // What the compiler evaluates cannot be switched.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_type_array(&mut self, _: &'ast syn::TypeArray) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}
    fn visit_expr_repeat(&mut self, expr: &'ast syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let starts: Vec<_> = expr.arms.iter().map(|arm| self.range(arm).start).collect();
        self.mark_around(self.range(expr), &starts, "MatchArm");
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        let starts: Vec<_> = expr.fields.iter().map(|field| self.range(field).start).collect();
        self.mark_around(self.range(expr), &starts, "StructField");
        for field in &expr.fields {
            let (Some(base), range) = (&expr.rest, self.range(field)) else { continue };
            for mutant in self.take(range.start, "StructField") {
                let (path, name) = (&self.source[self.range(&expr.path)], &self.source[self.range(&field.member)]);
                let text = &self.source[self.range(base)];
                let base = match **base {
                    // Only its field may be moved.
                    syn::Expr::Path(_) => format!("{text}.{name}"),
                    _ => format!("let base: {path} = {text}; base.{name}"),
                };
                let before = if field.colon_token.is_none() { format!("{name}: ") } else { String::new() };
                let change = Change::Field { number: mutant.number, before, base };
                self.add(self.range(&field.expr), 1, change);
            }
        }
        visit::visit_expr_struct(self, expr);
    }
}

fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Where the lines of a text begin.
struct Lines {
    text: Vec<(usize, String)>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let mut at = 0;
        let lines = text.split_inclusive('\n').map(|line| {
            at += line.len();
            (at - line.len(), line.to_owned())
        });
        Self { text: lines.collect() }
    }

    fn at(&self, place: LineColumn) -> usize {
        self.byte(place.line, place.column)
    }

    /// The byte at a line, counted from 1, and a column in characters, counted from 0.
    fn byte(&self, line: usize, column: usize) -> usize {
        let (start, text) = &self.text[line - 1];
        start + text.char_indices().nth(column).map_or(text.len(), |(at, _)| at)
    }
}
