//! Whether what is written by one definition can be read by another: as Java's library resolves them.
//!
//! Names of records are not looked at, except to choose a branch of a union; symbols that a reader's
//! enum lacks are no hindrance. Every pair of types that meet is looked at once, so that definitions
//! which name themselves come to an end.

use std::collections::{BTreeMap, BTreeSet};

use super::avro::{Definition, Id, Kind};

/// Pairs of types that are looked at before a definition is taken for too large.
const MAX_PAIRS: usize = 200_000;

/// How deep records are compared to choose a branch of a union.
const MAX_DEPTH: u32 = 32;

/// Whether all that `writer` can write, `reader` can read.
pub(super) fn can_read(writer: &Definition, reader: &Definition) -> bool {
    let (types, fields) = reader.aliases();
    let mut resolver = Resolver { writer, reader, types, fields, alike: BTreeMap::new(), looked: 0 };
    let mut open = vec![(writer.root, reader.root)];
    let mut seen: BTreeSet<(Id, Id)> = BTreeSet::new();
    while let Some((w, r)) = open.pop() {
        if !seen.insert((w, r)) {
            continue;
        }
        if seen.len() + resolver.looked > MAX_PAIRS || resolver.fails(w, r, 0) {
            return false;
        }
        resolver.follow(w, r, &mut open);
    }
    true
}

struct Resolver<'a> {
    writer: &'a Definition,
    reader: &'a Definition,
    /// A writer's name of a type, as the reader calls it.
    types: BTreeMap<&'a str, &'a str>,
    /// A writer's name of a field, by the record as the reader calls it.
    fields: BTreeMap<(&'a str, &'a str), &'a str>,
    /// Records that were compared for a union.
    alike: BTreeMap<(Id, Id), bool>,
    looked: usize,
}

