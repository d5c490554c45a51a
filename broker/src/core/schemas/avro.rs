//! Avro definitions: reading them, and telling whether two are the same.
//!
//! Apache Pulsar asks the Java library, whose answers no other library gives: it reads records and
//! unions more leniently than the specification says (`resolve.rs`). Whether defaults fit is found out on
//! the way (`defaults.rs`) and asked for by whoever looks for a version: [`Definition::unfit`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::defaults::{Types, Unfit};

/// A type's place in its [`Definition`].
pub(super) type Id = usize;

#[derive(Debug)]
pub(super) enum Kind {
    /// `null`, `int`, ...: by their names.
    Primitive(&'static str),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Fixed {
        name: String,
        size: i64,
    },
    Enum {
        name: String,
        symbols: Vec<String>,
        default: Option<Value>,
    },
    Record {
        name: String,
        fields: Vec<Field>,
        error: bool,
    },
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of: Id,
    /// `null` is one, too.
    pub(super) default: Option<Value>,
    pub(super) aliases: Vec<String>,
    pub(super) order: String,
    pub(super) doc: Option<String>,
    pub(super) properties: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) kind: Kind,
    pub(super) properties: Map<String, Value>,
    pub(super) aliases: Vec<String>,
    pub(super) doc: Option<String>,
}

/// A definition, read. The first type is at `root`.
#[derive(Debug)]
pub(super) struct Definition {
    types: Vec<Type>,
    pub(super) root: Id,
    pub(super) source: Value,
    /// The first default that does not fit its field.
    pub(super) unfit: Option<Unfit>,
}

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Of a type its full name by the other, and of a field its name by its record and the other.
pub(super) type Aliases<'a> = (BTreeMap<&'a str, &'a str>, BTreeMap<(&'a str, &'a str), &'a str>);

impl Definition {
    /// Reads a definition; the error says what is wrong with it, as Java does.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let source: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut parser =
            Parser { types: Vec::new(), names: BTreeMap::new(), open: BTreeSet::new(), unfit: None };
        let root = parser.parse(&source, "")?;
        Ok(Self { types: parser.types, root, source, unfit: parser.unfit })
    }

    pub(super) fn kind(&self, id: Id) -> &Kind {
        &self.types[id].kind
    }

    /// Other names of types and fields, as a reader says them.
    pub(super) fn aliases(&self) -> Aliases<'_> {
        let (mut types, mut fields) = (BTreeMap::new(), BTreeMap::new());
        for each in &self.types {
            let Some(name) = each.kind.name() else { continue };
            types.extend(each.aliases.iter().map(|alias| (alias.as_str(), name)));
            if let Kind::Record { fields: of, .. } = &each.kind {
                for field in of {
                    let others =
                        field.aliases.iter().map(|alias| ((name, alias.as_str()), field.name.as_str()));
                    fields.extend(others);
                }
            }
        }
        (types, fields)
    }

    /// Whether both say the same, whatever their layout, their order and their comments.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }

    fn canonical(&self) -> Value {
        self.canonical_of(self.root, &mut BTreeSet::new())
    }

    fn canonical_of<'a>(&'a self, id: Id, seen: &mut BTreeSet<&'a str>) -> Value {
        let Type { kind, properties, .. } = &self.types[id];
        if let Some(name) = kind.name()
            && !seen.insert(name)
        {
            return Value::from(name);
        }
        let said = match kind {
            Kind::Primitive(name) => Value::from(*name),
            Kind::Array(of) => Value::from(vec![Value::from("[]"), self.canonical_of(*of, seen)]),
            Kind::Map(of) => Value::from(vec![Value::from("{}"), self.canonical_of(*of, seen)]),
            Kind::Union(of) => Value::Array(of.iter().map(|id| self.canonical_of(*id, seen)).collect()),
            Kind::Fixed { name, size } => Value::from(vec![Value::from(name.as_str()), Value::from(*size)]),
            Kind::Enum { name, symbols, default } => Value::from(vec![
                Value::from(name.as_str()),
                Value::from(symbols.clone()),
                default.clone().unwrap_or_default(),
            ]),
            Kind::Record { name, fields, error } => {
                let field = |field: &Field| {
                    Value::from(vec![
                        Value::from(field.name.as_str()),
                        self.canonical_of(field.of, seen),
                        field.default.clone().map_or(Value::Bool(false), |value| Value::from(vec![value])),
                        Value::from(field.order.as_str()),
                        Value::Object(field.properties.clone()),
                    ])
                };
                let fields: Vec<Value> = fields.iter().map(field).collect();
                Value::from(vec![Value::from(name.as_str()), Value::from(*error), Value::from(fields)])
            }
        };
        Value::from(vec![said, Value::Object(properties.clone())])
    }
}

