//! What must hold between the schemas of a topic.

/// What a new schema of a topic must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SchemaStrategy {
    /// As the next larger one has it, in the end [`Full`](Self::Full).
    Undefined,
    AlwaysIncompatible,
    AlwaysCompatible,
    /// It reads what the last one wrote.
    Backward,
    /// The last one reads what it writes.
    Forward,
    /// Both.
    Full,
    /// The same with all before it.
    BackwardTransitive,
    ForwardTransitive,
    FullTransitive,
}

impl SchemaStrategy {
    const NAMES: [(&'static str, Self); 9] = [
        ("UNDEFINED", Self::Undefined),
        ("ALWAYS_INCOMPATIBLE", Self::AlwaysIncompatible),
        ("ALWAYS_COMPATIBLE", Self::AlwaysCompatible),
        ("BACKWARD", Self::Backward),
        ("FORWARD", Self::Forward),
        ("FULL", Self::Full),
        ("BACKWARD_TRANSITIVE", Self::BackwardTransitive),
        ("FORWARD_TRANSITIVE", Self::ForwardTransitive),
        ("FULL_TRANSITIVE", Self::FullTransitive),
    ];

    /// The strategy of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, strategy)| *strategy)
    }

    /// The strategy that Pulsar's older setting of a namespace, `schemaAutoUpdateCompatibilityStrategy`, means.
    pub(in crate::core) fn of_older(name: &str) -> Option<Self> {
        match name {
            "AutoUpdateDisabled" => Some(Self::AlwaysIncompatible),
            "Backward" => Some(Self::Backward),
            "Forward" => Some(Self::Forward),
            "Full" => Some(Self::Full),
            "AlwaysCompatible" => Some(Self::AlwaysCompatible),
            "BackwardTransitive" => Some(Self::BackwardTransitive),
            "ForwardTransitive" => Some(Self::ForwardTransitive),
            "FullTransitive" => Some(Self::FullTransitive),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("UNDEFINED", |(name, _)| name)
    }

    pub(in crate::core) fn number(self) -> i64 {
        Self::NAMES.iter().position(|(_, known)| *known == self).map_or(0, |at| at as i64)
    }

    pub(in crate::core) fn of_number(number: i64) -> Option<Self> {
        Self::NAMES.get(usize::try_from(number).ok()?).map(|(_, strategy)| *strategy)
    }

    pub(super) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Whether a new schema must read what is there, and be read by it.
    pub(super) fn wants(self) -> (bool, bool) {
        match self {
            Self::Backward | Self::BackwardTransitive => (true, false),
            Self::Forward | Self::ForwardTransitive => (false, true),
            _ => (true, true),
        }
    }
}