impl<'a> Resolver<'a> {
    /// The writer's name of a type, by which the reader knows it.
    fn name(&self, w: Id) -> Option<&'a str> {
        let name = self.writer.kind(w).name()?;
        Some(self.types.get(name).copied().unwrap_or(name))
    }

    fn field(&self, record: &str, field: &'a str) -> &'a str {
        self.fields.get(&(record, field)).copied().unwrap_or(field)
    }

    /// Whether the two types do not fit, whatever is within them.
    fn fails(&mut self, w: Id, r: Id, depth: u32) -> bool {
        self.looked += 1;
        match (self.writer.kind(w), self.reader.kind(r)) {
            (Kind::Union(_), _) | (Kind::Array(_), Kind::Array(_)) | (Kind::Map(_), Kind::Map(_)) => false,
            (Kind::Fixed { size, .. }, Kind::Fixed { name, size: other }) => {
                self.name(w) != Some(name) || size != other
            }
            (Kind::Enum { .. }, Kind::Enum { name, .. }) => self.name(w) != Some(name),
            (Kind::Record { .. }, Kind::Record { .. }) => self.lacks(w, r),
            (_, Kind::Union(_)) => self.branch(w, r, depth).is_none(),
            (Kind::Primitive(from), Kind::Primitive(to)) => from != to && !promotes(from, to),
            _ => true,
        }
    }

    /// Whether a reader wants a field that is not written and has no default.
    fn lacks(&self, w: Id, r: Id) -> bool {
        let (Kind::Record { fields, .. }, Kind::Record { fields: wanted, .. }) =
            (self.writer.kind(w), self.reader.kind(r))
        else {
            return true;
        };
        let record = self.name(w).unwrap_or_default();
        let written: BTreeSet<&str> = fields.iter().map(|field| self.field(record, &field.name)).collect();
        wanted.iter().any(|field| field.default.is_none() && !written.contains(field.name.as_str()))
    }

    /// The branch of the reader's union that a type is read by.
    fn branch(&mut self, w: Id, r: Id, depth: u32) -> Option<Id> {
        let Kind::Union(branches) = self.reader.kind(r) else { return None };
        let simple = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let mut alike = None;
        for b in branches.iter().copied() {
            match (self.writer.kind(w), self.reader.kind(b)) {
                (Kind::Primitive(from), Kind::Primitive(to)) if from == to => return Some(b),
                (Kind::Array(_), Kind::Array(_)) | (Kind::Map(_), Kind::Map(_)) => return Some(b),
                (Kind::Fixed { .. }, Kind::Fixed { name, .. })
                | (Kind::Enum { .. }, Kind::Enum { name, .. })
                | (Kind::Record { .. }, Kind::Record { name, .. })
                    if self.name(w) == Some(name) =>
                {
                    return Some(b);
                }
                (Kind::Record { .. }, Kind::Record { name, .. }) if self.is_alike(w, b, depth) => {
                    let same = self.name(w).is_some_and(|mine| simple(mine) == simple(name));
                    if alike.is_none() || same {
                        alike = Some(b);
                    }
                }
                _ => {}
            }
        }
        alike.or_else(|| {
            let Kind::Primitive(from) = self.writer.kind(w) else { return None };
            let fits = |b: &Id| matches!(self.reader.kind(*b), Kind::Primitive(to) if promotes(from, to));
            branches.iter().copied().find(fits)
        })
    }

    /// Whether a record can stand for another that has another name.
    fn is_alike(&mut self, w: Id, r: Id, depth: u32) -> bool {
        if let Some(known) = self.alike.get(&(w, r)) {
            return *known;
        }
        if depth >= MAX_DEPTH {
            return true;
        }
        // While it is found out it is taken for granted.
        self.alike.insert((w, r), true);
        let alike = !self.lacks(w, r) && {
            let mut pairs = Vec::new();
            self.follow(w, r, &mut pairs);
            !pairs.into_iter().any(|(w, r)| self.fails(w, r, depth + 1))
        };
        self.alike.insert((w, r), alike);
        alike
    }

    /// The pairs of types within a pair that fits.
    fn follow(&mut self, w: Id, r: Id, out: &mut Vec<(Id, Id)>) {
        match (self.writer.kind(w), self.reader.kind(r)) {
            (Kind::Union(branches), _) => match self.reader.kind(r) {
                Kind::Union(others) if same_union(self.writer, w, self.reader, r, 0) => {
                    out.extend(branches.iter().copied().zip(others.iter().copied()));
                }
                _ => out.extend(branches.iter().map(|w| (*w, r))),
            },
            (Kind::Array(w), Kind::Array(r)) | (Kind::Map(w), Kind::Map(r)) => out.push((*w, *r)),
            (Kind::Record { fields, .. }, Kind::Record { fields: wanted, .. }) => {
                let record = self.name(w).unwrap_or_default();
                let wanted: BTreeMap<&str, Id> =
                    wanted.iter().map(|field| (field.name.as_str(), field.of)).collect();
                for field in fields {
                    if let Some(r) = wanted.get(self.field(record, &field.name)) {
                        out.push((field.of, *r));
                    }
                }
            }
            (_, Kind::Union(_)) => out.extend(self.branch(w, r, 0).map(|r| (w, r))),
            _ => {}
        }
    }
}

/// Whether two unions have the same branches in the same order, by type and name.
fn same_union(writer: &Definition, w: Id, reader: &Definition, r: Id, depth: u32) -> bool {
    let simple = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    if depth >= MAX_DEPTH {
        return true;
    }
    let within = |w: Id, r: Id| same_union(writer, w, reader, r, depth + 1);
    match (writer.kind(w), reader.kind(r)) {
        (Kind::Primitive(a), Kind::Primitive(b)) => a == b,
        (Kind::Array(a), Kind::Array(b)) | (Kind::Map(a), Kind::Map(b)) => within(*a, *b),
        (Kind::Union(a), Kind::Union(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(w, r)| within(*w, *r))
        }
        (Kind::Fixed { name: a, size }, Kind::Fixed { name: b, size: other }) => {
            simple(a) == simple(b) && size == other
        }
        (Kind::Enum { name: a, symbols, .. }, Kind::Enum { name: b, symbols: others, .. }) => {
            simple(a) == simple(b) && symbols == others
        }
        // A record that names itself is looked into no further.
        (Kind::Record { name: a, fields, .. }, Kind::Record { name: b, fields: others, .. }) => {
            simple(a) == simple(b)
                && fields.len() == others.len()
                && fields.iter().zip(others).all(|(w, r)| w.name == r.name)
                && (depth > 1 || fields.iter().zip(others).all(|(w, r)| within(w.of, r.of)))
        }
        _ => false,
    }
}

fn promotes(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("int", "long" | "float" | "double")
            | ("long", "float" | "double")
            | ("float", "double")
            | ("string", "bytes")
            | ("bytes", "string")
    )
}