impl Kind {
    /// The full name of a type that has one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Fixed { name, .. } | Self::Enum { name, .. } | Self::Record { name, .. } => Some(name),
            _ => None,
        }
    }

    /// What makes a type one of its own in a union.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Primitive(name) => name,
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            _ => self.name().unwrap_or_default(),
        }
    }
}

struct Parser {
    types: Vec<Type>,
    names: BTreeMap<String, Id>,
    /// Records whose fields are being read.
    open: BTreeSet<Id>,
    unfit: Option<Unfit>,
}

impl Parser {
    fn add(&mut self, kind: Kind) -> Id {
        self.types.push(Type { kind, properties: Map::new(), aliases: Vec::new(), doc: None });
        self.types.len() - 1
    }

    /// Reads a type; names without a dot belong to `space`.
    fn parse(&mut self, of: &Value, space: &str) -> Result<Id, String> {
        match of {
            Value::String(name) => {
                if let Some(primitive) = PRIMITIVES.iter().find(|primitive| *primitive == name) {
                    return Ok(self.add(Kind::Primitive(primitive)));
                }
                let full = full_name(name, space);
                self.names.get(&full).copied().ok_or_else(|| format!("Undefined name: \"{name}\""))
            }
            Value::Array(branches) => {
                let mut ids: Vec<Id> = Vec::with_capacity(branches.len());
                let mut seen = BTreeSet::new();
                for branch in branches {
                    let id = self.parse(branch, space)?;
                    let kind = &self.types[id].kind;
                    if matches!(kind, Kind::Union(_)) {
                        return Err(format!("Nested union: {of}"));
                    }
                    if !seen.insert(kind.label().to_owned()) {
                        return Err(format!("Duplicate in union:{}", kind.label()));
                    }
                    ids.push(id);
                }
                Ok(self.add(Kind::Union(ids)))
            }
            Value::Object(fields) => self.object(of, fields, space),
            _ => Err(format!("Schema not yet supported: {of}")),
        }
    }

    fn object(&mut self, of: &Value, fields: &Map<String, Value>, space: &str) -> Result<Id, String> {
        let Some(kind) = fields.get("type").and_then(Value::as_str) else {
            return Err(format!("No type: {of}"));
        };
        let id = match kind {
            "record" | "error" | "enum" | "fixed" => return self.named(kind, of, fields, space),
            "array" => {
                let items = fields.get("items").ok_or_else(|| format!("Array has no items type: {of}"))?;
                let items = self.parse(items, space)?;
                self.add(Kind::Array(items))
            }
            "map" => {
                let values = fields.get("values").ok_or_else(|| format!("Map has no values type: {of}"))?;
                let values = self.parse(values, space)?;
                self.add(Kind::Map(values))
            }
            name => match PRIMITIVES.iter().find(|primitive| **primitive == name) {
                Some(primitive) => self.add(Kind::Primitive(primitive)),
                None => {
                    let known = self.names.get(&full_name(name, space)).copied();
                    return known.ok_or_else(|| format!("Type not supported: {name}"));
                }
            },
        };
        self.types[id].properties = others(fields, &[]);
        Ok(id)
    }

