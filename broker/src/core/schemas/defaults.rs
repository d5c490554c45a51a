//! Whether the defaults of fields fit their types, by the rules of the Java library (1.11): of a union its
//! first branch counts, symbols of enums and sizes of fixed are not looked at.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::avro::{Id, Kind, Type};

/// What the library throws over a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    /// The class of the exception.
    pub(super) class: &'static str,
    pub(super) message: String,
}

impl Unfit {
    /// Such a definition is none, also where defaults are not looked at.
    pub(super) fn is_no_number(&self) -> bool {
        self.class == NUMBER
    }
}

const NUMBER: &str = "java.lang.NumberFormatException";

/// Types that are read so far.
pub(super) struct Types<'a> {
    pub(super) all: &'a [Type],
    /// Records whose fields are being read.
    pub(super) open: &'a BTreeSet<Id>,
}

/// The fields of a record are not known yet.
struct Open;

impl Types<'_> {
    /// What is wrong with the default of a field.
    pub(super) fn unfit(&self, field: &str, of: Id, default: &Value) -> Option<Unfit> {
        // Java makes a number of it first.
        if let (Kind::Primitive("float" | "double"), Value::String(text)) = (&self.all[of].kind, default) {
            let message = format!("For input string: {default}");
            return (!is_number(text)).then_some(Unfit { class: NUMBER, message });
        }
        match self.fits(of, default) {
            Ok(true) => None,
            Ok(false) => {
                let of = self.print(of, "", &mut BTreeSet::new());
                let message = format!("Invalid default for field {field}: {default} not a {of}");
                Some(Unfit { class: "org.apache.avro.AvroTypeException", message })
            }
            Err(Open) => {
                let message = "Schema fields not set yet".to_owned();
                Some(Unfit { class: "org.apache.avro.AvroRuntimeException", message })
            }
        }
    }

    fn fits(&self, id: Id, value: &Value) -> Result<bool, Open> {
        Ok(match &self.all[id].kind {
            Kind::Primitive("int") => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
            Kind::Primitive("long") => value.as_i64().is_some(),
            Kind::Primitive("float" | "double") => value.is_number(),
            Kind::Primitive("boolean") => value.is_boolean(),
            Kind::Primitive("null") => value.is_null(),
            Kind::Primitive(_) | Kind::Fixed { .. } | Kind::Enum { .. } => value.is_string(),
            Kind::Array(of) => match value {
                Value::Array(values) => self.fit(*of, values.iter())?,
                _ => false,
            },
            Kind::Map(of) => match value {
                Value::Object(values) => self.fit(*of, values.values())?,
                _ => false,
            },
            Kind::Union(branches) => match branches.first() {
                Some(first) => self.fits(*first, value)?,
                None => false,
            },
            Kind::Record { fields, .. } => {
                let Value::Object(values) = value else { return Ok(false) };
                if self.open.contains(&id) {
                    return Err(Open);
                }
                for field in fields {
                    let fits = match values.get(&field.name) {
                        Some(value) => self.fits(field.of, value)?,
                        None => field.default.is_some(),
                    };
                    if !fits {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }

    fn fit<'v>(&self, of: Id, mut values: impl Iterator<Item = &'v Value>) -> Result<bool, Open> {
        values.try_fold(true, |all, value| Ok(all && self.fits(of, value)?))
    }

    /// A type as Java prints it, in one line; names without a dot belong to `space`.
    fn print<'a>(&'a self, id: Id, space: &str, seen: &mut BTreeSet<&'a str>) -> String {
        let Type { kind, properties, aliases, doc } = &self.all[id];
        let mut said = Said::default();
        let Some(full) = kind.name() else {
            match kind {
                Kind::Union(branches) => {
                    let branches: Vec<String> =
                        branches.iter().map(|branch| self.print(*branch, space, seen)).collect();
                    return format!("[{}]", branches.join(","));
                }
                Kind::Primitive(name) if properties.is_empty() => return Value::from(*name).to_string(),
                Kind::Array(of) => {
                    said.add("type", "\"array\"").add("items", self.print(*of, space, seen));
                }
                Kind::Map(of) => {
                    said.add("type", "\"map\"").add("values", self.print(*of, space, seen));
                }
                kind => {
                    said.add("type", json!(kind.label()));
                }
            }
            return said.all(properties).end();
        };
        let (own, simple) = full.rsplit_once('.').unwrap_or(("", full));
        if !seen.insert(full) {
            return Value::from(if own == space { simple } else { full }).to_string();
        }
        let word = match kind {
            Kind::Fixed { .. } => "fixed",
            Kind::Enum { .. } => "enum",
            Kind::Record { error: true, .. } => "error",
            _ => "record",
        };
        said.add("type", json!(word)).add("name", json!(simple));
        if own != space {
            said.add("namespace", json!(own));
        }
        if let Some(doc) = doc {
            said.add("doc", json!(doc));
        }
        match kind {
            Kind::Fixed { size, .. } => {
                said.add("size", size);
            }
            Kind::Enum { symbols, default, .. } => {
                said.add("symbols", json!(symbols));
                if let Some(default) = default {
                    said.add("default", default);
                }
            }
            Kind::Record { fields, .. } if !self.open.contains(&id) => {
                let mut all = Vec::with_capacity(fields.len());
                for field in fields {
                    let mut said = Said::default();
                    said.add("name", json!(field.name)).add("type", self.print(field.of, own, seen));
                    if let Some(doc) = &field.doc {
                        said.add("doc", json!(doc));
                    }
                    if let Some(default) = &field.default {
                        said.add("default", default);
                    }
                    if field.order != "ascending" {
                        said.add("order", json!(field.order));
                    }
                    if !field.aliases.is_empty() {
                        said.add("aliases", json!(field.aliases));
                    }
                    all.push(said.all(&field.properties).end());
                }
                said.add("fields", format!("[{}]", all.join(",")));
            }
            _ => {}
        }
        said.all(properties);
        if !aliases.is_empty() {
            let of_space = |alias: &String| match alias.rsplit_once('.') {
                Some((of, simple)) if of == own => simple.to_owned(),
                _ => alias.clone(),
            };
            said.add("aliases", json!(aliases.iter().map(of_space).collect::<Vec<_>>()));
        }
        said.end()
    }
}

/// Whether Java reads a text as a decimal number.
fn is_number(text: &str) -> bool {
    let text = text.trim();
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(plain, "NaN" | "Infinity") {
        return true;
    }
    let digits = plain.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(plain);
    digits.starts_with(|first: char| first == '.' || first.is_ascii_digit()) && digits.parse::<f64>().is_ok()
}

/// A JSON object in the order in which it is written.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    /// Adds a value that is JSON.
    fn add(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        self.0.push(format!("{}:{value}", Value::from(key)));
        self
    }

    fn all(&mut self, of: &Map<String, Value>) -> &mut Self {
        of.iter().fold(self, |said, (key, value)| said.add(key, value))
    }

    fn end(&self) -> String {
        format!("{{{}}}", self.0.join(","))
    }
}