    fn named(
        &mut self,
        kind: &str,
        of: &Value,
        fields: &Map<String, Value>,
        space: &str,
    ) -> Result<Id, String> {
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| format!("No name in schema: {of}"))?;
        let full = full_name(name, text("namespace").unwrap_or(space));
        let (space, simple) = full.rsplit_once('.').unwrap_or(("", &full));
        check_name(simple)?;
        let id = match kind {
            "fixed" => {
                let size = fields.get("size").and_then(Value::as_i64).filter(|size| *size >= 0);
                let size = size.ok_or_else(|| format!("Invalid or no size: {of}"))?;
                self.add(Kind::Fixed { name: full.clone(), size })
            }
            "enum" => {
                let list = fields.get("symbols").and_then(Value::as_array);
                let list = list.ok_or_else(|| format!("Enum has no symbols: {of}"))?;
                let mut symbols: Vec<String> = Vec::with_capacity(list.len());
                let mut seen = BTreeSet::new();
                for symbol in list {
                    let symbol = symbol.as_str().unwrap_or_default();
                    check_name(symbol)?;
                    if !seen.insert(symbol) {
                        return Err(format!("Duplicate enum symbol: {symbol}"));
                    }
                    symbols.push(symbol.to_owned());
                }
                let default = fields.get("default").cloned();
                if let Some(default) = &default
                    && !default.as_str().is_some_and(|default| seen.contains(default))
                {
                    return Err(format!(
                        "The Enum Default: {default} is not in the enum symbol set: {list:?}"
                    ));
                }
                self.add(Kind::Enum { name: full.clone(), symbols, default })
            }
            _ => self.add(Kind::Record { name: full.clone(), fields: Vec::new(), error: kind == "error" }),
        };
        if self.names.insert(full.clone(), id).is_some() {
            return Err(format!("Can't redefine: {full}"));
        }
        let reserved: &[&str] = if kind == "enum" { &["default"] } else { &[] };
        self.types[id].properties = others(fields, reserved);
        self.types[id].aliases = texts(fields).iter().map(|alias| full_name(alias, space)).collect();
        self.types[id].doc = text("doc").map(str::to_owned);
        if let Kind::Record { .. } = self.types[id].kind {
            let list = fields.get("fields").and_then(Value::as_array);
            let list = list.ok_or_else(|| format!("Record has no fields: {of}"))?;
            self.open.insert(id);
            let found = self.fields(list, space, &full)?;
            self.open.remove(&id);
            if let Kind::Record { fields, .. } = &mut self.types[id].kind {
                *fields = found;
            }
        }
        Ok(id)
    }

    fn fields(&mut self, list: &[Value], space: &str, record: &str) -> Result<Vec<Field>, String> {
        let mut found: Vec<Field> = Vec::with_capacity(list.len());
        let mut seen = BTreeSet::new();
        let empty = Map::new();
        for of in list {
            let fields = of.as_object().unwrap_or(&empty);
            let name = fields.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| format!("No field name: {of}"))?;
            let kind = fields.get("type").ok_or_else(|| format!("No field type: {of}"))?;
            check_name(name)?;
            if !seen.insert(name) {
                return Err(format!("Duplicate field {name} in record {record}"));
            }
            let of = self.parse(kind, space)?;
            let default = fields.get("default").cloned();
            if let Some(default) = &default {
                let unfit = Types { all: &self.types, open: &self.open }.unfit(name, of, default);
                let graver = unfit.as_ref().is_some_and(Unfit::is_no_number);
                if graver || self.unfit.is_none() {
                    self.unfit = unfit;
                }
            }
            found.push(Field {
                name: name.to_owned(),
                of,
                default,
                doc: fields.get("doc").and_then(Value::as_str).map(str::to_owned),
                aliases: texts(fields),
                order: fields.get("order").and_then(Value::as_str).unwrap_or("ascending").to_lowercase(),
                properties: others(fields, &["default", "order"]),
            });
        }
        Ok(found)
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// The property `aliases`.
fn texts(fields: &Map<String, Value>) -> Vec<String> {
    let list = fields.get("aliases").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|alias| Some(alias.as_str()?.to_owned())).collect()
}

/// Properties that a type may have besides what Avro knows. Comments and other names are not compared.
fn others(fields: &Map<String, Value>, reserved: &[&str]) -> Map<String, Value> {
    const KNOWN: [&str; 9] =
        ["doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type"];
    let other = |key: &str| !KNOWN.contains(&key) && key != "aliases" && !reserved.contains(&key);
    fields.iter().filter(|(key, _)| other(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn check_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    match letters.next() {
        None => Err("Empty name".to_owned()),
        Some(first) if !(first.is_alphabetic() || first == '_') => {
            Err(format!("Illegal initial character: {name}"))
        }
        _ if letters.any(|letter| !(letter.is_alphanumeric() || letter == '_')) => {
            Err(format!("Illegal character in: {name}"))
        }
        _ => Ok(()),
    }
}
